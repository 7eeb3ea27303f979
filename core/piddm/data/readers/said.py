"""What a format says of the arrays in it: all that a map need not guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SAMPLE, CHANNEL = "sample", "channel"
"""Names of those axes of an array that are no axis of a grid."""

Location = Literal["vertex", "centre", "outside", "periodic", "stored"]
"""Where nodes are: see :class:`piddm.data.file_maps.AxisMap`."""


@dataclass(frozen=True)
class AxisSaid:
    """What a format says of an axis of the grid.

    Args:
        coordinates: Key of its coordinates, where they are stored.
        location: Where the nodes are, where that is known.
        periodic: Whether it closes on itself, where that is known.
        ends: Its ends, where they are known.
    """

    coordinates: str | None = None
    location: Location | None = None
    periodic: bool | None = None
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Said:
    """What a format says.

    Args:
        format: What it is called, for people.
        orders: Key to the names of an array's axes: ``sample``, ``channel``, ``t``, ``x``, ...;
            ``None`` for one of length 1 that is left out.
        axes: Axes of the grid, by name.
        params: Name to value, or to the key of one for each sample.
        roles: Key to ``input`` or ``solution``, where that is known.
        times: Key to the time of an array that has no axis of time: 0.0 or 1.0 of its length.
    """

    format: str = ""
    orders: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    axes: Mapping[str, AxisSaid] = field(default_factory=dict)
    params: Mapping[str, float | str] = field(default_factory=dict)
    roles: Mapping[str, Literal["input", "solution"]] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
