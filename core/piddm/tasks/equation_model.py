"""An equation and no network: what a few of its solutions tell, in a run's place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NoReturn

from piddm.data.dataset import Dataset
from piddm.data.packing import Packing
from piddm.equation import PDE
from piddm.residuals.norms import term_scale
from piddm.residuals.residual import Residual
from piddm.tools.errors import UsageError

SAMPLES = 16
"""Solutions that tell mean and deviation, where nothing is given: 128 x 128 takes seconds."""

RANK = 256
"""Principal components that are kept of data, at most; a quarter of their number is what is."""


class EquationModel:
    """A :class:`~piddm.tasks.model.Model` without teacher and student.

    Args:
        pde: The equation.
        data: Solutions of it, on the grid of the answers: a few simulated ones, or measured.
        models: Names of trained models of the equation, for solvers that need a network.
    """

    def __init__(self, pde: PDE, data: Dataset, models: Sequence[str] = ()) -> None:
        if len(data) < 2:
            raise UsageError("deviations take at least 2 solutions, and the data have 1")
        self.pde, self.data = pde, data
        self.residual: Residual = pde.bind(data.grid)
        self._models = tuple(models)

    @property
    def soft_residual(self) -> Residual:
        """The residual itself, which is all that is known."""
        return self.residual

    @property
    def scale(self) -> dict[str, float]:
        """Scale of each row of the residual: its largest term's root mean square over data."""
        return self._scale

    @property
    def packing(self) -> Packing:
        """Normalisation and colour of the data."""
        return self._packing

    @cached_property
    def _scale(self) -> dict[str, float]:
        if set(self.data.scale) == set(self.residual.rows):
            return self.data.scale
        return term_scale(self.residual, {k: v.double() for k, v in self.data.fields.items()})

    @cached_property
    def _packing(self) -> Packing:
        names = self.pde.field_names
        packing = Packing(self.data.grid, names, RANK)
        return packing.fit({k: self.data.fields[k] for k in names})

    @property
    def teacher(self) -> NoReturn:
        """Refuse: there is none."""
        self._refuse("teacher")

    @property
    def student(self) -> NoReturn:
        """Refuse: there is none."""
        self._refuse("student")

    @property
    def model_error(self) -> NoReturn:
        """Refuse: that is a student's."""
        self._refuse("student")

    def _refuse(self, what: str) -> NoReturn:
        raise UsageError(
            f"this solver needs a {what}, and {self.pde.name} is asked as an equation alone: take "
            "the solver auto, exact, classical, ensemble-kalman, gaussian or data-space, or "
            + " or ".join((*(f"--model {name}" for name in self._models),
                           f"a run (piddm distill --pde {self.pde.name})"))
        )  # fmt: skip
