"""Results as wide as they come, so that what is computed lies in memory without gaps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from piddm.residuals.programs.steps import (
    Apply,
    Combine,
    Integrate,
    Join,
    Load,
    Matrix,
    Power,
    Product,
    Step,
    Sum,
    Tap,
    sources,
)

Margins = list[tuple[int, int]]
"""How many values more than asked for a result has, at both ends of each axis."""


def widened(
    steps: Sequence[Step],
    lengths: Sequence[tuple[int, ...]],
    outputs: Mapping[str, int],
    shape: tuple[int, ...],
) -> tuple[list[Step], list[tuple[int, ...]], dict[str, int]]:
    """Return the steps with results as wide as their sources allow, cut where they are used.

    Rows that are whole lie in memory without gaps, and one loop runs through them all: it costs
    less than leaving out the few values beside the rim that nobody needs.
    """
    dims = range(len(shape))
    fixed = set(outputs.values())
    for step in steps:
        if isinstance(step, (Combine, Matrix, Join, Integrate)):
            fixed |= set(sources(step))
    margins: list[Margins] = []
    for position, (step, own) in enumerate(zip(steps, lengths, strict=True)):
        margin = [(0, 0) for _ in dims]
        if position not in fixed:
            margin = [_margin(step, own, d, margins, lengths, shape) for d in dims]
        margins.append(margin)
    out: list[Step] = []
    sizes: list[tuple[int, ...]] = []
    number: list[int] = []

    def put(step: Step, size: tuple[int, ...]) -> int:
        out.append(step)
        sizes.append(size)
        return len(out) - 1

    for position, (step, own) in enumerate(zip(steps, lengths, strict=True)):
        mine = margins[position]
        size = tuple(n + low + high for n, (low, high) in zip(own, mine, strict=True))

        def cut(tap: Tap, mine: Margins = mine) -> Tap:
            starts = tuple(
                None
                if lengths[tap.source][d] == 1 and own[d] != 1  # noqa: B023
                else (tap.starts[d] or 0) + margins[tap.source][d][0] - mine[d][0]
                for d in dims
            )
            return Tap(number[tap.source], starts, tap.weight)

        match step:
            case Load():
                place = tuple(
                    dataclasses.replace(s, start=s.start - low, stop=s.stop + high)
                    for s, (low, high) in zip(step.place, mine, strict=True)
                )
                step = Load(step.name, place)
            case Sum():
                step = Sum(tuple(map(cut, step.taps)), size, step.constant, step.factor)
            case Product() if any(margins[s] != mine for s in sources(step)):
                ends = []
                for source in sources(step):
                    part = tuple(1 if n == 1 and m != 1 else k for n, m, k in
                                 zip(lengths[source], own, size, strict=True))  # fmt: skip
                    view = Sum((cut(Tap(source, (None,) * len(shape), 1.0)),), part)
                    ends.append(number[source] if sizes[number[source]] == part
                                else put(view, part))  # fmt: skip
                step = Product(*ends)
            case _:
                step = renamed(step, dict(enumerate(number)))
        number.append(put(step, size))
    return out, sizes, {name: number[p] for name, p in outputs.items()}


def _margin(
    step: Step,
    own: tuple[int, ...],
    d: int,
    margins: Sequence[Margins],
    lengths: Sequence[tuple[int, ...]],
    shape: tuple[int, ...],
) -> tuple[int, int]:
    """Return how many more values a result may have at both ends of an axis."""
    if own[d] == 1:
        return 0, 0
    match step:
        case Load() if step.place[d].start >= 0 and step.place[d].stop <= shape[d]:
            found = [(step.place[d].start, shape[d] - step.place[d].stop)]
        case Sum() | Product() | Power() | Apply():
            taps = (
                step.taps
                if isinstance(step, Sum)
                else [Tap(s, (None,) * len(own), 1.0) for s in sources(step)]
            )
            found = []
            for tap in taps:
                length, start = lengths[tap.source][d], tap.starts[d] or 0
                if length != 1:
                    low, high = margins[tap.source][d]
                    found.append((low + start, high + length - start - own[d]))
        case _:
            found = [(0, 0)]
    low, high = (min(ends) for ends in zip(*found, strict=True))
    # A face of a box is not to become the box.
    return (low, high) if 4 * (low + high) <= own[d] else (0, 0)


def renamed(step: Step, number: Mapping[int, int]) -> Step:
    """Return a step on other positions of what it uses."""
    match step:
        case Sum():
            taps = tuple(Tap(number[t.source], t.starts, t.weight) for t in step.taps)
            return Sum(taps, step.lengths, step.constant, step.factor)
        case Product():
            return Product(number[step.left], number[step.right])
        case Power():
            return Power(number[step.source], step.exponent)
        case Apply():
            return Apply(step.function, step.derivative, number[step.source], step.factor)
        case Combine():
            of = tuple(number[p] for p in step.operands)
            return Combine(step.function, step.partials, of, step.factors)
        case Matrix():
            return Matrix(number[step.source], step.axis, step.matrix)
        case Join():
            return Join(tuple(number[p] for p in step.parts), step.axis)
        case Integrate():
            return Integrate(number[step.source], step.weights, step.axes)
    return step
