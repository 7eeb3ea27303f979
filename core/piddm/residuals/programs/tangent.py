"""The derivative of a program along directions, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from piddm.residuals.programs.plain import (
    Inputs,
    combination,
    evaluate,
    linear,
    result,
    slope,
    wrap,
)
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
    sources,
)

if TYPE_CHECKING:
    from piddm.residuals.programs.program import Program


def tangent(
    program: Program, inputs: Inputs, tangents: Inputs, like: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the outputs and their derivative along directions.

    Args:
        program: The program.
        inputs: Fields ``(batch, *shape)``, params ``(batch,)``.
        tangents: Directions by name, which may have one dimension more in front.
        like: Precision and device.
    """
    out, results = evaluate(program, inputs, like)
    padded = {k: wrap(tangents[k], program.layout.pads) for k in program.loaded if k in tangents}
    moves: list[Any] = []
    for position, step in enumerate(program.steps):
        moves.append(_move(program, position, step, results, moves, tangents, padded, like))
        for dead in program.free[position]:
            moves[dead] = None
    some = next(iter(tangents))
    lead = tangents[some].shape[: tangents[some].ndim - inputs[some].ndim]
    change = {}
    for name, (position, factor) in program.outputs.items():
        move = moves[position]
        if move is None:
            move = out[name].new_zeros(*lead, *out[name].shape)
        if factor != 1:
            move = move * factor
        change[name] = move.expand(*lead, *out[name].shape)
    return out, change


def _move(
    program: Program,
    position: int,
    step: Step,
    results: Sequence[Any],
    moves: Sequence[Any],
    tangents: Inputs,
    padded: Inputs,
    like: Tensor,
) -> Tensor | None:
    """Return the change of one result; ``None`` where it does not move."""
    dims = len(program.shape)
    match step:
        case Constant():
            return None
        case Load() | Pick() | Scalar():
            if step.name not in tangents:
                return None
            return result(program, position, step, moves, tangents, padded, like)
        case Sum():
            change = combination(program, step, moves, fresh=True)
            if change is None:
                return None
            # Where only params move, the change is one number, also of a sum with a field in it.
            return change.expand(*change.shape[:-dims], *program.lengths[position])
        case Product():
            left, right = moves[step.left], moves[step.right]
            if step.left == step.right:
                return None if left is None else left * (2 * results[step.left])
            total = None if left is None else left * results[step.right]
            if right is None:
                return total
            if total is None:
                return results[step.left] * right
            return (
                total.addcmul_(results[step.left], right)
                if total.shape == right.shape
                else (torch.addcmul(total, results[step.left], right))
            )
    if all(moves[s] is None for s in sources(step)):
        return None
    match step:
        case Combine():
            return _combined(step, [results[p] for p in step.operands],
                             [moves[p] for p in step.operands])  # fmt: skip
        case Power() | Apply():
            return moves[step.source] * slope(step, results[step.source])
        case Matrix() | Integrate():
            return linear(step, moves[step.source], program.number(position, like), dims)
        case Join():
            some = next(moves[p] for p in step.parts if moves[p] is not None)
            lead = some.shape[:-dims]
            parts = [
                some.new_zeros(1).expand(*lead, *program.lengths[p]) if moves[p] is None
                else moves[p].expand(*lead, *program.lengths[p])
                for p in step.parts
            ]  # fmt: skip
            return torch.cat(parts, dim=step.axis - dims)


def _combined(step: Combine, values: Sequence[Tensor], moves: Sequence[Any]) -> Tensor:
    """Return the change of a function of several results; those it ignores may be infinite."""
    total = None
    partials = step.partials(*step.scaled(values))
    for partial, factor, move in zip(partials, step.factors, moves, strict=True):
        if move is not None:
            part = torch.where(partial == 0, 0.0, partial * move * factor)
            total = part if total is None else total + part
    assert total is not None
    return total
