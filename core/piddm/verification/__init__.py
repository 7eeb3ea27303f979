"""Checks that an equation, its residual and its solver are what they say."""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from piddm.errors import PiddmError, UsageError, nearest
from piddm.pde import PDE
from piddm.verification.accuracy import order_in_time, spectral_accuracy
from piddm.verification.agreement import solver_agreement
from piddm.verification.convergence import order_of_solution
from piddm.verification.data import floor, scales, truth_against_zero
from piddm.verification.manufactured import Manufactured, manufacture
from piddm.verification.orders import order_of_residual
from piddm.verification.places import rows
from piddm.verification.result import Check
from piddm.verification.structure import batch_independence, gradient, transforms

__all__ = ["ALL", "Check", "Manufactured", "Verification", "manufacture", "perform", "verify"]

ALL: dict[str, Callable[..., Check]] = {
    "rows": rows,
    "floor": floor,
    "truth_against_zero": truth_against_zero,
    "scales": scales,
    "order_of_residual": order_of_residual,
    "order_in_time": order_in_time,
    "spectral_accuracy": spectral_accuracy,
    "order_of_solution": order_of_solution,
    "gradient": gradient,
    "batch_independence": batch_independence,
    "transforms": transforms,
    "solver_agreement": solver_agreement,
}
"""Every check by its name, the quickest to tell a mistake first."""


@dataclass(frozen=True)
class Verification:
    """The outcome of the checks of one equation."""

    pde: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        checks = [dataclasses.asdict(check) for check in self.checks]
        return {"pde": self.pde, "passed": self.passed, "checks": checks}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return a header and a row for each check."""
        rows = [[c.name.replace("_", " "), c.verdict, c.detail] for c in self.checks]
        return ["check", "", "what was measured"], rows

    def row_table(self) -> tuple[list[str], list[list[str]]] | None:
        """Return the rows of each equation, condition and integral; nothing if not checked."""
        found = next((c.values["rows"] for c in self.checks if "rows" in c.values), None)
        if not found:
            return None
        lines = [
            [r["name"], str(r["rows"]), r["where"], r["says"],
             f"{r['rms on data']:.1e}" if "rms on data" in r else "-"]
            for r in found
        ]  # fmt: skip
        return [
            "rows",
            "count",
            "where, on the smallest grid",
            "what they say",
            "rms on data",
        ], lines


def verify(
    pde: PDE, checks: Sequence[str] | None = None, seed: int = 0, size: int | None = None
) -> Verification:
    """Run the checks; :func:`perform` does it one by one.

    Args:
        pde: The equation.
        checks: Names, of ``ALL``; every one where none is given.
        seed: Seed of random inputs.
        size: Nodes along every axis for checks on data: 32, or 16 on grids of three axes.

    Raises:
        UsageError: If there is no such check, or the equation cannot be bound at all.
    """
    return Verification(pde.name, tuple(perform(pde, checks, seed, size)))


def perform(
    pde: PDE, checks: Sequence[str] | None = None, seed: int = 0, size: int | None = None
) -> Iterator[Check]:
    """Yield the outcome of one check after the other; the arguments are those of ``verify``."""
    names = list(ALL) if checks is None else list(checks)
    for name in names:
        if name not in ALL:
            raise UsageError(f"there is no check {name!r}{nearest(name, ALL)}")
    for name in names:
        began = time.perf_counter()
        found = _tried(name, pde, seed, size)
        seconds = round(time.perf_counter() - began, 3)
        yield dataclasses.replace(found, values=found.values | {"seconds": seconds})


def _tried(name: str, pde: PDE, seed: int, size: int | None) -> Check:
    """Run one check; what an author's own code raises fails that check and none of the others."""
    check = ALL[name]
    takes = inspect.signature(check).parameters
    try:
        return check(pde, seed, size) if "seed" in takes else check(pde)
    except PiddmError as error:
        return Check(name, False, str(error))
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        return Check(name, False, f"raised {type(error).__name__}: {text}")
