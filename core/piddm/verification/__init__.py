"""Checks that an equation, its residual and its solver are what they say."""

from __future__ import annotations

import dataclasses
import inspect
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from piddm.equation import PDE
from piddm.grids.grid import NodeCounts
from piddm.tools.errors import PiddmError, SchemeWarning, UsageError, nearest
from piddm.verification.accuracy import order_in_time, spectral_accuracy
from piddm.verification.agreement import solver_agreement
from piddm.verification.coefficients import coefficients
from piddm.verification.conservation import conservation
from piddm.verification.convergence import order_of_solution
from piddm.verification.data import floor, scales, truth_against_zero
from piddm.verification.limits import limits
from piddm.verification.manufactured import Manufactured, manufacture
from piddm.verification.orders import order_of_residual
from piddm.verification.places import rows
from piddm.verification.protection import PROTECTS
from piddm.verification.result import Check
from piddm.verification.stability import stability
from piddm.verification.structure import batch_independence, gradient, transforms

__all__ = ["ALL", "Check", "Manufactured", "Verification", "manufacture", "perform", "verify"]

ALL: dict[str, Callable[..., Check]] = {
    "rows": rows,
    "floor": floor,
    "truth_against_zero": truth_against_zero,
    "scales": scales,
    "stability": stability,
    "limits": limits,
    "coefficients": coefficients,
    "conservation": conservation,
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
    """The outcome of the checks of one equation.

    Args:
        pde: Its name.
        checks: What each measured.
    """

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
        checks = [
            _finite(dataclasses.asdict(check)) | {"protects_from": PROTECTS.get(check.name, "")}
            for check in self.checks
        ]
        return {"pde": self.pde, "passed": self.passed, "checks": checks}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return a header and a row for each check."""
        rows = [[c.name.replace("_", " "), c.verdict, c.detail] for c in self.checks]
        return ["check", "", "what was measured"], rows

    def protection_table(self) -> tuple[list[str], list[list[str]]]:
        """Return a header and, for each check, what it protects from."""
        rows = [[c.name.replace("_", " "), PROTECTS.get(c.name, "")] for c in self.checks]
        return ["check", "protects from"], rows

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


def _finite(data: Any) -> Any:
    """Return plain data with none for what is not finite, of which JSON has nothing."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {k: _finite(v) for k, v in data.items()}
    return [_finite(v) for v in data] if isinstance(data, (list, tuple)) else data


def verify(
    pde: PDE, checks: Sequence[str] | None = None, seed: int = 0, size: NodeCounts | None = None
) -> Verification:
    """Run the checks; :func:`perform` does it one by one.

    Args:
        pde: The equation.
        checks: Names, of ``ALL``; every one where none is given.
        seed: Seed of random inputs.
        size: Nodes along every axis, or ``{axis: nodes}``, for checks on data: 32, or 16 on grids
            of three axes.

    Raises:
        UsageError: If there is no such check, or the equation cannot be bound at all.
    """
    return Verification(pde.name, tuple(perform(pde, checks, seed, size)))


def perform(
    pde: PDE, checks: Sequence[str] | None = None, seed: int = 0, size: NodeCounts | None = None
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


def _tried(name: str, pde: PDE, seed: int, size: NodeCounts | None) -> Check:
    """Run one check; what an author's own code raises fails that check and none of the others."""
    check = ALL[name]
    takes = inspect.signature(check).parameters
    try:
        given = {k: v for k, v in (("seed", seed), ("size", size)) if k in takes}
        with warnings.catch_warnings():  # there are checks for what the solver warns of
            warnings.simplefilter("ignore", SchemeWarning)
            return check(pde, **given)
    except PiddmError as error:
        return Check(name, False, str(error))
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        return Check(name, False, f"raised {type(error).__name__}: {text}")
