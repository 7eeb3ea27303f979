"""The steps of a compiled expression: what each result is computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

SPECTRAL = 0
"""Stands for the order of accuracy along an axis that is differentiated spectrally."""


@dataclass(frozen=True)
class Span:
    """A range along one axis: nodes ``start .. stop-1``, or the midpoints just above them.

    Args:
        start: First index.
        stop: Index after the last.
        half: Whether these are midpoints.
        order: Order of accuracy of what is computed there along this axis.
        averaged: Whether what is not differenced along this axis is a mean over neighbours.
        wall: -1 or 1: the one place of the range is the lower or the upper end of the axis, beyond
            the node that the range names.
    """

    start: int
    stop: int
    half: bool = False
    order: int = 2
    averaged: bool = False
    wall: int = 0

    @property
    def length(self) -> int:
        """Number of places in the range."""
        return self.stop - self.start


Place = tuple[Span, ...]


@dataclass(frozen=True, eq=False)
class Load:
    """A field on a range of nodes, which may reach beyond a periodic axis."""

    name: str
    place: Place


@dataclass(frozen=True, eq=False)
class Pick:
    """A field at chosen nodes, no two alike.

    Args:
        name: The field.
        nodes: ``(count,)`` their flat positions.
    """

    name: str
    nodes: Tensor


@dataclass(frozen=True, eq=False)
class Scalar:
    """A parameter's value per sample."""

    name: str


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers known at build time, ``(1, *lengths)``."""

    value: Tensor


@dataclass(frozen=True, eq=False)
class Tap:
    """A range of an earlier result times a number.

    Args:
        source: Position of the result.
        starts: Where the range starts along each axis; ``None`` along axes it is taken whole.
        weight: The number.
    """

    source: int
    starts: tuple[int | None, ...]
    weight: float


@dataclass(frozen=True, eq=False)
class Sum:
    """A linear combination of ranges of earlier results, times a factor, plus a number."""

    taps: tuple[Tap, ...]
    lengths: tuple[int, ...]
    constant: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Product:
    """Two earlier results multiplied."""

    left: int
    right: int


@dataclass(frozen=True, eq=False)
class Power:
    """An earlier result to a fixed power."""

    source: int
    exponent: float


@dataclass(frozen=True, eq=False)
class Apply:
    """A function of one earlier result, times a number, value by value, and its derivative."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    source: int
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class Combine:
    """A function of several earlier results, each times a number, value by value.

    Args:
        function: Of as many tensors as there are operands, which broadcast.
        partials: The same tensors to the function's derivatives by each.
        operands: Positions of the results.
        factors: The numbers.
    """

    function: Callable[..., Tensor]
    partials: Callable[..., tuple[Tensor, ...]]
    operands: tuple[int, ...]
    factors: tuple[float, ...]

    def scaled(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the operands' values times their numbers."""
        return [v if f == 1 else v * f for v, f in zip(values, self.factors, strict=True)]


@dataclass(frozen=True, eq=False)
class Matrix:
    """The product with a matrix along one axis."""

    source: int
    axis: int
    matrix: Tensor


@dataclass(frozen=True, eq=False)
class Join:
    """Earlier results one after another along an axis."""

    parts: tuple[int, ...]
    axis: int


@dataclass(frozen=True, eq=False)
class Integrate:
    """A weighted sum over some axes, which keep the length 1."""

    source: int
    weights: Tensor
    axes: tuple[int, ...]


Step = (
    Load | Pick | Scalar | Constant | Sum | Product | Power | Apply | Combine | Matrix | Join
    | Integrate
)  # fmt: skip


def sources(step: Step) -> tuple[int, ...]:
    """Return the positions of the results a step uses."""
    match step:
        case Sum():
            return tuple(tap.source for tap in step.taps)
        case Product():
            return (step.left, step.right)
        case Join():
            return step.parts
        case Combine():
            return step.operands
        case Power() | Apply() | Matrix() | Integrate():
            return (step.source,)
    return ()
