"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Args:
        name: Which check.
        passed: Whether the equation meets it.
        detail: One line for people: what was measured, or what is wrong and where.
        values: All that was measured, as plain data for JSON.
        applies: Whether there was anything to check.
        warns: Whether the detail says of something that works, but near or beyond its limits.
    """

    name: str
    passed: bool
    detail: str
    values: dict[str, Any] = field(default_factory=dict)
    applies: bool = True
    warns: bool = False

    @property
    def verdict(self) -> str:
        """The outcome's name in a table."""
        if not self.applies:
            return "-"
        if self.passed and self.warns:
            return "warning"
        return "passed" if self.passed else "FAILED"


@dataclass(frozen=True)
class Line:
    """Errors of one equation's rows under refinement.

    Args:
        rows: Name of the equation, condition or integral.
        method: ``order 4``, ``spectral``, ``crank-nicolson``.
        nominal: Order that the method promises.
        steps: Grid spacing relative to the domain, coarse to fine.
        errors: Largest error over all rows.
        rms: Root mean square.
        rounding: About how large round-off is.
        order: Observed order: the least over all kinds of rows; none where exact to round-off.
        where: The kind of row that has it.
    """

    rows: str
    method: str
    nominal: float
    steps: list[float]
    errors: list[float]
    rms: list[float]
    rounding: list[float]
    order: float | None
    where: str = ""

    TOLERANCE = 0.1

    @property
    def passed(self) -> bool:
        """Whether the observed order is no less than the nominal one."""
        return self.order is None or self.order >= self.nominal - self.TOLERANCE

    @property
    def exact(self) -> bool:
        """Whether it is no more than that either: an error that cancels would look like more."""
        return self.order is None or abs(self.order - self.nominal) <= self.TOLERANCE

    @property
    def text(self) -> str:
        """The sentence about it."""
        if self.order is None:
            return f"{self.rows} exact"
        return f"{self.rows} {self.order:.2f}{f' ({self.where})' if not self.passed else ''}"
