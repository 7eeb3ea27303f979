"""Baselines, which a network has to beat, and its samples once they are on the equation.

* ``gaussian``: the data's mean and covariance, and no network.
* ``gaussian, projected``: the nearest solutions to those.
* ``gaussian inputs, solved``: a Gaussian fitted to the inputs (a medium, a first time), solved for
  the rest.
* ``student's inputs, solved``: the same of the student's, which tells what its inputs are worth.
* ``student, corrected``: the student's samples after :mod:`piddm.numerics.correction`, in float32.
* ``student, projected``: the same to round-off, in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from piddm.students.input_law import InputLaw

if TYPE_CHECKING:
    from piddm.runs.workspace import Workspace

FEW = 64
"""Samples of a film or a sphere that are solved or projected: one may take seconds."""


@dataclass(frozen=True)
class Source:
    """A baseline.

    Args:
        sample: White noise to packed samples.
        calls: Network calls for one of them.
        costly: Whether it solves.
        large: Whether a solve is that of a film or a sphere.
    """

    sample: Callable[[Tensor], Tensor]
    calls: int = 0
    costly: bool = False
    large: bool = False

    def count(self, wanted: int) -> int:
        """Return how many samples are scored."""
        return min(wanted, FEW) if self.costly and self.large else wanted


def baselines(run: Workspace) -> dict[str, Source]:
    """Return the baselines of a run by name.

    Without an equation there is the first only. Where inputs are declared, some solve from
    them; not on a sphere or with three axes, where that
    would take longer than the training.
    """
    packing, large = run.packing, run.grid.spherical or len(run.grid.shape) > 2
    calls = run.student.calls

    def costly(sample: Callable[[Tensor], Tensor], calls: int = 0) -> Source:
        return Source(sample, calls, True, large)

    found = {"gaussian": Source(packing.colour)}
    if not run.residual.rows:
        return found
    found |= {
        "gaussian, projected": costly(lambda noise: projected(run, packing.colour(noise))),
        # A correction of a film costs a few calls.
        "student, corrected": Source(
            lambda noise: corrected(run, run.student.begun(noise)), calls, True, run.grid.spherical
        ),
        "student, projected": costly(lambda noise: projected(run, run.student.begun(noise)), calls),
    }
    if large or run.own_solution is None:
        return found
    law = InputLaw.of(run.pde, packing, packing.targets(run.data[0].fields))
    found["gaussian inputs, solved"] = costly(lambda noise: run.solved(law(noise, packing)))
    found["student's inputs, solved"] = costly(lambda noise: run.solved(run.student(noise)), calls)
    return found


def corrected(run: Workspace, x: Tensor) -> Tensor:
    """Return packed samples after the correction, in their precision."""
    return run.packing.pack(run.corrections.correct(run.packing.unpack(x)).fields)


def projected(run: Workspace, x: Tensor) -> Tensor:
    """Return packed samples on the equation to round-off, float64."""
    return run.packing.pack(run.corrections.project(run.packing.unpack(x.double())))
