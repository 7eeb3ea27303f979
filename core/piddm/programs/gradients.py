"""Gradients of results, and what one has of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from piddm.programs.layout import Layout, Starts
from piddm.programs.operands import add
from piddm.programs.tape import Operation, Slots, Tape


@dataclass(frozen=True)
class Gradient:
    """A buffer that holds a gradient, up to a weight, from so far before its beginning."""

    buffer: int
    shift: int = 0
    weight: float = 1.0
    framed: bool = True


@dataclass(frozen=True)
class Term:
    """What a gradient in the frame has of another one: all of it, or times an operand's values.

    Args:
        gradient: The other, shifted to where it counts.
        factor: Position of the operand.
        begin: Where in the gradient the operand's values begin.
        lengths: The operand's shape, as it is used.
    """

    gradient: Gradient
    factor: int | None = None
    begin: int = 0
    lengths: tuple[int, ...] = ()


@dataclass(frozen=True)
class Other:
    """What a gradient has of another one that no loop over the frame can add.

    Args:
        gradient: The other.
        value: Computes what is added; what was spread over an axis is summed over it.
        weight: Times this.
        starts: Where the range it is added to starts.
        lengths: The range's shape.
    """

    gradient: Gradient
    value: Callable[[Slots], Tensor]
    weight: float
    starts: Starts
    lengths: tuple[int, ...]


def fold(layout: Layout, tape: Tape, buffer: int) -> None:
    """Add what lies beyond the seams to where it came from."""
    lengths, begins = list(layout.frame), [0] * len(layout.frame)
    for d in reversed(range(len(lengths))):
        (before, after), n = layout.pads[d], layout.shape[d]
        for length, start, source in ((before, 0, n), (after, before + n, before)):
            if length:
                lengths[d] = length
                edge, inner = (
                    tape.view(buffer, lengths, layout.strides,
                                   layout.distance([*begins[:d], at, *begins[d + 1:]]))
                    for at in (start, source)
                )  # fmt: skip
                add(tape, inner, edge, 1.0, inner)
        lengths[d], begins[d] = n, before


def added(there: int, other: Other, weight: float) -> Operation:
    """Return what adds another gradient, up to a weight, to a range of one."""

    def add_it(s: Slots) -> None:
        target = s[there]
        target.add_(other.value(s).sum_to_size(target.shape), alpha=weight)

    return add_it


def scattered(flat: int, nodes: int, rows: int, weight: float) -> Operation:
    """Return what adds rows to the nodes they were picked from."""
    return lambda s: s[flat].index_add_(1, s[nodes], s[rows], alpha=weight)
