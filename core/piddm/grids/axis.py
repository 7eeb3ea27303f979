"""One axis of a grid: its ends, its nodes, and where the nodes are between the ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from piddm.tools.errors import UsageError, nearest

if TYPE_CHECKING:
    import numpy as np

Location = Literal["vertex", "centre"] | tuple[float, float]
"""How far walls are from the nodes next to them, in spacings, the lower and the upper one."""

GAPS: dict[str, tuple[float, float]] = {"vertex": (0.0, 0.0), "centre": (0.5, 0.5)}
"""Both distances, of locations that have a name."""

ROUND = 1e-3
"""Share of a spacing by which coordinates from a file may miss those of equal spacing: float32
keeps seven digits of a coordinate, and a spacing has fewer."""


@dataclass(frozen=True, repr=False)
class Axis:
    """One axis of a grid.

    ``lower`` and ``upper`` are the ends of the domain, where conditions hold. At equal distances a
    periodic axis of length L has nodes ``lower + i L/n`` (the end is the start again), any other
    ``lower + i L/(n-1)``, both ends included. With ``location="centre"`` nodes are the centres of
    n cells, ``lower + (i + 1/2) L/n``: walls are half a spacing outside. A pair says how far
    either wall is from its node, in spacings of at most 1: ``(0, 1)`` has the nodes
    ``lower + i L/n``, and the upper wall one further.

    Args:
        lower: Lower end; of a periodic axis, the seam.
        upper: Upper end; of a periodic axis, the seam once more.
        size: Number of nodes, n.
        periodic: Whether the axis closes on itself.
        time: Whether this is the axis of time.
        latitude: Whether this is the latitude of a sphere, in radians from the south pole up; the
            nodes are then Gauss-Legendre's, none of them a pole. :meth:`Grid.sphere` makes both.
        location: ``vertex``, ``centre``, or a pair; of a periodic axis one of the names.
        nodes: Coordinates of the nodes, upwards, where they are at unequal distances.

    Raises:
        UsageError: If there is no such axis.
    """

    lower: float
    upper: float
    size: int
    periodic: bool = False
    time: bool = False
    latitude: bool = False
    location: Location = "vertex"
    nodes: tuple[float, ...] | None = None

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
        object.__setattr__(self, "location", _location(self.location))
        self._check_location()
        if self.nodes is not None:
            self._check_nodes()

    def _check_location(self) -> None:
        if self.location == "vertex":
            return
        if self.time or self.latitude:
            kind = "an axis of time has its first and its last time" if self.time else "a latitude"
            raise UsageError(f"{kind} has its own nodes: leave location={self.location!r} out")
        if self.periodic and self.location != "centre":
            raise UsageError(
                f"a periodic axis has no walls: say where it begins instead of {self.location}"
            )

    def _check_nodes(self) -> None:
        assert self.nodes is not None
        if self.periodic or self.time or self.latitude:
            kind = "periodic" if self.periodic else "time" if self.time else "a latitude"
            raise UsageError(f"nodes at unequal distances are for axes with walls; this is {kind}")
        if self.location != "vertex":
            raise UsageError("nodes and ends say where the walls are: leave the location out")
        nodes = tuple(float(x) for x in self.nodes)
        if len(nodes) != self.size:
            raise UsageError(f"an axis of {self.size} nodes cannot have the {len(nodes)} given")
        if not all(math.isfinite(x) for x in nodes):
            raise UsageError("the nodes of an axis are numbers, and finite")
        if any(b <= a for a, b in pairwise(nodes)):
            raise UsageError("the nodes of an axis go up, no two alike; flip the data if need be")
        if nodes[0] < self.lower or nodes[-1] > self.upper:
            raise UsageError(
                f"the nodes go from {nodes[0]:g} to {nodes[-1]:g}, beyond the ends of the axis, "
                f"{self.lower:g} and {self.upper:g}"
            )
        object.__setattr__(self, "nodes", nodes)

    @classmethod
    def through(
        cls,
        coordinates: Sequence[float] | np.ndarray,
        lower: float | None = None,
        upper: float | None = None,
        *,
        periodic: bool = False,
        time: bool = False,
        tolerance: float = ROUND,
    ) -> Axis:
        """Return the axis through coordinates that a file has, of any precision.

        At equal distances, up to rounding, the location follows from the ends. A periodic axis then
        begins at the first node, and ends a spacing beyond the last.

        >>> Axis.through([0.125, 0.375, 0.625, 0.875], 0, 1).location
        'centre'

        Args:
            coordinates: ``(size,)``, upwards.
            lower: Lower end; the first coordinate where it is left out.
            upper: Upper end; the last coordinate where it is left out.
            periodic: Whether the axis closes on itself.
            time: Whether this is the axis of time.
            tolerance: Share of a spacing that rounding may move a node by.

        Raises:
            UsageError: If they do not go up, or the axis must have equal distances and has not.
        """
        from piddm.grids.stored_nodes import arguments

        made = cls(**arguments(coordinates, lower, upper, periodic, time, tolerance))
        # Spectral derivatives see the rounding of a file: Chebyshev's nodes are known better.
        return cls.chebyshev(*made.ends, made.size, kind) if (kind := made.chebyshev_kind) else made

    @classmethod
    def chebyshev(
        cls, lower: float, upper: float, size: int, location: Location = "vertex"
    ) -> Axis:
        r"""Return the axis of Chebyshev's nodes, which crowd at the walls.

        With both ends, :math:`-\cos(\pi i/(n-1))` (Gauss-Lobatto); ``centre`` has
        :math:`-\cos(\pi (i + 1/2)/n)` (Gauss), none of them at a wall; of an interval from -1 to 1.
        The arguments are those of the class; Raises: UsageError, if the location is another one.
        """
        named = _location(location)
        if not isinstance(named, str):
            raise UsageError(f"Chebyshev's nodes are 'vertex' or 'centre', not {location!r}")
        from piddm.grids.stretching import chebyshev

        nodes = chebyshev(lower, upper, size, centre=named == "centre")
        return cls(lower, upper, size, nodes=nodes)

    @property
    def ends(self) -> tuple[float, float]:
        """Its lower and its upper end."""
        return self.lower, self.upper

    @property
    def bounded(self) -> bool:
        """Whether this is an axis of space with walls at its ends."""
        return not (self.periodic or self.time or self.latitude)

    @property
    def uniform(self) -> bool:
        """Whether nodes are at equal distances."""
        return self.nodes is None and not self.latitude

    @property
    def spacing(self) -> float:
        """Distance between neighbouring nodes; where distances differ, their mean."""
        if self.latitude:
            return math.pi / self.size
        if self.nodes is not None:
            return (self.nodes[-1] - self.nodes[0]) / (self.size - 1)
        beyond = 1.0 if self.periodic else sum(self._shares)
        return (self.upper - self.lower) / (self.size - 1 + beyond)

    @property
    def _shares(self) -> tuple[float, float]:
        return GAPS[self.location] if isinstance(self.location, str) else self.location

    @property
    def gaps(self) -> tuple[float, float]:
        """Distances of the lower and the upper end from the node next to it."""
        if self.nodes is not None:
            return self.nodes[0] - self.lower, self.upper - self.nodes[-1]
        low, high = self._shares
        return low * self.spacing, high * self.spacing

    def coordinates(self) -> np.ndarray:
        """Coordinates of the nodes, float64, shape ``(size,)``."""
        import numpy as np

        if self.latitude:
            return np.arcsin(np.polynomial.legendre.leggauss(self.size)[0])
        if self.nodes is not None:
            return np.array(self.nodes)
        return self.lower + self.spacing * (np.arange(self.size) + self._shares[0])

    def weights(self) -> np.ndarray:
        """Share of each node in a mean along the axis, float64, ``(size,)``, of mean 1.

        Gauss-Legendre's along a latitude, where nodes stand for bands of other areas; at unequal
        distances the cell around each node, up to the middle between two and to the walls; else 1.
        """
        import numpy as np

        if self.latitude:
            return np.polynomial.legendre.leggauss(self.size)[1] * self.size / 2
        if self.nodes is None:
            return np.ones(self.size)
        at = self.coordinates()
        cells = np.diff(np.concatenate([[self.lower], (at[1:] + at[:-1]) / 2, [self.upper]]))
        return cells / cells.mean()

    def resized(self, size: int) -> Axis:
        """Return the axis of another number of nodes, distributed alike between the same ends.

        Chebyshev's nodes stay Chebyshev's. Others at unequal distances are those of the smooth map
        through them, a cubic spline from equal steps to coordinates.
        """
        if self.nodes is None or size == self.size:
            return replace(self, size=size)
        if kind := self.chebyshev_kind:
            return Axis.chebyshev(self.lower, self.upper, size, kind)
        from piddm.grids.stretching import stretched

        nodes = stretched(self.nodes, self.lower, self.upper, size)
        return replace(self, size=size, nodes=nodes)

    @property
    def chebyshev_kind(self) -> Literal["vertex", "centre", ""]:
        """Whether nodes are Chebyshev's with both ends or with none; nothing where they are not."""
        if self.nodes is None:
            return ""
        from piddm.grids.stretching import chebyshev_kind

        return chebyshev_kind(self.nodes, self.lower, self.upper)  # pyright: ignore

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: its arguments.

        What came later is told only where it is set: what was made before it keeps its marks.
        """
        told: dict[str, Any] = {k: getattr(self, k) for k in
                ("lower", "upper", "size", "periodic", "time")}  # fmt: skip
        if self.latitude:
            told["latitude"] = True
        if self.location != "vertex":
            where = self.location
            told["location"] = where if isinstance(where, str) else list(where)
        if self.nodes is not None:
            told["nodes"] = list(self.nodes)
        return told

    def __repr__(self) -> str:
        told = {"periodic": False, "time": False, "latitude": False} | self.to_dict()
        order = ("lower", "upper", "size", "periodic", "time", "latitude", "location")
        parts = [f"{k}={told[k]!r}" for k in order if k in told]
        if self.nodes is not None:
            parts.append(f"nodes=({self.nodes[0]:g}, {self.nodes[1]:g}, ..., {self.nodes[-1]:g})")
        return f"Axis({', '.join(parts)})"


def _location(given: Any) -> Location:
    """Return a location as it is kept: by its name, where it has one."""
    if isinstance(given, str):
        if given not in GAPS:
            raise UsageError(f"no location {given!r} of nodes{nearest(given, GAPS)}")
        return given  # pyright: ignore
    try:
        low, high = (float(share) for share in given)
    except (TypeError, ValueError):
        raise UsageError(
            f"a location is 'vertex', 'centre', or how far both walls are from the nodes next to "
            f"them, in spacings, such as (0, 1); not {given!r}"
        ) from None
    if not (0 <= low <= 1 and 0 <= high <= 1):
        raise UsageError(f"walls are at most a spacing from the nodes next to them, not {given!r}")
    return next((name for name, own in GAPS.items() if own == (low, high)), (low, high))  # pyright: ignore
