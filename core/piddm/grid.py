"""Rectangular grids: named axes with coordinates, spacing, periodicity and the role of time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from piddm.errors import UsageError, nearest

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Axis:
    """One axis of a grid.

    A periodic axis of length L has nodes ``lower + i L/n`` (the end is the start again), any other
    has ``lower + i L/(n-1)``, both ends included.

    Args:
        lower: Coordinate of the first node.
        upper: Coordinate of the last node, or of the seam where the axis is periodic.
        size: Number of nodes, n.
        periodic: Whether the axis closes on itself.
        time: Whether this is the axis of time.
    """

    lower: float
    upper: float
    size: int
    periodic: bool = False
    time: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool):
            raise UsageError(f"an axis has a whole number of nodes, not {self.size!r}")
        if isinstance(self.lower, str) or isinstance(self.upper, str):
            raise UsageError(f"the ends of an axis are numbers, not {self.lower!r}, {self.upper!r}")
        # Symbols such as 2 pi are welcome, but numbers are what files and tensors take.
        for end in ("lower", "upper"):
            if not isinstance(getattr(self, end), (int, float)):
                object.__setattr__(self, end, float(getattr(self, end)))
        if self.size < 2:
            raise UsageError(f"an axis needs at least 2 nodes, not {self.size}")
        if not self.upper > self.lower:
            raise UsageError(f"an axis must go up, not from {self.lower} to {self.upper}")
        if self.time and self.periodic:
            raise UsageError("an axis of time cannot be periodic")

    @property
    def spacing(self) -> float:
        """Distance between neighbouring nodes."""
        intervals = self.size if self.periodic else self.size - 1
        return (self.upper - self.lower) / intervals

    def coordinates(self) -> np.ndarray:
        """Coordinates of the nodes, float64, shape ``(size,)``."""
        import numpy as np

        return self.lower + self.spacing * np.arange(self.size)


class Grid:
    """Named axes in the order of a field tensor's dimensions; time, if there is any, comes first.

    >>> grid = Grid(t=Axis(0, 1, 64, time=True), x=Axis(0, 1, 64, periodic=True))
    >>> grid.shape
    (64, 64)
    """

    def __init__(self, **axes: Axis) -> None:
        if not axes:
            raise UsageError("a grid needs at least one axis")
        if any(axis.time for axis in list(axes.values())[1:]):
            raise UsageError("the axis of time must be the first of the grid")
        self.axes: dict[str, Axis] = axes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, in order."""
        return tuple(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of nodes along each axis."""
        return tuple(axis.size for axis in self.axes.values())

    @property
    def spacing(self) -> tuple[float, ...]:
        """Spacing along each axis."""
        return tuple(axis.spacing for axis in self.axes.values())

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Whether each axis is periodic."""
        return tuple(axis.periodic for axis in self.axes.values())

    def index(self, name: str) -> int:
        """Position of an axis among the grid's dimensions."""
        if name not in self.axes:
            raise UsageError(f"the grid has no axis {name!r}{nearest(name, self.names)}")
        return self.names.index(name)

    def resized(self, size: int | Mapping[str, int]) -> Grid:
        """Return the same domain with other numbers of nodes, one for all axes or one by name."""
        sizes = dict.fromkeys(self.names, size) if isinstance(size, int) else dict(size)
        for name in sizes:
            self.index(name)
        return Grid(
            **{k: dataclasses.replace(a, size=sizes.get(k, a.size)) for k, a in self.axes.items()}
        )

    def without(self, name: str) -> Grid:
        """Return the grid of a slice: every axis but one."""
        self.index(name)
        return Grid(**{k: a for k, a in self.axes.items() if k != name})

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return plain data for JSON: the axes' arguments by name."""
        return {name: dataclasses.asdict(axis) for name, axis in self.axes.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and list(self.axes.items()) == list(other.axes.items())

    def __hash__(self) -> int:
        return hash(tuple(self.axes.items()))

    def __repr__(self) -> str:
        return f"Grid({', '.join(f'{k}={a}' for k, a in self.axes.items())})"
