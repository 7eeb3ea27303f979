"""Fewer passes over memory for the same numbers: sums merged, constants computed, factors carried."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from piddm.symbolic.program import Program
from piddm.symbolic.steps import (
    Apply,
    Constant,
    Integrate,
    Join,
    Matrix,
    Power,
    Product,
    Step,
    Sum,
    Tap,
    sources,
)


def optimised(
    steps: Sequence[Step],
    lengths: Sequence[tuple[int, ...]],
    outputs: Mapping[str, int],
    shape: tuple[int, ...],
) -> Program:
    """Return a program for the steps with fewer passes over memory.

    Sums used once are taken into the sum that uses them, equal taps become one, constants are
    computed, unused steps dropped, and numeric factors carried along to the next sum, whose taps
    have weights anyway.
    """
    uses = [0] * len(steps)
    for position in (*itertools.chain(*map(sources, steps)), *outputs.values()):
        uses[position] += 1
    flat: list[Step] = []
    for step in steps:
        flat.append(_merged(step, flat, uses, lengths) if isinstance(step, Sum) else step)
    flat = _folded(flat, len(shape))
    alive = set(outputs.values())
    for position in reversed(range(len(flat))):
        if position in alive:
            alive |= set(sources(flat[position]))
    exact = _exact(flat)
    number: dict[int, int] = {}
    scale: dict[int, float] = {}
    kept: list[Step] = []
    for position, step in enumerate(flat):
        if position in alive:
            step, scale[position] = _scaled(step, scale, number, position in exact)
            number[position] = len(kept)
            kept.append(step)
    return Program(
        tuple(kept),
        {name: (number[p], scale[p]) for name, p in outputs.items()},
        shape,
        tuple(lengths[p] for p in sorted(number)),
    )


def _merged(step: Sum, done: list[Step], uses: list[int], lengths: Sequence[Any]) -> Sum:
    taps: dict[tuple[int, tuple[int | None, ...]], float] = {}
    constant = step.constant
    for tap in step.taps:
        inner = done[tap.source]
        if isinstance(inner, Sum) and uses[tap.source] == 1 and not _spread(tap, inner, step):
            constant += tap.weight * inner.constant
            parts = [(t.source, _shift(t.starts, tap.starts, lengths[t.source], inner.lengths),
                      t.weight * tap.weight) for t in inner.taps]  # fmt: skip
        else:
            parts = [(tap.source, tap.starts, tap.weight)]
        for source, starts, weight in parts:
            taps[source, starts] = taps.get((source, starts), 0.0) + weight
    merged = tuple(Tap(s, at, w) for (s, at), w in taps.items() if w or len(taps) == 1)
    return Sum(merged, step.lengths, constant)


def _spread(tap: Tap, inner: Sum, step: Sum) -> bool:
    """Return whether a sum is smaller than where it is used: it is better summed while small."""
    return any(
        n == 1 and m > 1 for n, m in zip(inner.lengths, step.lengths, strict=True)
    )


def _shift(
    starts: tuple[int | None, ...],
    by: tuple[int | None, ...],
    source: tuple[int, ...],
    inner: tuple[int, ...],
) -> tuple[int | None, ...]:
    """Return the range of a range; along an axis on which the source is spread, there is none."""
    out = []
    for start, shift, n in zip(starts, by, source, strict=True):
        if n == 1 or (start is None and shift is None):
            out.append(None)
        else:
            out.append((start or 0) + (shift or 0))
    return tuple(out)


def _folded(steps: list[Step], dims: int) -> list[Step]:
    """Compute what depends on constants alone."""
    out: list[Step] = []
    for step in steps:
        of = sources(step)
        if of and all(isinstance(out[s], Constant) for s in of):
            used = {s: k for k, s in enumerate(dict.fromkeys(of))}
            small = [out[s] for s in used]
            renamed = _renamed(step, used)
            shapes = tuple(tuple(s.value.shape[1:]) for s in small)  # pyright: ignore
            program = Program((*small, renamed), {"": (len(small), 1.0)}, (1,) * dims, (*shapes, ()))
            results: list[Any] = [s.value for s in small]  # pyright: ignore
            like = torch.zeros((), dtype=torch.float64)
            step = Constant(program._step(len(small), renamed, results, {}, {}, like, False))
        out.append(step)
    return out


def _renamed(step: Step, number: Mapping[int, int]) -> Step:
    match step:
        case Sum():
            taps = tuple(Tap(number[t.source], t.starts, t.weight) for t in step.taps)
            return Sum(taps, step.lengths, step.constant)
        case Product():
            return Product(number[step.left], number[step.right])
        case Power():
            return Power(number[step.source], step.exponent)
        case Apply():
            return Apply(step.function, step.derivative, number[step.source], step.factor)
        case Matrix():
            return Matrix(number[step.source], step.axis, step.matrix)
        case Join():
            return Join(tuple(number[p] for p in step.parts), step.axis)
        case Integrate():
            return Integrate(number[step.source], step.weights, step.axes)
    return step


def _exact(steps: Sequence[Step]) -> set[int]:
    """Return the steps whose results must not lack a factor: joined ones, to be of one scale."""
    exact: set[int] = set()
    for position in reversed(range(len(steps))):
        step = steps[position]
        if isinstance(step, Join) or (position in exact and not isinstance(step, Sum)):
            exact |= set(sources(step))
    return exact


def _scaled(
    step: Step, scale: Mapping[int, float], number: Mapping[int, int], exact: bool
) -> tuple[Step, float]:
    """Return a step on results that lack a factor, and the factor that its own result lacks."""
    match step:
        case Sum():
            taps = [Tap(t.source, t.starts, t.weight * scale[t.source]) for t in step.taps]
            # A sum that starts from a whole result needs no multiplication.
            factor = taps[0].weight if taps and taps[0].weight and not exact else 1.0
            taps = [Tap(number[t.source], t.starts, t.weight / factor) for t in taps]
            return Sum(tuple(taps), step.lengths, step.constant / factor), factor
        case Product():
            return _renamed(step, number), scale[step.left] * scale[step.right]
        case Power():
            factor = scale[step.source]
            if factor < 0 and not float(step.exponent).is_integer():
                step = Apply(lambda v: v**step.exponent,
                             lambda v: step.exponent * v ** (step.exponent - 1),
                             step.source, factor)  # fmt: skip
                return _renamed(step, number), 1.0
            return _renamed(step, number), factor**step.exponent
        case Apply():
            factor = step.factor * scale[step.source]
            renamed = _renamed(step, number)
            assert isinstance(renamed, Apply)
            return Apply(step.function, step.derivative, renamed.source, factor), 1.0
        case Matrix() | Integrate():
            return _renamed(step, number), scale[step.source]
        case Join():
            return _renamed(step, number), 1.0
    return step, 1.0
