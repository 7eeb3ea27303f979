"""Points of the figure of methods side by side: what they are, their colours and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from piddm.figures.style import BLUE, GREY, INK, VERMILLION
from piddm.metrics.fronts import ROUND_OFF, pareto_front

COLOURS = {"truth": INK, "teacher": BLUE, "ours": VERMILLION, "rival": GREY}
"""Colour of each family of competitors."""

LEAST, MORE = 18.0, 26.0
"""Area of the cheapest marker, and of a factor of ten more, in square points."""


Family = Literal["truth", "teacher", "ours", "rival"]
"""Families of competitors, each of one colour."""


class ParetoPoint(NamedTuple):
    """A method on an equation: means over seeds, and their standard errors where there are any.

    Of the truth, another draw of data, the energy distance is the floor that so few samples have.
    """

    equation: str
    label: str
    family: Family
    energy_distance: float
    pde_error: float
    cost: float = 1.0
    projected: bool = False
    distance_error: float | None = None
    pde_error_error: float | None = None

    @property
    def position(self) -> tuple[float, float]:
        """Where it is."""
        return self.energy_distance, self.pde_error

    @property
    def low(self) -> bool:
        """Whether its PDE error is rounding: such as that of projected samples."""
        return self.pde_error <= ROUND_OFF


def front_of(band: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    """Return the methods above round-off that none of them beats."""
    methods = [p for p in band if p.family != "truth"]
    return [methods[i] for i in pareto_front([p.position for p in methods])]


def area(point: ParetoPoint, cheapest: float) -> float:
    """Return the area of a marker, in square points: it grows with the logarithm of the cost."""
    if point.family == "truth":
        return 22.0
    return LEAST + MORE * math.log10(max(point.cost / cheapest, 1.0))
