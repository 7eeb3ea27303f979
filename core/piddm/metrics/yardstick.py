"""The scores of a generator: how physical its samples are, and how like the data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from piddm.data.packing import Packing
from piddm.grids.means import node_weights
from piddm.metrics.comparison import Comparison, registered
from piddm.metrics.energy import energy_distance
from piddm.metrics.one_point import one_point_distance
from piddm.metrics.scores import Scores
from piddm.metrics.self_consistency import inconsistency, members
from piddm.metrics.spectra import spectrum_distance
from piddm.numerics.own_solution import OwnSolution
from piddm.numerics.projection import Projection
from piddm.residuals.norms import mean_squares


class Yardstick:
    """Scores samples against held-out data and an equation.

    Args:
        projection: Nearest solutions of the equation on the grid.
        packing: Normalisation.
        held_out: Packed held-out data.
        distance_count: Samples whose distance to solutions is found.
        own: What solves for a sample's own solution; without it no self-consistency is scored.
    """

    def __init__(
        self,
        projection: Projection,
        packing: Packing,
        held_out: Tensor,
        distance_count: int,
        own: OwnSolution | None = None,
    ) -> None:
        self.projection, self.packing, self.own = projection, packing, own
        self.residual, self.scale = projection.residual, projection.row_scale
        self.distance_count = distance_count
        self.held_out, self._data = self._exact(held_out)

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
        one_point = self._one_point(fields)
        consistency = self._consistency(few)
        return Scores(
            pde_error=_sum(physical),
            pde_error_normalised=_sum(normalised),
            pde_error_by_row={k: float(v) for k, v in normalised.items()},
            constraint_distance=float(self.projection.distance(few).mean()) if normalised else None,
            mmse=float((x.mean(0) - self.held_out.mean(0)).square().mean()),
            smse=float((x.std(0) - self.held_out.std(0)).square().mean()),
            energy_distance=energy_distance(x, self.held_out),
            one_point_distance=max(one_point.values()),
            one_point_by_field=one_point,
            spectrum_distance=self._spectrum(x),
            self_consistency=None if consistency is None else float(consistency.mean()),
            solved_count=0 if consistency is None else len(consistency),
            nfe=nfe,
            seconds_per_sample=seconds_per_sample,
            count=len(x),
            distance_count=min(self.distance_count, len(x)),
            seed=seed,
            more=registered(self._comparison(x, fields)),
        )

    @torch.no_grad()
    def pair(self, x: Tensor) -> tuple[float | None, float]:
        """Return only the normalised PDE error and the energy distance."""
        x, fields = self._exact(x)
        errors = mean_squares(self.residual, fields, self.scale)
        return _sum(errors), energy_distance(x, self.held_out)

    def _comparison(self, x: Tensor, fields: dict[str, Tensor]) -> Comparison:
        return Comparison(
            x, self.held_out, fields, self._data, self.residual, self.scale, self.packing
        )

    def _one_point(self, fields: dict[str, Tensor]) -> dict[str, float]:
        scale, weights = self.packing.field_scale(), node_weights(self.packing.grid)
        return {
            name: one_point_distance(fields[name], data, scale[name], weights)
            for name, data in self._data.items()
        }

    def _spectrum(self, x: Tensor) -> float:
        samples, data = (self.packing.weigh(v, -0.5) for v in (x, self.held_out))
        return spectrum_distance(samples, data, self.packing.grid)

    def _consistency(self, fields: dict[str, Tensor]) -> Tensor | None:
        if self.own is None:
            return None
        few = {k: v[: members(self.own)] for k, v in fields.items()}
        return inconsistency(self.own, few, self.packing.field_scale())

    def _exact(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return packed samples, weighed, and their fields, in float64 on the CPU.

        Where fields are rounded to levels, the packed ones are too.
        """
        x = x.detach().double()
        fields = {k: v.cpu() for k, v in self.packing.unpack(x).items()}
        if self.packing.field_levels():
            return self.packing.normalised(fields), fields
        return self.packing.weigh(x.cpu()), fields


def _sum(errors: Mapping[str, Tensor]) -> float | None:
    """Return the sum of the rows' errors; None where there is no row."""
    return float(sum(errors.values())) if errors else None
