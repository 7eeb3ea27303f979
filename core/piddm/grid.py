"""Grids: named axes with coordinates, spacing, periodicity, the role of time, and the sphere."""

from __future__ import annotations

import dataclasses
import math
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
        latitude: Whether this is the latitude of a sphere, in radians from the south pole up; the
            nodes are then Gauss-Legendre's, none of them a pole. :meth:`Grid.sphere` makes both.
    """

    lower: float
    upper: float
    size: int
    periodic: bool = False
    time: bool = False
    latitude: bool = False

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
        if self.latitude and (
            self.time or self.periodic or self.ends != (-math.pi / 2, math.pi / 2)
        ):
            raise UsageError("a latitude goes from -pi/2 to pi/2, and is neither time nor periodic")

    @property
    def ends(self) -> tuple[float, float]:
        """Its lower and its upper end."""
        return self.lower, self.upper

    @property
    def bounded(self) -> bool:
        """Whether this is an axis of space with walls at its ends."""
        return not (self.periodic or self.time or self.latitude)

    @property
    def spacing(self) -> float:
        """Distance between neighbouring nodes; along a latitude, their mean distance."""
        if self.latitude:
            return math.pi / self.size
        intervals = self.size if self.periodic else self.size - 1
        return (self.upper - self.lower) / intervals

    def coordinates(self) -> np.ndarray:
        """Coordinates of the nodes, float64, shape ``(size,)``."""
        import numpy as np

        if self.latitude:
            return np.arcsin(np.polynomial.legendre.leggauss(self.size)[0])
        return self.lower + self.spacing * np.arange(self.size)

    def weights(self) -> np.ndarray:
        """Share of each node in a mean along the axis, float64, ``(size,)``, of mean 1.

        Gauss-Legendre's along a latitude, where nodes stand for bands of other areas; 1 elsewhere.
        """
        import numpy as np

        if self.latitude:
            return np.polynomial.legendre.leggauss(self.size)[1] * self.size / 2
        return np.ones(self.size)


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
        self._check_sphere()

    @classmethod
    def sphere(cls, size: int, **before: Axis) -> Grid:
        """Return a grid over the whole sphere: ``lat``, and ``lon`` with twice as many nodes.

        >>> Grid.sphere(32, t=Axis(0, 1, 16, time=True)).shape
        (16, 32, 64)

        Args:
            size: Nodes along the latitude.
            before: Axes that come first, such as time.
        """
        lat = Axis(-math.pi / 2, math.pi / 2, size, latitude=True)
        return cls(**before, lat=lat, lon=Axis(0, 2 * math.pi, 2 * size, periodic=True))

    def _check_sphere(self) -> None:
        latitudes = [name for name, axis in self.axes.items() if axis.latitude]
        if not latitudes:
            return
        last = list(self.axes.values())[-1]
        if (
            tuple(self.axes)[-2:] != ("lat", "lon")
            or len(latitudes) > 1
            or not self.axes["lat"].latitude
            or (last.periodic, last.lower, last.upper) != (True, 0, 2 * math.pi)
        ):
            raise UsageError("the last axes of a sphere are those of Grid.sphere(size): lat, lon")

    @property
    def spherical(self) -> bool:
        """Whether the last two axes are latitude and longitude of a sphere."""
        return any(axis.latitude for axis in self.axes.values())

    def weights(self) -> np.ndarray:
        """Share of each node in a mean over the grid: ``shape``, of mean 1; see :class:`Axis`."""
        import numpy as np

        found = np.ones(self.shape)
        for dim, axis in enumerate(self.axes.values()):
            found *= axis.weights().reshape(-1, *[1] * (len(self.shape) - 1 - dim))
        return found

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
        """Return the same domain with other numbers of nodes, one for all axes or one by name.

        One for all is that of a sphere's latitude, whose longitude gets twice as many.
        """
        sizes = dict.fromkeys(self.names, size) if isinstance(size, int) else dict(size)
        if isinstance(size, int) and self.spherical:
            sizes["lon"] = 2 * size
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
        plain = {name: dataclasses.asdict(axis) for name, axis in self.axes.items()}
        # Told only where it holds: what was made before there were spheres keeps its marks.
        return {
            name: {k: v for k, v in axis.items() if k != "latitude" or v}
            for name, axis in plain.items()
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and list(self.axes.items()) == list(other.axes.items())

    def __hash__(self) -> int:
        return hash(tuple(self.axes.items()))

    def __repr__(self) -> str:
        return f"Grid({', '.join(f'{k}={a}' for k, a in self.axes.items())})"
