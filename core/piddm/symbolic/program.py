"""What a compiled expression runs: a straight line of steps, evaluated, pushed or pulled.

A step's result is a tensor ``(..., *lengths)``; leading dimensions are the batch. Each step knows
its derivative, so that a program has a tangent and an adjoint of its own: they work in place, on
results that live no longer than they are needed, which general differentiation cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Place,
    Power,
    Product,
    Scalar,
    Step,
    Sum,
    sources,
)

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
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
            if isinstance(step, Load):
                pad = self.pads.setdefault(step.name, [(0, 0)] * len(self.shape))
                for d, (span, n) in enumerate(zip(step.place, self.shape, strict=True)):
                    pad[d] = (max(pad[d][0], -span.start), max(pad[d][1], span.stop - n))
            for source in sources(step):
                last[source] = max(last.get(source, 0), position)
            own = {step.name} if isinstance(step, (Load, Scalar)) else set()
            reads.append(own.union(*(reads[s] for s in sources(step))))
            if isinstance(step, (Product, Power, Apply)):
                kept |= set(sources(step))
        free: list[list[int]] = [[] for _ in self.steps]
        for position, at in last.items():
            if at < len(self.steps):
                free[at].append(position)
        # What a derivative needs: the operands of what is not linear.
        object.__setattr__(self, "_free", free)
        object.__setattr__(self, "reads", reads)
        object.__setattr__(self, "_kept", kept)
        object.__setattr__(self, "_constants", {})

    def names(self) -> tuple[str, ...]:
        """Return the names of the fields and params it reads."""
        params = (s.name for s in self.steps if isinstance(s, Scalar))
        return tuple(dict.fromkeys((*self.pads, *params)))

    def evaluate(self, inputs: Inputs, fresh: bool = False, keep: bool = False) -> Any:
        """Return the outputs, and the results that a derivative needs, where they are kept.

        Args:
            inputs: Fields ``(..., *shape)`` and per-sample params ``(...,)``.
            fresh: Nothing records these operations: results may be changed in place.
            keep: Keep what the adjoint and the tangent need.
        """
        padded = {k: _wrap(inputs[k], pad) for k, pad in self.pads.items()}
        like = next(iter(padded.values()))
        results: list[Any] = []
        free: list[list[int]] = self._free  # pyright: ignore
        kept: set[int] = self._kept if keep else set()  # pyright: ignore
        for position, step in enumerate(self.steps):
            results.append(self._step(position, step, results, inputs, padded, like, fresh))
            for dead in free[position]:
                if dead not in kept:
                    results[dead] = None
        out = {}
        for name, (position, factor) in self.outputs.items():
            value = results[position]
            alone = fresh and position not in kept and isinstance(self.steps[position], Sum)
            if factor != 1 and alone and self._single(position):
                value = value.mul_(factor)
            elif factor != 1:
                value = value * factor
            out[name] = value
        return (out, results) if keep else out

    def _single(self, position: int) -> bool:
        step = self.steps[position]
        fresh = isinstance(step, Sum) and len(step.taps) > 1
        return fresh and sum(p == position for p, _ in self.outputs.values()) == 1

    def _step(
        self,
        position: int,
        step: Step,
        results: list[Any],
        inputs: Inputs,
        padded: Inputs,
        like: Tensor,
        fresh: bool,
    ) -> Tensor:
        match step:
            case Sum():
                return self._sum(step, results, fresh)
            case Load():
                return _slice(padded[step.name], step.place, self.pads[step.name])
            case Product():
                return results[step.left] * results[step.right]
            case Power():
                return _power(results[step.source], step.exponent)
            case Apply():
                value = results[step.source]
                return step.function(value * step.factor if step.factor != 1 else value)
            case Matrix():
                return _product(results[step.source], self._at(position, like), self._dim(step))
            case Join():
                return torch.cat([results[p] for p in step.parts], dim=self._dim(step))
            case Integrate():
                dims = [d - len(self.shape) for d in step.axes]
                return (results[step.source] * self._at(position, like)).sum(dims, keepdim=True)
            case Scalar():
                value = inputs[step.name]
                return value.reshape(*value.shape, *[1] * len(self.shape))
            case Constant():
                return self._at(position, like)

    def _dim(self, step: Matrix | Join) -> int:
        return step.axis - len(self.shape)

    def _at(self, position: int, like: Tensor) -> Tensor:
        """Return a step's numbers on the device and in the precision of the fields."""
        step = self.steps[position]
        number = step.value if isinstance(step, Constant) else (
            step.matrix if isinstance(step, Matrix) else step.weights  # pyright: ignore
        )
        if torch.compiler.is_compiling():
            return number.to(like)
        cache: dict[Any, Tensor] = self._constants  # pyright: ignore
        key = (position, like.dtype, like.device)
        if key not in cache:
            cache[key] = number.to(device=like.device, dtype=like.dtype)
        return cache[key]

    def _sum(self, step: Sum, results: Sequence[Any], fresh: bool) -> Tensor:
        total: Any = None
        for count, tap in enumerate(step.taps):
            value = _narrow(results[tap.source], tap.starts, step.lengths)
            if total is None:
                total = value if tap.weight == 1 else value * tap.weight
            elif fresh and count > 1 and total.shape[-len(self.shape) :] == step.lengths and (
                total.ndim > value.ndim or total.shape[: -len(self.shape)] == value.shape[: -len(self.shape)]
                or value.shape[0] == 1
            ):
                total = total.add_(value, alpha=tap.weight)
            elif tap.weight == 1:
                total = total + value
            elif tap.weight == -1:
                total = total - value
            else:
                total = torch.add(total, value, alpha=tap.weight)
        return total + step.constant if step.constant else total

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
        free: list[list[int]] = self._free  # pyright: ignore
        like = next(iter(out.values()))
        for position, step in enumerate(self.steps):
            moves.append(self._move(position, step, results, moves, tangents, padded, like))
            for dead in free[position]:
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
                return _slice(padded[step.name], step.place, self.pads[step.name])
            case Scalar():
                value = tangents.get(step.name)
                return None if value is None else value.reshape(*value.shape, *[1] * len(self.shape))
            case Sum():
                taps = tuple(tap for tap in step.taps if moves[tap.source] is not None)
                return self._sum(Sum(taps, step.lengths), moves, True) if taps else None
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
            case Matrix():
                return _product(moves[step.source], self._at(position, like), self._dim(step))
            case Integrate():
                dims = [d - len(self.shape) for d in step.axes]
                return (moves[step.source] * self._at(position, like)).sum(dims, keepdim=True)
        return None

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
        grads: list[Any] = [None] * len(self.steps)
        for position, step in enumerate(self.steps):
            if isinstance(step, Load) and step.name in wanted:
                grads[position] = _slice(padded[step.name], step.place, self.pads[step.name])
        for name, (position, factor) in self.outputs.items():
            if name in pulls:
                self._give(grads, position, pulls[name], factor)
        for position in reversed(range(len(self.steps))):
            step, grad = self.steps[position], grads[position]
            if grad is None or isinstance(step, Load):
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
                    self._give(grads, tap.source, grad, tap.weight, tap.starts, step.lengths)
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
                pulled = _product(grad, self._at(position, like).mT, self._dim(step))
                self._give(grads, step.source, pulled, 1.0)
            case Join():
                dim, start = self._dim(step), 0
                for part in step.parts:
                    length = self.lengths[part][step.axis]
                    self._give(grads, part, grad.narrow(dim, start, length), 1.0)
                    start += length
            case Integrate():
                self._give(grads, step.source, grad, 1.0, by=self._at(position, like))

    def _give(
        self,
        grads: list[Any],
        position: int,
        grad: Tensor,
        weight: float,
        starts: tuple[int | None, ...] = (),
        lengths: tuple[int, ...] = (),
        by: Tensor | None = None,
    ) -> None:
        """Add ``weight * grad * by`` to a result's gradient."""
        if not self.reads[position] or (grads[position] is None and self._is_load(position)):
            return
        own = self.lengths[position]
        whole = all(s is None for s in starts) or lengths == own
        if grads[position] is None:
            if whole and by is None and _covers(grad, own):
                grads[position] = grad * weight
                return
            if whole and by is not None and _covers(grad, own):
                grads[position] = (grad * by).mul_(weight) if weight != 1 else grad * by
                return
            lead = grad.shape[: -len(own)]
            grads[position] = grad.new_zeros(*lead, *own)
        target = grads[position]
        target = target if whole else _narrow(target, starts, lengths)
        if _covers(grad, tuple(target.shape[-len(own) :])) and (
            by is None or _covers(by, tuple(target.shape[-len(own) :])) or by.numel() == 1
            or all(b in (1, n) for b, n in zip(by.shape[-len(own) :], target.shape[-len(own) :], strict=True))
        ):
            if by is None:
                target.add_(grad, alpha=weight)
            else:
                target.addcmul_(grad, by, value=weight)
            return
        move = grad * by * weight if by is not None else grad * weight
        # What was spread over an axis comes back summed over it.
        target.add_(move.sum_to_size(target.shape) if move.numel() > target.numel() else move)

    def _is_load(self, position: int) -> bool:
        return isinstance(self.steps[position], Load)


def _covers(values: Tensor, lengths: tuple[int, ...]) -> bool:
    return tuple(values.shape[-len(lengths) :]) == lengths


def _power(values: Tensor, exponent: float) -> Tensor:
    return values ** (int(exponent) if float(exponent).is_integer() else exponent)


def _slope(step: Power | Apply, values: Tensor) -> Tensor:
    if isinstance(step, Power):
        return step.exponent * _power(values, step.exponent - 1)
    inner = values * step.factor if step.factor != 1 else values
    return step.derivative(inner) * step.factor


def _product(values: Tensor, matrix: Tensor, dim: int) -> Tensor:
    return (values.movedim(dim, -1) @ matrix.mT).movedim(-1, dim)


def _narrow(values: Tensor, starts: tuple[int | None, ...], lengths: tuple[int, ...]) -> Tensor:
    for d, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        if start is not None:
            values = values.narrow(d - len(lengths), start, length)
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


def _slice(values: Tensor, place: Place, pad: list[tuple[int, int]]) -> Tensor:
    for d, (span, (before, _)) in enumerate(zip(place, pad, strict=True)):
        dim = d - len(place)
        if span.length != values.shape[dim]:
            values = values.narrow(dim, span.start + before, span.length)
    return values
