"""What instruments read that see no points, and groups of sensors with a bias in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from piddm.grids.grid import Grid
from piddm.tasks.quantities import Quantity
from piddm.tools.errors import UsageError, nearest


@dataclass(frozen=True)
class Reading:
    """What an instrument read that sees no point: an average, a flux, a function of fields.

    Args:
        quantity: What it reads.
        value: The value.
        sigma: Standard deviation of its noise; 0 is exact.
        group: Name of the group of sensors whose common bias it has; none where empty.
        label: What it is called in messages, such as its line in a file.
    """

    quantity: Quantity
    value: float
    sigma: float = 0.0
    group: str = ""
    label: str = ""

    @property
    def title(self) -> str:
        """What it is called, with its label."""
        return f"{self.label} ({self.quantity.title})" if self.label else self.quantity.title


def check_readings(grid: Grid, readings: Sequence[Reading]) -> None:
    """Refuse readings outside the domain and numbers that are none."""
    for own in readings:
        own.quantity.check(grid, own.title)
        if not math.isfinite(own.value) or not math.isfinite(own.sigma):
            raise UsageError(f"{own.title} is not a finite number")
        if own.sigma < 0:
            raise UsageError(f"{own.title} has a negative sigma")


def check_groups(
    bias: Mapping[str, float], groups: Mapping[str, Sequence[str]], readings: Sequence[Reading],
    counts: Mapping[str, int],
) -> None:  # fmt: skip
    """Refuse groups without a deviation of their bias, and lists of another length.

    Args:
        bias: Group to the deviation of its bias.
        groups: Field name to the group of each observation.
        readings: What else is read.
        counts: Field name to the number of observations.
    """
    for name, sigma in bias.items():
        if not (math.isfinite(sigma) and sigma > 0):
            raise UsageError(
                f"the bias of {name} has the deviation {sigma}: give one over 0, or leave the "
                "group out"
            )
    for name, own in groups.items():
        if len(own) != counts.get(name, 0):
            raise UsageError(f"the groups of {name} are one for each of its observations")
    used = {g for own in groups.values() for g in own} | {own.group for own in readings}
    if strange := sorted(used - {""} - set(bias)):
        raise UsageError(
            f"the group {strange[0]} has no deviation of its bias{nearest(strange[0], bias)}; give "
            "one"
        )
