"""The steps of a program one by one, each a function of tensors that torch can transform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from piddm.residuals.programs.steps import (
    Apply,
    Combine,
    Constant,
    Integrate,
    Join,
    Load,
    Matrix,
    Pick,
    Power,
    Product,
    Scalar,
    Step,
    Sum,
)

if TYPE_CHECKING:
    from piddm.residuals.programs.program import Program

Inputs = Mapping[str, Tensor]


def evaluate(program: Program, inputs: Inputs, like: Tensor) -> tuple[dict[str, Tensor], list[Any]]:
    """Return the outputs and, by position, the results that a derivative needs."""
    padded = {name: wrap(inputs[name], program.layout.pads) for name in program.loaded}
    results: list[Any] = []
    for position, step in enumerate(program.steps):
        results.append(result(program, position, step, results, inputs, padded, like))
        for dead in program.free[position]:
            if dead not in program.kept:
                results[dead] = None
    out = {}
    for name, (position, factor) in program.outputs.items():
        value = results[position] if factor == 1 else results[position] * factor
        # The program's own numbers are nobody else's to change.
        constant = isinstance(program.steps[position], Constant)
        out[name] = value.clone() if constant and factor == 1 else value
    return out, results


def result(
    program: Program,
    position: int,
    step: Step,
    results: Sequence[Any],
    inputs: Inputs,
    padded: Inputs,
    like: Tensor,
) -> Tensor:
    """Return the result of one step."""
    dims = len(program.shape)
    match step:
        case Load():
            begins = [
                x.start + b for x, (b, _) in zip(step.place, program.layout.pads, strict=True)
            ]
            return cut(padded[step.name], begins, [x.length for x in step.place])
        case Pick():
            value = inputs[step.name].flatten(-dims)
            value = value.index_select(-1, program.number(position, like))
            return value.view(*value.shape[:-1], *program.lengths[position])
        case Scalar():
            value = inputs[step.name]
            return value.reshape(*value.shape, *[1] * dims)
        case Constant():
            return program.number(position, like)
        case Sum():
            total = combination(program, step, results)
            assert total is not None
            return total + step.constant if step.constant else total
        case Product():
            return results[step.left] * results[step.right]
        case Combine():
            return step.function(*step.scaled([results[p] for p in step.operands]))
        case Power():
            return power(_guarded(program, position, step, results), step.exponent)
        case Apply():
            value = _guarded(program, position, step, results)
            return step.function(value * step.factor if step.factor != 1 else value)
        case Join():
            return torch.cat([results[p] for p in step.parts], dim=step.axis - dims)
        case Matrix() | Integrate():
            return linear(step, results[step.source], program.number(position, like), dims)


def _guarded(
    program: Program, position: int, step: Power | Apply, results: Sequence[Any]
) -> Tensor:
    """Return an operand, cut from torch's record where the slope is infinite and may go unused.

    What a choice such as a minimum leaves out has the derivative zero, and zero times infinity
    would spoil all that is computed before it.
    """
    value = results[step.source]
    if position not in program.optional:
        return value
    steep = slope(step, value.detach())
    return torch.where(torch.isfinite(steep), value, value.detach())


def combination(
    program: Program, step: Sum, values: Sequence[Any], fresh: bool = False
) -> Tensor | None:
    """Return the sum of a step's taps on values, of which some may be missing.

    Args:
        program: The step's.
        step: The sum.
        values: By position.
        fresh: Nothing records this: it may work in place.
    """
    total, own = None, False
    for tap in step.taps:
        value = values[tap.source]
        if value is None:
            continue
        of, weight = program.lengths[tap.source], tap.weight * step.factor
        starts = [None if n == 1 else s for s, n in zip(tap.starts, of, strict=True)]
        value = cut(value, starts, step.lengths)
        if total is None:
            total, own = (value, False) if weight == 1 else (value * weight, True)
        elif fresh and own and total.shape == value.shape:
            total.add_(value, alpha=weight)
        else:
            total, own = torch.add(total, value, alpha=weight), True
    return total


def linear(step: Matrix | Integrate, value: Tensor, number: Tensor, dims: int) -> Tensor:
    """Return the product with a matrix, or a weighted sum."""
    if isinstance(step, Matrix):
        return matrix_product(value, number, step.axis - dims)
    return (value * number).sum([d - dims for d in step.axes], keepdim=True)


def matrix_product(values: Tensor, matrix: Tensor, dim: int, out: Tensor | None = None) -> Tensor:
    """Return the product with a matrix along a dimension, which is counted from the end."""
    if dim == -1:
        return torch.matmul(values, matrix.mT, out=out)
    if out is None:
        return (values.movedim(dim, -1) @ matrix.mT).movedim(-1, dim)
    torch.matmul(matrix, values.flatten(dim + 1), out=out.flatten(dim + 1))
    return out


def power(values: Tensor, exponent: float, out: Tensor | None = None) -> Tensor:
    """Return a power; a whole exponent takes negative values too."""
    return torch.pow(values, int(exponent) if float(exponent).is_integer() else exponent, out=out)


def slope(step: Power | Apply, values: Tensor) -> Tensor:
    """Return the derivative of a step that works value by value."""
    if isinstance(step, Power):
        return step.exponent * power(values, step.exponent - 1)
    inner = values * step.factor if step.factor != 1 else values
    return step.derivative(inner) * step.factor


def cut(values: Tensor, starts: Sequence[int | None], lengths: Sequence[int]) -> Tensor:
    """Return a range along the last dimensions; ``None`` leaves one whole."""
    for d, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        dim = d - len(lengths)
        if start is not None and (start or length != values.shape[dim]):
            values = values.narrow(dim, start, length)
    return values


def wrap(values: Tensor, pads: Sequence[tuple[int, int]]) -> Tensor:
    """Continue periodic axes beyond their seam, out of place."""
    for d, (before, after) in enumerate(pads):
        if before or after:
            dim = d - len(pads)
            n = values.shape[dim]
            parts = [values.narrow(dim, n - before, before), values]
            values = torch.cat([*parts, values.narrow(dim, 0, after)], dim=dim)
    return values
