"""Gradients of results, and what one has of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from piddm.residuals.programs.memory_layout import Starts
from piddm.residuals.programs.tape import Operation, Slots


@dataclass(frozen=True)
class Gradient:
    """A buffer that holds a gradient, up to a weight, from so far before its beginning."""

    buffer: int
    shift: int = 0
    weight: float = 1.0
    framed: bool = True


@dataclass(frozen=True)
class Term:
    """A part of a gradient in the frame: another gradient, or that times an operand's values.

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
    """A part of a gradient that no loop over the frame can add.

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


def added(there: int, other: Other, weight: float) -> Operation:
    """Return what adds another gradient, up to a weight, to a range of one."""

    def add_it(s: Slots) -> None:
        target = s[there]
        target.add_(other.value(s).sum_to_size(target.shape), alpha=weight)

    return add_it


def scattered(flat: int, nodes: int, rows: int, weight: float) -> Operation:
    """Return what adds rows to the nodes they were picked from."""
    return lambda s: s[flat].index_add_(1, s[nodes], s[rows], alpha=weight)


def unless_zero(gradient: Tensor, value: Tensor) -> Tensor:
    """Return values, zero where the gradient is zero, however steep what it was multiplied by."""
    return torch.where(gradient == 0, 0.0, value)
