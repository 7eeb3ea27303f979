"""Fields to the normalised channels that networks see, and back.

Each field is centred by its pointwise mean and divided by its standard deviation. A field of a few
values is softened first, and what comes back is rounded to them (:mod:`piddm.data.levels`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.data.colour import Colour
from piddm.data.levels import MOST, levels_of, rounded, softened
from piddm.grids.grid import Grid
from piddm.grids.means import node_weights
from piddm.residuals import ranges
from piddm.residuals.residual import Fields
from piddm.symbolic.operators import Bounds
from piddm.tools import memory
from piddm.tools.errors import UsageError
from piddm.tools.remembered import Remembered

BY_CHANCE = 4.0
"""Variance of a mean along a periodic axis, over that of chance, up to which it is called none: a
smooth field has few independent places, and their means may differ twice the usual deviation."""


class Packing(Colour):
    """Turns fields ``(batch, *axes)`` into a packed, normalised ``(batch, channel, *image)``.

    Args:
        grid: The grid of the fields.
        names: The fields, in order.
        rank: Number of principal components of the colour, at most.
        symmetric: Whether the mean is the same along a periodic axis unless data say otherwise
            (:func:`symmetric`). A pointwise mean of few data is a pattern that belongs to the
            sample and to no law, and a network that knows no place on the axis cannot allow for it.
        soften: Nodes over which fields of a few values are softened; 0 takes them as they are.
        bounds: Ranges of fields that have one: those are packed by the transform that keeps them
            there (:mod:`piddm.residuals.ranges`).

    Raises:
        UsageError: If the grid has more than three axes.
    """

    mean: Tensor
    scale: Tensor
    levels: Tensor
    level_counts: Tensor
    units: Tensor

    def __init__(
        self,
        grid: Grid,
        names: tuple[str, ...],
        rank: int = 0,
        symmetric: bool = False,
        soften: float = 0.0,
        bounds: Mapping[str, Bounds] | None = None,
    ) -> None:
        super().__init__(grid, names, rank)
        self.symmetric, self.soften = symmetric, soften
        self._counts = Remembered(lambda counts: counts.int().tolist())
        self._numbers = Remembered(lambda scale: scale.flatten().tolist())
        self.register_buffer("mean", torch.zeros(self.channels, *self.image))
        self.register_buffer("scale", torch.ones(self.channels, 1, 1))
        self.bounds = dict(bounds or {})
        if self.bounds:
            self.register_buffer("units", torch.ones(len(names)))
        if soften:
            self.register_buffer("levels", torch.zeros(len(names), MOST))
            self.register_buffer("level_counts", torch.zeros(len(names)))

    def fit(self, fields: Fields) -> Packing:
        """Set levels, mean, scale and colour from data, of many from some; returns itself."""
        count = len(fields[self.names[0]])
        looked_at = memory.some(count, self.dimension)
        fields = {name: fields[name][looked_at] for name in self.names}
        ranges.check(fields, self.bounds, "")
        if self.soften:
            for i, name in enumerate(self.names):
                found = levels_of(fields[name])
                self.level_counts[i] = 0 if found is None else len(found)
                if found is not None:
                    self.levels[i, : len(found)] = found
        x = self.stack(self._transformed(self.softened(fields))).double()
        mean = symmetric(x, self.image_periodic) if self.symmetric else x.mean(0)
        # One scale for all the slices of a field, so that none is blown up where it hardly varies.
        by_field = self.weigh(x - mean).unflatten(1, (len(self.names), -1))
        per_field = by_field.square().mean((0, 2, 3, 4)).sqrt()
        if bool((per_field == 0).any()):
            dead = [n for n, s in zip(self.names, per_field, strict=True) if s == 0]
            raise UsageError(f"the field {dead[0]} does not vary over the data: nothing to learn")
        scale = per_field.repeat_interleave(self.folded)[:, None, None]
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        self.fit_colour(self.weigh((x - mean) / scale), self.smooth())
        if self.bounds:
            self.units.copy_(torch.stack([fields[k].double().std() for k in self.names]))
        return self

    def smooth(self) -> Tensor | None:
        """Return which channels are no field of a few values ``(channel,)``; None if all are."""
        if not (coarse := self.field_levels()):
            return None
        smooth = torch.tensor([name not in coarse for name in self.names])
        return smooth.repeat_interleave(self.folded).to(self.mean.device)

    def field_levels(self) -> dict[str, Tensor]:
        """Return the levels of each field of a few values, ascending."""
        if not self.soften:
            return {}
        counts = zip(self.names, self.levels, self._counts(self.level_counts), strict=True)
        return {name: own[:count] for name, own, count in counts if count}

    def softened(self, fields: Fields) -> dict[str, Tensor]:
        """Return data as networks are trained on them: fields of a few values soft."""
        found = {name: fields[name] for name in self.names}
        for name, levels in self.field_levels().items():
            found[name] = softened(found[name], levels.cpu(), self.soften, self.grid.periodic)
        return found

    def targets(self, fields: Fields) -> Tensor:
        """Return data as normalised channels to train on, float32; on the disk where many."""
        count = len(fields[self.names[0]])
        several = list(memory.parts(count, 8 * self.dimension))
        if len(several) < 2:
            return self.pack(self.softened(fields))
        shape = (count, self.channels, *self.image)
        found = torch.from_numpy(memory.room(shape, np.dtype(np.float32)))
        for part in several:
            found[part] = self.pack(self.softened({k: v[part] for k, v in fields.items()}))
        return found

    def pack(self, fields: Fields) -> Tensor:
        """Return normalised channels, float32."""
        values = self.stack(self._transformed(fields))
        mean, scale = self.mean.to(values.device), self.scale.to(values.device)
        return ((values - mean) / scale).to(mean.dtype)

    def unpack(self, x: Tensor) -> dict[str, Tensor]:
        """Return physical fields, one tensor ``(batch, *axes)`` each, those of levels rounded."""
        found = self.relaxed(x)
        for name, levels in self.field_levels().items():
            found[name] = rounded(found[name], levels)
        return found

    def relaxed(self, x: Tensor) -> dict[str, Tensor]:
        """Return what :meth:`unpack` does before it rounds: affine in x but for ranges."""
        found = self.unstack(x * self.scale.to(x) + self.mean.to(x))
        for name, bounds in self.bounds.items():
            found[name] = ranges.backward(found[name], bounds)
        return found

    def middle(self) -> dict[str, Tensor]:
        """Return the mean of the data, fields ``(1, *axes)``, those of a few values not rounded."""
        return self.relaxed(torch.zeros_like(self.mean)[None])

    def sharp(self, x: Tensor) -> Tensor:
        """Return packed states whose fields of a few values are rounded to them."""
        if not self.field_levels():
            return x
        return (self.stack(self._transformed(self.unpack(x))) - self.mean.to(x)) / self.scale.to(x)

    def normalised(self, fields: Fields) -> Tensor:
        """Return normalised channels in float64 on the CPU, weighed by area: for measures."""
        mean, scale = self.mean.cpu().double(), self.scale.cpu().double()
        return self.weigh((self.stack(self._transformed(fields)).cpu().double() - mean) / scale)

    def _transformed(self, fields: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if not self.bounds:
            return fields
        return {
            k: ranges.forward(v, self.bounds[k]) if k in self.bounds else v
            for k, v in fields.items()
        }

    def moves(self, x: Tensor, corrections: Mapping[str, Tensor]) -> Tensor:
        """Return, to first order, by how much packed states move with their fields.

        Args:
            x: Packed states.
            corrections: By how much each field moves, over its :meth:`field_scale`.
        """
        if not self.bounds:
            return self.stack(corrections)
        fields, unit = self.relaxed(x.detach()), self.field_scale()
        moved = {
            k: v * unit[k] * ranges.slope(fields[k], self.bounds.get(k, (None, None)))
            for k, v in corrections.items()
        }
        stacked = self.stack(moved)
        return stacked / self.scale.to(stacked)

    def pull(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Return derivatives by fields as derivatives by packed states, at the mean of the data."""
        if self.bounds:
            mean = self.middle()
            rows = {
                k: v / ranges.slope(mean[k], self.bounds.get(k, (None, None))).to(v)
                for k, v in rows.items()
            }
        return self.stack(rows).to(self.scale) * self.scale

    def push(self, x: Tensor, direction: Tensor) -> dict[str, Tensor]:
        """Return by how much fields move, to first order, with packed states along a direction."""
        still = self.relaxed(torch.zeros_like(direction))
        if not self.bounds:
            return {k: v - still[k] for k, v in self.relaxed(direction).items()}
        return torch.func.jvp(self.relaxed, (x,), (direction,))[1]

    def field_scale(self) -> dict[str, float]:
        """Return the standard deviation of each field."""
        if self.bounds:
            return dict(zip(self.names, self._numbers(self.units), strict=True))
        return dict(zip(self.names, self._numbers(self.scale)[:: self.folded], strict=True))

    def norm(self) -> dict[str, float | np.ndarray]:
        r"""Return what a projection divides moves by, :math:`s/\sqrt w` on a sphere, else s.

        "Nearest" is then meant in the mean over the area, each field over its deviation s.
        """
        weights, scale = node_weights(self.grid), self.field_scale()
        if weights is None:
            return dict(scale)
        return {k: s / weights.sqrt().numpy() for k, s in scale.items()}


def symmetric(samples: Tensor, periodic: tuple[bool, bool]) -> Tensor:
    """Return the mean of samples, constant along periodic axes where nothing speaks against it.

    Along such an axis most equations are alike everywhere, and so are the means of their solutions;
    those of N samples differ by chance, by the variance over N. Channel by channel, differences of
    less than :data:`BY_CHANCE` times that are left out, others shrunk by what chance adds (James
    and Stein's estimator; a forced flow has a mean with a pattern of its own).

    Args:
        samples: ``(count, channel, *image)``.
        periodic: Whether each image axis is periodic.
    """
    mean = samples.mean(0)
    along = [dim for dim, p in zip((-2, -1), periodic, strict=True) if p]
    if not along:
        return mean
    level = mean.mean(along, keepdim=True)
    chance = samples.var(0).mean((-2, -1), keepdim=True) / len(samples)
    differs = (mean - level).square().mean((-2, -1), keepdim=True)
    kept = torch.where(differs > BY_CHANCE * chance, 1 - chance / differs, 0.0)
    return torch.addcmul(level, kept, mean - level)
