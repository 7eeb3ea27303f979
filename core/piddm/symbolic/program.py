"""What a compiled expression runs: a straight line of steps, evaluated, pushed or pulled.

A step's result is a tensor ``(..., *lengths)``; leading dimensions are the batch. Each step knows
its derivative, so that a program has a tangent and an adjoint of its own: they work in place, on
results that live no longer than they are needed, which general differentiation cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from piddm.symbolic.steps import (
    Apply,
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
    Tap,
    sources,
)

Inputs = Mapping[str, Tensor]

Cuts = tuple[tuple[int, int, int], ...]
"""Dimension, start and length of each range that is less than the whole."""


@dataclass(eq=False)
class Program:
    """Steps in order, and the results wanted of them with a number each is to be multiplied by.

    Args:
        steps: In an order in which results come before their use.
        outputs: Name to position and factor.
        shape: The grid's.
        lengths: Shape of each step's result.

    Attributes:
        pads: How far beyond its seams each field is read.
        reads: Names of the inputs that each result depends on.
    """

    steps: tuple[Step, ...]
    outputs: Mapping[str, tuple[int, float]]
    shape: tuple[int, ...]
    lengths: tuple[tuple[int, ...], ...]
    pads: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    reads: list[set[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        wanted = {position for position, _ in self.outputs.values()}
        last = {p: len(self.steps) for p in wanted}
        reads: list[set[str]] = []
        kept: set[int] = set()
        for position, step in enumerate(self.steps):
            if isinstance(step, Pick):
                self.pads.setdefault(step.name, [(0, 0)] * len(self.shape))
            if isinstance(step, Load):
                pad = self.pads.setdefault(step.name, [(0, 0)] * len(self.shape))
                for d, (span, n) in enumerate(zip(step.place, self.shape, strict=True)):
                    pad[d] = (max(pad[d][0], -span.start), max(pad[d][1], span.stop - n))
            for source in sources(step):
                last[source] = max(last.get(source, 0), position)
            own = {step.name} if isinstance(step, (Load, Pick, Scalar)) else set()
            reads.append(own.union(*(reads[s] for s in sources(step))))
            if isinstance(step, (Product, Power, Apply)):
                kept |= set(sources(step))
        free: list[list[int]] = [[] for _ in self.steps]
        for position, at in last.items():
            if at < len(self.steps):
                free[at].append(position)
        # What a derivative needs: the operands of what is not linear.
        self._free, self.reads, self._kept = free, reads, kept
        self._numbers: dict[Any, Tensor] = {}
        self._cuts = {
            p: _cuts(tuple(x.start + b for x, (b, _) in zip(s.place, self.pads[s.name], strict=True)),
                     tuple(x.length for x in s.place),
                     tuple(n + sum(pad) for n, pad in
                           zip(self.shape, self.pads[s.name], strict=True)))
            for p, s in enumerate(self.steps) if isinstance(s, Load)
        }  # fmt: skip
        self._fused_products = self._fused() - kept
        for position in self._fused_products:  # their factors live as long as they are used
            for source in sources(self.steps[position]):
                later = last[position]
                if last[source] < later:
                    free[last[source]].remove(source)
                    free[later].append(source)
                    last[source] = later
        self._overwrites = self._overwritten(last)
        self._sums = {
            p: self._summation(s) for p, s in enumerate(self.steps) if isinstance(s, Sum)
        }

    def _summation(self, step: Sum) -> Callable[[list[Any], bool], Tensor]:
        """Return what computes a sum of earlier results, in place where that is allowed."""
        taps = [
            (t.source, self._tap_cuts(t, step, t.source), t.weight, self._factors(t, step))
            for t in step.taps
        ]
        (first, first_cut, first_weight, first_product), *rest = taps
        first_step = step.taps[0]
        # A result of the full shape, of every sample: what it starts is as large as the sum.
        full = bool(self.reads[first]) and all(
            n == m or start is not None
            for n, m, start in zip(self.lengths[first], step.lengths, first_step.starts, strict=True)
        )
        constant, factor = torch.tensor(step.constant, dtype=torch.float64), step.factor

        def compute(results: list[Any], fresh: bool) -> Tensor:
            own = False  # nobody else's memory
            if results[first] is None:
                left, left_cut, right, right_cut = first_product
                total = _cut(results[left], left_cut) * _cut(results[right], right_cut)
                own = True
            else:
                total = _cut(results[first], first_cut)
            if first_weight != 1:
                total, own = total * first_weight, True
            for source, cut, weight, product in rest:
                if results[source] is None:
                    left, left_cut, right, right_cut = product
                    a, b = _cut(results[left], left_cut), _cut(results[right], right_cut)
                    if own and full:
                        total = total.addcmul_(a, b, value=weight)
                    else:
                        total = torch.addcmul(total, a, b, value=weight)
                elif fresh and own and full:
                    total = total.add_(_cut(results[source], cut), alpha=weight)
                else:
                    total = torch.add(total, _cut(results[source], cut), alpha=weight)
                own = True
            if step.constant and fresh and own and full and total.device == constant.device:
                return torch.add(constant, total, alpha=factor, out=total)
            if factor != 1:
                total = total.mul_(factor) if fresh and own and full else total * factor
            return total + step.constant if step.constant else total

        return compute

    def _tap_cuts(self, tap: Tap, step: Sum, source: int) -> Cuts:
        starts = tuple(
            None if n == 1 else start
            for start, n in zip(tap.starts, self.lengths[source], strict=True)
        )
        return _cuts(starts, step.lengths, self.lengths[source])

    def _factors(self, tap: Tap, step: Sum) -> Any:
        """Return what a tap on a product multiplies: two positions with their cuts."""
        if not isinstance(product := self.steps[tap.source], Product):
            return None
        left, right = product.left, product.right
        return left, self._tap_cuts(tap, step, left), right, self._tap_cuts(tap, step, right)

    def _fused(self) -> set[int]:
        """Return the products that the sums that use them may compute as they add them up."""
        wanted = {position for position, _ in self.outputs.values()}
        uses: dict[int, int] = {}
        for step in self.steps:
            for source in sources(step):
                # A product used otherwise, or more than once, is better computed once.
                uses[source] = uses.get(source, 0) + (1 if isinstance(step, Sum) else 2)
        return {
            p for p, step in enumerate(self.steps)
            if isinstance(step, Product) and p not in wanted and uses.get(p) == 1
        }  # fmt: skip

    def _overwritten(self, last: Mapping[int, int]) -> dict[int, int]:
        """Return the products that may take the memory of a factor that nobody needs after."""
        found = {}
        for p, step in enumerate(self.steps):
            if not isinstance(step, Product) or step.left == step.right:
                continue
            for source in sources(step):
                inner = self.steps[source]
                owned = isinstance(inner, Sum) and (len(inner.taps) > 1 or inner.factor != 1)
                whole = self.lengths[source] == self.lengths[p] and bool(self.reads[source])
                if owned and whole and last[source] == p:
                    found[p] = source
        return found

    def names(self) -> tuple[str, ...]:
        """Return the names of the fields and params it reads."""
        params = (s.name for s in self.steps if isinstance(s, Scalar))
        return tuple(dict.fromkeys((*self.pads, *params)))

    def evaluate(
        self, inputs: Inputs, fresh: bool = False, keep: bool = False, like: Tensor | None = None
    ) -> Any:
        """Return the outputs, and the results that a derivative needs, where they are kept.

        Args:
            inputs: Fields ``(..., *shape)`` and per-sample params ``(...,)``.
            fresh: Nothing records these operations: results may be changed in place.
            keep: Keep what the adjoint and the tangent need.
            like: Precision and device where no field is read.
        """
        padded = {k: _wrap(inputs[k], pad) for k, pad in self.pads.items()}
        like = next(iter(padded.values())) if like is None else like
        results: list[Any] = []
        for position, step in enumerate(self.steps):
            match step:
                case Sum():
                    value = self._sums[position](results, fresh)
                case Load():
                    value = _cut(padded[step.name], self._cuts[position])
                case Pick():
                    value = inputs[step.name].flatten(-len(self.shape))
                    value = value.index_select(-1, self._number(position, like))
                    value = value.view(*value.shape[:-1], *self.lengths[position])
                case Product():
                    if fresh and position in self._fused_products:
                        value = None
                    elif fresh and not keep and position in self._overwrites:
                        own = self._overwrites[position]
                        other = step.left + step.right - own
                        value = results[own].mul_(results[other])
                    else:
                        value = results[step.left] * results[step.right]
                case Scalar():
                    value = inputs[step.name]
                    value = value.reshape(*value.shape, *[1] * len(self.shape))
                case Constant():
                    value = self._number(position, like)
                case Join():
                    value = torch.cat([results[p] for p in step.parts], dim=self._dim(step))
                case Power():
                    value = _power(results[step.source], step.exponent)
                case Apply():
                    value = results[step.source]
                    value = step.function(value * step.factor if step.factor != 1 else value)
                case Matrix() | Integrate():
                    value = self._linear(position, step, results[step.source], like)
            results.append(value)
            for dead in self._free[position]:
                if not keep or dead not in self._kept:
                    results[dead] = None
        out = {
            name: results[p] if factor == 1 else results[p] * factor
            for name, (p, factor) in self.outputs.items()
        }
        return (out, results) if keep else out

    def _dim(self, step: Matrix | Join) -> int:
        return step.axis - len(self.shape)

    def _linear(
        self, position: int, step: Matrix | Integrate, value: Tensor, like: Tensor
    ) -> Tensor:
        number = self._number(position, like)
        if isinstance(step, Matrix):
            return _product(value, number, self._dim(step))
        return (value * number).sum([d - len(self.shape) for d in step.axes], keepdim=True)

    def _number(self, position: int, like: Tensor) -> Tensor:
        """Return a step's numbers on the device and in the precision of the fields."""
        match self.steps[position]:
            case Constant(value=number) | Matrix(matrix=number) | Integrate(weights=number):
                pass
            case Pick(nodes=nodes):
                number = nodes
            case _:
                raise TypeError(position)
        if torch.compiler.is_compiling():
            return number.to(like) if number.is_floating_point() else number.to(like.device)
        key = (position, like.dtype, like.device)
        if key not in self._numbers:
            dtype = like.dtype if number.is_floating_point() else number.dtype
            self._numbers[key] = number.to(device=like.device, dtype=dtype)
        return self._numbers[key]

    def tangent(self, inputs: Inputs, tangents: Inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the outputs and their derivative along a direction.

        Args:
            inputs: Fields ``(batch, *shape)``, params ``(batch,)``.
            tangents: Directions by name, one dimension more in front where there are several:
                ``(directions, batch, *shape)``; a name that is missing does not move.
        """
        out, results = self.evaluate(inputs, fresh=True, keep=True)
        padded = {k: _wrap(tangents[k], pad) for k, pad in self.pads.items() if k in tangents}
        moves: list[Any] = []
        like = next(iter(out.values()))
        for position, step in enumerate(self.steps):
            moves.append(self._move(position, step, results, moves, tangents, padded, like))
            for dead in self._free[position]:
                moves[dead] = None
        lead = next(iter(tangents.values())).ndim - inputs[next(iter(tangents))].ndim
        change = {}
        for name, (position, factor) in self.outputs.items():
            move = moves[position]
            if move is None:
                shape = next(iter(tangents.values())).shape[:lead]
                move = out[name].new_zeros(*shape, *out[name].shape)
            change[name] = move * factor if factor != 1 else move
        return out, change

    def _move(
        self,
        position: int,
        step: Step,
        results: list[Any],
        moves: list[Any],
        tangents: Inputs,
        padded: Inputs,
        like: Tensor,
    ) -> Any:
        match step:
            case Load():
                if step.name not in padded:
                    return None
                return _cut(padded[step.name], self._cuts[position])
            case Pick():
                if step.name not in tangents:
                    return None
                value = tangents[step.name].flatten(-len(self.shape))
                value = value.index_select(-1, self._number(position, like))
                return value.view(*value.shape[:-1], *self.lengths[position])
            case Scalar():
                value = tangents.get(step.name)
                return None if value is None else value.reshape(*value.shape, *[1] * len(self.shape))
            case Sum():
                return self._moved_sum(step, moves)
            case Product():
                left, right = moves[step.left], moves[step.right]
                if step.left == step.right:
                    return None if left is None else left * (2 * results[step.left])
                total = None if left is None else left * results[step.right]
                if right is None:
                    return total
                other = results[step.left] * right
                return other if total is None else total.add_(other)
        if all(moves[s] is None for s in sources(step)):
            return None
        match step:
            case Power() | Apply():
                return moves[step.source] * _slope(step, results[step.source])
            case Join():
                some = next(moves[p] for p in step.parts if moves[p] is not None)
                return torch.cat(
                    [
                        moves[p] if moves[p] is not None
                        else some.new_zeros(*some.shape[: -len(self.shape)], *self.lengths[p])
                        for p in step.parts
                    ],
                    dim=self._dim(step),
                )  # fmt: skip
            case Matrix() | Integrate():
                return self._linear(position, step, moves[step.source], like)
        return None

    def _moved_sum(self, step: Sum, moves: list[Any]) -> Any:
        total, own = None, False
        for tap in step.taps:
            move = moves[tap.source]
            if move is None:
                continue
            move = _cut(move, _cuts(tap.starts, step.lengths, self.lengths[tap.source]))
            weight = tap.weight * step.factor
            if total is None:
                total, own = (move, False) if weight == 1 else (move * weight, True)
            elif own and total.shape == move.shape:
                total = total.add_(move, alpha=weight)
            else:
                total, own = torch.add(total, move, alpha=weight), True
        return total

    def adjoint(
        self, inputs: Inputs, results: list[Any], pulls: Mapping[str, Tensor], wanted: set[str]
    ) -> dict[str, Tensor]:
        """Return the derivative by the inputs of the outputs' inner product with ``pulls``.

        Args:
            inputs: What the program was evaluated on.
            results: What :meth:`evaluate` kept.
            pulls: Output name to a tensor of its shape.
            wanted: Names of inputs.
        """
        like = next(iter(pulls.values()))
        padded = {
            k: like.new_zeros(
                *inputs[k].shape[: -len(self.shape)],
                *(n + a + b for n, (a, b) in zip(self.shape, pad, strict=True)),
            )
            for k, pad in self.pads.items()
            if k in wanted
        }
        found: dict[str, Tensor] = {}
        picked: list[tuple[Pick, int, Tensor]] = []
        grads: list[Any] = [None] * len(self.steps)
        for position, step in enumerate(self.steps):
            if isinstance(step, Load) and step.name in wanted:
                grads[position] = _cut(padded[step.name], self._cuts[position])
        for name, (position, factor) in self.outputs.items():
            if name in pulls:
                self._give(grads, position, pulls[name], factor)
        for position in reversed(range(len(self.steps))):
            step, grad = self.steps[position], grads[position]
            if grad is None or isinstance(step, Load):
                continue
            if isinstance(step, Pick):
                if step.name in wanted:
                    picked.append((step, position, grad))
                continue
            if isinstance(step, Scalar):
                if step.name in wanted:
                    value = grad.flatten(inputs[step.name].ndim).sum(-1)
                    found[step.name] = found.get(step.name, 0) + value
                continue
            self._pull(position, step, grad, results, grads, like)
            grads[position] = None
        for name, total in padded.items():
            found[name] = _unwrap(total, self.pads[name], self.shape)
        for step, position, grad in picked:
            # Where nothing was padded, this is the memory itself; else a copy takes the rows.
            whole = found[step.name] = found[step.name].contiguous()
            dims = len(self.shape)
            nodes = self._number(position, like)
            whole.flatten(-dims).index_add_(-1, nodes, grad.flatten(-dims))
        return found

    def _pull(
        self,
        position: int,
        step: Step,
        grad: Tensor,
        results: list[Any],
        grads: list[Any],
        like: Tensor,
    ) -> None:
        match step:
            case Sum():
                for tap in step.taps:
                    cut = _cuts(tap.starts, step.lengths, self.lengths[tap.source])
                    self._give(grads, tap.source, grad, tap.weight * step.factor, cut)
            case Product():
                if step.left == step.right:
                    self._give(grads, step.left, grad, 2.0, by=results[step.left])
                else:
                    self._give(grads, step.left, grad, 1.0, by=results[step.right])
                    self._give(grads, step.right, grad, 1.0, by=results[step.left])
            case Power() | Apply():
                slope = _slope(step, results[step.source])
                self._give(grads, step.source, grad, 1.0, by=slope)
            case Matrix():
                pulled = _product(grad, self._number(position, like).mT, self._dim(step))
                self._give(grads, step.source, pulled, 1.0)
            case Join():
                dim, start = self._dim(step), 0
                for part in step.parts:
                    length = self.lengths[part][step.axis]
                    self._give(grads, part, grad.narrow(dim, start, length), 1.0)
                    start += length
            case Integrate():
                self._give(grads, step.source, grad, 1.0, by=self._number(position, like))

    def _give(
        self,
        grads: list[Any],
        position: int,
        grad: Tensor,
        weight: float,
        cut: Cuts = (),
        by: Tensor | None = None,
    ) -> None:
        """Add ``weight * grad * by`` to a range of a result's gradient."""
        if not self.reads[position] or (grads[position] is None and self._is_load(position)):
            return
        own, dims = self.lengths[position], len(self.shape)
        if grads[position] is None:
            if not cut and tuple(grad.shape[-dims:]) == own:
                grads[position] = grad * weight if by is None else (
                    grad * by if weight == 1 else (grad * by).mul_(weight)
                )  # fmt: skip
                return
            grads[position] = grad.new_zeros(*grad.shape[:-dims], *own)
        target = _cut(grads[position], cut)
        if target.shape == grad.shape:
            if by is None:
                target.add_(grad, alpha=weight)
            else:
                target.addcmul_(grad, by, value=weight)
            return
        move = grad * weight if by is None else (grad * by).mul_(weight)
        # What was spread over an axis comes back summed over it.
        larger = move.numel() > target.numel()
        target.add_(move.sum_to_size(target.shape) if larger else move)

    def _is_load(self, position: int) -> bool:
        return isinstance(self.steps[position], Load)


def _power(values: Tensor, exponent: float) -> Tensor:
    return values ** (int(exponent) if float(exponent).is_integer() else exponent)


def _slope(step: Power | Apply, values: Tensor) -> Tensor:
    if isinstance(step, Power):
        return step.exponent * _power(values, step.exponent - 1)
    inner = values * step.factor if step.factor != 1 else values
    return step.derivative(inner) * step.factor


def _product(values: Tensor, matrix: Tensor, dim: int) -> Tensor:
    return (values.movedim(dim, -1) @ matrix.mT).movedim(-1, dim)


def _cuts(
    starts: tuple[int | None, ...], lengths: tuple[int, ...], of: tuple[int, ...]
) -> Cuts:
    """Return the cuts that leave a range of a result of shape ``of``."""
    return tuple(
        (d - len(of), start, length)
        for d, (start, length, n) in enumerate(zip(starts, lengths, of, strict=True))
        if start is not None and (start or length != n)
    )


def _cut(values: Tensor, cuts: Cuts) -> Tensor:
    for dim, start, length in cuts:
        values = values.narrow(dim, start, length)
    return values


def _wrap(values: Tensor, pad: list[tuple[int, int]]) -> Tensor:
    """Continue periodic axes beyond their seam, out of place."""
    for d, (before, after) in enumerate(pad):
        if before or after:
            dim = d - len(pad)
            n = values.shape[dim]
            parts = [values.narrow(dim, n - before, before), values]
            values = torch.cat([*parts, values.narrow(dim, 0, after)], dim=dim)
    return values


def _unwrap(values: Tensor, pad: list[tuple[int, int]], shape: tuple[int, ...]) -> Tensor:
    """Adjoint of :func:`_wrap`: add what lies beyond the seam to where it came from."""
    for d in reversed(range(len(pad))):
        before, after = pad[d]
        if before or after:
            dim, n = d - len(pad), shape[d]
            inner = values.narrow(dim, before, n)
            if before:
                inner.narrow(dim, n - before, before).add_(values.narrow(dim, 0, before))
            if after:
                inner.narrow(dim, 0, after).add_(values.narrow(dim, before + n, after))
            values = inner
    return values


def constant_value(step: Step, operands: list[Tensor], dims: int) -> Tensor:
    """Return the result of a step whose sources, by position, are known numbers."""
    steps = (*(Constant(v) for v in operands), step)
    lengths = (*(tuple(v.shape[1:]) for v in operands), ())
    program = Program(steps, {"": (len(operands), 1.0)}, (1,) * dims, lengths)
    return program.evaluate({}, like=operands[0])[""]
