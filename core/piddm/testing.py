"""Checks for authors of plugins, to import into their own tests.

::

    import piddm.testing
    import pytest
    from my_package import MY_PDE

    @pytest.mark.parametrize("check", piddm.testing.CHECKS)
    def test_equation(check):
        check(MY_PDE)

or all in one: ``piddm.testing.conforms(MY_PDE)``. What each measures: :mod:`piddm.verification`.

Teachers, students, methods, solvers, backbones and metrics have a check each, which takes the class
or function, or the name that it is registered under, and its settings:
``piddm.testing.check_teacher(MyTeacher)``. That of a reader takes a file of its format too.
"""

from __future__ import annotations

from collections.abc import Sequence

from piddm.conformance.check_backbone import check_backbone
from piddm.conformance.check_method import check_method
from piddm.conformance.check_metric import check_metric
from piddm.conformance.check_reader import check_reader
from piddm.conformance.check_solver import check_solver
from piddm.conformance.check_student import check_student
from piddm.conformance.check_teacher import check_teacher
from piddm.equation import PDE
from piddm.grids.grid import NodeCounts
from piddm.plugins.lines import place
from piddm.verification import ALL, Check, Verification, manufacture, verify
from piddm.verification.accuracy import order_in_time, spectral_accuracy
from piddm.verification.agreement import solver_agreement
from piddm.verification.convergence import order_of_solution
from piddm.verification.data import floor, scales, truth_against_zero
from piddm.verification.orders import order_of_residual
from piddm.verification.places import rows
from piddm.verification.structure import batch_independence, gradient, transforms

__all__ = [
    "CHECKS", "Check", "Requirement", "Verification", "batch_independence", "check_backbone",
    "check_method", "check_metric", "check_reader", "check_solver", "check_student",
    "check_teacher", "conforms", "floor", "gradient", "manufacture", "order_in_time",
    "order_of_residual", "order_of_solution", "rows", "scales", "solver_agreement",
    "spectral_accuracy", "transforms", "truth_against_zero", "verify",
]  # fmt: skip


class Requirement:
    """A check that fails a test: call it with an equation."""

    def __init__(self, name: str) -> None:
        self.__name__ = name  # pytest names the test after it

    def __call__(self, pde: PDE, seed: int = 0, size: NodeCounts | None = None) -> None:
        """Run the check.

        Raises:
            AssertionError: If the equation does not meet it; says what was measured.
        """
        conforms(pde, [self.__name__], seed, size)

    def __repr__(self) -> str:
        return f"<check {self.__name__}>"


CHECKS = [Requirement(name) for name in ALL]
"""Every check, for ``pytest.mark.parametrize``."""


def conforms(
    pde: PDE, checks: Sequence[str] | None = None, seed: int = 0, size: NodeCounts | None = None
) -> Verification:
    """Run the checks and return what was measured; the arguments are those of ``verify``.

    Raises:
        AssertionError: If one fails, with a line for each that does.
    """
    found = verify(pde, checks, seed, size)
    if not found.passed:
        lines = "\n".join(f"  {check.name}: {check.detail}" for check in found.failed)
        where = place(pde)
        at = f" ({where})" if where else ""
        raise AssertionError(f"{pde.name}{at} fails {len(found.failed)} checks:\n{lines}")
    return found
