"""What is reported of a generator: how physical its samples are, and how like the data."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from piddm.packing import Packing
from piddm.physics import mean_squares
from piddm.projection import Projection


class Scores(BaseModel):
    """Metrics of one source of samples.

    A PDE error never stands alone: any constant may have a small one. On a sphere every mean over
    nodes is one over its area.

    Attributes:
        pde_error: Mean R squared in physical units, summed over equations and conditions.
        pde_error_normalised: The same of R over the scale of its equation's largest term.
        pde_error_by_row: The normalised error of each equation and condition.
        constraint_distance: Mean squared distance to the nearest solution, normalised fields, to
            first order: the length of one Gauss-Newton step.
        mmse: Mean square difference of the pointwise mean to held-out data, normalised fields.
        smse: The same of the pointwise standard deviation.
        energy_distance: Energy distance to held-out data, normalised fields, per root of dimension.
        nfe: Network calls for one sample; None for data.
        seconds_per_sample: Wall-clock; None for data.
        count: Samples used; ``distance_count`` of them for the distance.
        seed: Seed of the samples' noise.
    """

    model_config = ConfigDict(extra="forbid")

    pde_error: float
    pde_error_normalised: float
    pde_error_by_row: dict[str, float]
    constraint_distance: float
    mmse: float
    smse: float
    energy_distance: float
    nfe: int | None
    seconds_per_sample: float | None
    count: int
    distance_count: int
    seed: int


class TradeoffPoint(BaseModel):
    """A point of the trade between PDE error and distribution distance."""

    model_config = ConfigDict(extra="forbid")

    label: str
    steps: int
    pde_error_normalised: float
    energy_distance: float


class Metrics(BaseModel):
    """The content of ``metrics.json``."""

    model_config = ConfigDict(extra="forbid")

    truth: Scores
    teacher: Scores
    student: Scores
    tradeoff: list[TradeoffPoint] = []

    def scores(self) -> dict[str, Scores]:
        """Return the scores by name."""
        return {"truth": self.truth, "teacher": self.teacher, "student": self.student}


class Yardstick:
    """Scores samples against held-out data and an equation.

    Args:
        projection: Nearest solutions of the equation on the grid.
        packing: Normalisation.
        held_out: Packed held-out data.
        distance_count: Samples whose distance to the constraint set is found.
    """

    def __init__(
        self,
        projection: Projection,
        packing: Packing,
        held_out: Tensor,
        distance_count: int,
    ) -> None:
        self.projection, self.packing = projection, packing
        self.residual, self.scale = projection.residual, projection.row_scale
        self.held_out = packing.weigh(held_out.cpu().double())
        self.distance_count = distance_count

    @torch.no_grad()
    def scores(
        self,
        x: Tensor,
        seed: int,
        nfe: int | None = None,
        seconds_per_sample: float | None = None,
    ) -> Scores:
        """Score packed samples ``(count, channel, *image)``; everything in float64.

        Args:
            x: The samples.
            seed: Seed of their noise.
            nfe: Network calls for one sample.
            seconds_per_sample: Wall-clock for one sample.
        """
        x, fields = self._exact(x)
        physical = mean_squares(self.residual, fields)
        normalised = mean_squares(self.residual, fields, self.scale)
        few = {k: v[: self.distance_count] for k, v in fields.items()}
        return Scores(
            pde_error=float(sum(physical.values())),
            pde_error_normalised=float(sum(normalised.values())),
            pde_error_by_row={k: float(v) for k, v in normalised.items()},
            constraint_distance=float(self.projection.distance(few).mean()),
            mmse=float((x.mean(0) - self.held_out.mean(0)).square().mean()),
            smse=float((x.std(0) - self.held_out.std(0)).square().mean()),
            energy_distance=energy_distance(x, self.held_out),
            nfe=nfe,
            seconds_per_sample=seconds_per_sample,
            count=len(x),
            distance_count=min(self.distance_count, len(x)),
            seed=seed,
        )

    @torch.no_grad()
    def pair(self, x: Tensor) -> tuple[float, float]:
        """Return the normalised PDE error and the energy distance alone."""
        x, fields = self._exact(x)
        errors = mean_squares(self.residual, fields, self.scale)
        return float(sum(errors.values())), energy_distance(x, self.held_out)

    def _exact(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return packed samples, weighed, and their fields, in float64 on the CPU."""
        x = x.detach().double()
        fields = {k: v.cpu() for k, v in self.packing.unpack(x).items()}
        return self.packing.weigh(x.cpu()), fields


def energy_distance(a: Tensor, b: Tensor) -> float:
    r"""Return :math:`2E|A-B| - E|A-A'| - E|B-B'|` over the root of the dimension.

    Never negative, and zero only for equal empirical laws (Szekely and Rizzo, Journal of
    Statistical Planning and Inference 143, 2013). Two draws of one law show the finite-sample
    floor.
    """
    a, b = a.flatten(1).double(), b.flatten(1).double()
    across = torch.cdist(a, b).mean()
    within = torch.cdist(a, a).mean() + torch.cdist(b, b).mean()
    return float(2 * across - within) / a.shape[1] ** 0.5
