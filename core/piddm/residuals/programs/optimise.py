"""Fewer passes over memory: sums merged, constants computed, factors carried."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from piddm.residuals.programs.execution import Executable, constant_value
from piddm.residuals.programs.steps import (
    Apply,
    Combine,
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
from piddm.residuals.programs.widening import renamed, widened


def optimised(
    steps: Sequence[Step],
    lengths: Sequence[tuple[int, ...]],
    outputs: Mapping[str, int],
    shape: tuple[int, ...],
) -> Executable:
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
    flat, lengths, outputs = widened(_folded(flat, len(shape)), lengths, outputs, shape)
    alive = set(outputs.values())
    for position in reversed(range(len(flat))):
        if position in alive:
            alive |= set(sources(flat[position]))
    exact = _exact(flat, outputs.values())
    number: dict[int, int] = {}
    scale: dict[int, float] = {}
    kept: list[Step] = []
    for position, step in enumerate(flat):
        if position in alive:
            step, scale[position] = _scaled(step, scale, number, position in exact)
            number[position] = len(kept)
            kept.append(step)
    return Executable(
        tuple(kept),
        {name: (number[p], scale[p]) for name, p in outputs.items()},
        shape,
        tuple(lengths[p] for p in sorted(number)),
    )


def _merged(step: Sum, done: list[Step], uses: list[int], lengths: Sequence[Any]) -> Step:
    taps: dict[tuple[int, tuple[int | None, ...]], float] = {}
    constant = step.constant
    for tap in step.taps:
        inner = done[tap.source]
        if (number := _number(inner)) is not None:
            constant += tap.weight * number
            continue
        if isinstance(inner, Sum) and _absorbed(inner, uses[tap.source], step):
            constant += tap.weight * inner.constant
            parts = [(t.source, _shift(t.starts, tap.starts, lengths[t.source], inner.lengths),
                      t.weight * tap.weight) for t in inner.taps]  # fmt: skip
        else:
            parts = [(tap.source, tap.starts, tap.weight)]
        for source, starts, weight in parts:
            taps[source, starts] = taps.get((source, starts), 0.0) + weight
    merged = [Tap(s, at, w) for (s, at), w in taps.items() if w or len(taps) == 1]
    if not merged:
        return Constant(torch.full((1, *step.lengths), constant, dtype=torch.float64))
    # What is as large as the sum comes first: the others can be added to it in place. Products
    # come last: they can be computed as they are added.
    merged.sort(key=lambda t: (not _as_large(t, done, lengths, step.lengths),
                               isinstance(done[t.source], Product)))  # fmt: skip
    return Sum(tuple(merged), step.lengths, constant)


def _number(step: Step) -> float | None:
    if isinstance(step, Constant) and step.value.numel() == 1:
        return float(step.value)
    return None


def _absorbed(inner: Sum, uses: int, step: Sum) -> bool:
    """Return whether a sum is better computed within the one that uses it."""
    if not inner.taps:
        return False
    if len(inner.taps) == 1 and not inner.constant:
        return True  # only a factor
    # What is smaller than where it is used is better summed while it is small.
    spread = any(n == 1 and m > 1 for n, m in zip(inner.lengths, step.lengths, strict=True))
    return uses == 1 and not spread


def _as_large(
    tap: Tap, done: Sequence[Step], lengths: Sequence[tuple[int, ...]], whole: tuple[int, ...]
) -> bool:
    if isinstance(done[tap.source], Constant):
        return False
    return all(
        n == m or start is not None
        for n, m, start in zip(lengths[tap.source], whole, tap.starts, strict=True)
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
    """Compute the steps that depend only on constants."""
    out: list[Step] = []
    for step in steps:
        of = sources(step)
        if of and all(isinstance(out[s], Constant) for s in of):
            used = {s: k for k, s in enumerate(dict.fromkeys(of))}
            small = [out[s] for s in used]
            step = Constant(constant_value(renamed(step, used), [s.value for s in small], dims))  # pyright: ignore
        out.append(step)
    return out


def known_value(steps: Sequence[Step], position: int, dims: int) -> torch.Tensor | None:
    """Return a result that depends only on constants, ``(1, *lengths)``; none if it does not."""
    step = steps[position]
    if isinstance(step, Constant):
        return step.value
    used = {s: k for k, s in enumerate(dict.fromkeys(sources(step)))}
    operands = [known_value(steps, s, dims) for s in used]
    if not used or any(v is None for v in operands):
        return None
    return constant_value(renamed(step, used), operands, dims)  # pyright: ignore


def _exact(steps: Sequence[Step], outputs: Iterable[int]) -> set[int]:
    """Return the steps whose results must not lack a factor: outputs, and what is joined."""
    exact = {p for p in outputs if isinstance(steps[p], Sum)}
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
            factor = taps[0].weight or 1.0
            taps = tuple(Tap(number[t.source], t.starts, t.weight / factor) for t in taps)
            if exact or step.constant:
                return Sum(taps, step.lengths, step.constant, factor), 1.0
            return Sum(taps, step.lengths), factor
        case Product():
            return renamed(step, number), scale[step.left] * scale[step.right]
        case Power():
            factor = scale[step.source]
            if factor < 0 and not float(step.exponent).is_integer():
                exponent = step.exponent
                root = Apply(lambda v: v**exponent, lambda v: exponent * v ** (exponent - 1),
                             number[step.source], factor)  # fmt: skip
                return root, 1.0
            return renamed(step, number), factor**step.exponent
        case Apply():
            factor = step.factor * scale[step.source]
            return Apply(step.function, step.derivative, number[step.source], factor), 1.0
        case Combine():
            of = tuple(number[p] for p in step.operands)
            factors = tuple(f * scale[p] for f, p in zip(step.factors, step.operands, strict=True))
            return Combine(step.function, step.partials, of, factors), 1.0
        case Matrix() | Integrate():
            return renamed(step, number), scale[step.source]
        case Join():
            return renamed(step, number), 1.0
    return step, 1.0
