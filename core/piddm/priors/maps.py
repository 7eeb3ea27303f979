"""Laws that map a number or another law: constants, phases, positive media, edges of zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from piddm.grids.grid import Grid
from piddm.priors.prior import Mapped, Prior
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Uniform(Prior):
    """A number, equally likely anywhere between two: a param, or a field that is constant."""

    low: float
    high: float

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        return _constant(self.sample_param(count, generator), grid)

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        import torch

        return self._of(torch.rand(count, generator=generator, dtype=torch.float64))

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field."""
        return 1

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        return _constant(self.param_from_white(noise[:, 0]), grid)

    def param_from_white(self, noise: Tensor) -> Tensor:
        """Map white noise to values of a param, of the same shape, differentiably."""
        import torch

        return self._of(torch.special.ndtr(noise))

    def _of(self, unit: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * unit


@dataclass(frozen=True)
class Normal(Prior):
    """A Gaussian number: a param, or a field that is constant.

    Args:
        mean: Its mean.
        deviation: Its standard deviation, positive.
    """

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not 0 < self.deviation < math.inf or not math.isfinite(self.mean):
            raise UsageError(f"{self!r}: give a finite mean and a positive deviation")

    def sample(self, grid: Grid, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` fields, float64, shape ``(count, *grid.shape)``."""
        return _constant(self.sample_param(count, generator), grid)

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        return self.param_from_white(self.latent_param(count, generator))

    def white(self, grid: Grid) -> int:
        """Return how many numbers of white noise :meth:`from_white` takes for a field."""
        return 1

    def from_white(self, grid: Grid, noise: Tensor) -> Tensor:
        """Map white noise ``(count, white)`` to fields of this law, differentiably."""
        return _constant(self.param_from_white(noise[:, 0]), grid)

    def param_from_white(self, noise: Tensor) -> Tensor:
        """Map white noise to values of a param, of the same shape, differentiably."""
        return self.mean + self.deviation * noise


def _constant(values: Tensor, grid: Grid) -> Tensor:
    return values.view(-1, *[1] * len(grid.shape)).repeat(1, *grid.shape)


@dataclass(frozen=True)
class TwoPhase(Mapped):
    """Two materials: ``high`` where the underlying field is at least 0, ``low`` elsewhere."""

    underlying: Prior
    low: float
    high: float

    @property
    def phases(self) -> tuple[float, float]:
        """The two values."""
        return self.low, self.high

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        import torch

        return torch.where(field >= 0, self.high, self.low).to(field.dtype)

    def white(self, grid: Grid) -> int:
        """Refuse: a step between two values has no slope to follow."""
        return Prior.white(self, grid)

    def softened(self, width: float) -> Prior:
        """Return the law of a ramp in the place of the step."""
        return Ramp(self.underlying, self.low, self.high, width)


@dataclass(frozen=True)
class Ramp(Mapped):
    r"""Two materials with a zone between them: :math:`low + (high - low)\,\Phi(g/(w s))`.

    Args:
        underlying: The law of g, affine in white noise.
        low, high: What the materials have.
        width: w, over the deviation s of g, root mean square over the nodes.
    """

    underlying: Prior
    low: float
    high: float
    width: float

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        import torch

        deviation = float(self.underlying.variance(grid).mean().sqrt())
        return self.low + (self.high - self.low) * torch.special.ndtr(
            field / (self.width * deviation)
        )


@dataclass(frozen=True)
class LogNormal(Mapped):
    """The exponential of the underlying field: a smooth positive medium."""

    underlying: Prior

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        return field.exp()


@dataclass(frozen=True)
class Inverse(Mapped):
    """One over a number or field of the underlying law."""

    underlying: Prior

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        return 1 / field

    def sample_param(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` values of a param, float64, shape ``(count,)``."""
        return 1 / self.underlying.sample_param(count, generator)

    def param_from_white(self, noise: Tensor) -> Tensor:
        """Map white noise ``(count,)`` to values of a param, differentiably."""
        return 1 / self.underlying.param_from_white(noise)


@dataclass(frozen=True)
class ZeroOnEdge(Mapped):
    """The underlying field with zeros at both ends of every bounded axis, where nodes are there."""

    underlying: Prior

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        import torch

        inside = torch.ones(grid.shape, dtype=torch.bool)
        for dim, axis in enumerate(grid.axes.values()):
            if axis.periodic or axis.latitude:
                continue
            for node, gap in zip((0, -1), axis.gaps, strict=True):
                if not gap:
                    inside.select(dim, node).zero_()
        return torch.where(inside, field, 0.0)

    def variance(self, grid: Grid) -> Tensor:
        """Return the variance at each node, ``(*grid.shape)``."""
        return self.changed(grid, self.underlying.variance(grid)[None])[0]


@dataclass(frozen=True)
class UnitRange(Mapped):
    """The underlying field, shifted and scaled so that its values go from 0 to 1."""

    underlying: Prior

    def changed(self, grid: Grid, field: Tensor) -> Tensor:
        """Return fields of this law from those of the underlying one."""
        dims = tuple(range(1, field.ndim))
        low, high = field.amin(dims, keepdim=True), field.amax(dims, keepdim=True)
        return (field - low) / (high - low)
