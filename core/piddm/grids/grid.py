"""Grids: named axes in the order of a field's dimensions, and the sphere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from piddm.grids.axis import Axis as Axis
from piddm.tools.errors import UsageError, nearest

if TYPE_CHECKING:
    import numpy as np

NodeCounts = int | Mapping[str, int]
"""Numbers of nodes: one for all axes, or some of them by the axis' name."""


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
        """Position of an axis among the grid's dimensions.

        Raises:
            UsageError: If there is no such axis.
        """
        if name not in self.axes:
            raise UsageError(f"the grid has no axis {name!r}{nearest(name, self.names)}")
        return self.names.index(name)

    def resized(self, size: NodeCounts) -> Grid:
        """Return the same domain with other numbers of nodes, one for all axes or one by name.

        One for all is that of a sphere's latitude, whose longitude gets twice as many.
        """
        sizes = dict.fromkeys(self.names, size) if isinstance(size, int) else dict(size)
        if isinstance(size, int) and self.spherical:
            sizes["lon"] = 2 * size
        for name in sizes:
            self.index(name)
        return Grid(**{k: a.resized(sizes.get(k, a.size)) for k, a in self.axes.items()})

    def without(self, name: str) -> Grid:
        """Return the grid of a slice: every axis but one."""
        self.index(name)
        return Grid(**{k: a for k, a in self.axes.items() if k != name})

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return plain data for JSON: the axes' arguments by name."""
        return {name: axis.to_dict() for name, axis in self.axes.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and list(self.axes.items()) == list(other.axes.items())

    def __hash__(self) -> int:
        return hash(tuple(self.axes.items()))

    def __repr__(self) -> str:
        return f"Grid({', '.join(f'{k}={a}' for k, a in self.axes.items())})"
