r"""Fields to network channels and back: normalisation, and noise that looks like the data.

Each field is centred by its pointwise mean and divided by its standard deviation. On top of that
the state has a **colour** S, the square root of the data's covariance:

.. math:: S = U\,\mathrm{diag}(s)\,U^T + S_\perp (I - UU^T).

U holds the leading principal components of the whole state, all fields and all nodes together, so
that noise already has the linear part of what ties a solution to its input. What they leave is
modelled as separable: along each axis the eigenvectors of the covariance, and each product mode
scaled by the standard deviation it has in the data. Where a moderate number of components leaves
more than a hundredth of the variance (a medium of two phases), there is no low-dimensional linear
part to be had, and the model is separable altogether.

Noise is S times white noise, and the output of networks is damped where the data are small
(:meth:`Packing.shape`). A network's error then cannot put wiggles into a smooth field, which is
what residuals with high derivatives punish most; and where the data do not vary at all (a wall),
nothing does. For noise with a covariance operator see Kerrigan et al., Functional Flow Matching
(arXiv 2305.17209).

On a sphere all this is in the inner product of its area: covariance, components and white noise are
those of the state times the root of each node's share (:meth:`Packing.weigh`). The crowded nodes at
the poles would rule them else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.interfaces import Fields
from piddm.weighting import node_weights

LEFT_OVER = 0.01
"""Share of the variance that principal components may leave, else they are not used."""


NEGLIGIBLE = 1e-6
"""Share of the variance that principal components may leave without a model of it."""


class Packing(nn.Module):
    """Turns fields ``(batch, *axes)`` into a packed, normalised ``(batch, channel, *image)``.

    With two axes each field is a channel; with three the first axis folds into channels.

    Args:
        grid: The grid of the fields.
        names: The fields, in order.
        rank: Number of principal components, at most.

    Raises:
        UsageError: If the grid has other than two or three axes.
    """

    weights: Tensor | None
    mean: Tensor
    scale: Tensor
    components: Tensor
    strengths: Tensor
    spectrum: Tensor
    basis_0: Tensor
    basis_1: Tensor

    def __init__(self, grid: Grid, names: tuple[str, ...], rank: int = 0) -> None:
        super().__init__()
        if len(grid.shape) not in (2, 3):
            raise UsageError(f"networks take grids of 2 or 3 axes, not {len(grid.shape)}")
        self.grid, self.names = grid, names
        folded = grid.shape[0] if len(grid.shape) == 3 else 1
        self.channels, self.image = folded * len(names), (grid.shape[-2], grid.shape[-1])
        self.image_periodic = grid.periodic[-2], grid.periodic[-1]
        shape = (self.channels, *self.image)
        shares = node_weights(grid)
        if shares is not None:
            shares = self.stack({name: shares[None] for name in names})[0]
        self.register_buffer("weights", shares, persistent=False)  # the grid tells them
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(self.channels, 1, 1))
        self.register_buffer("components", torch.zeros(rank, self.channels * math.prod(self.image)))
        self.register_buffer("strengths", torch.zeros(rank))
        self.register_buffer("spectrum", torch.ones(shape))
        for dim, n in enumerate(self.image):
            self.register_buffer(f"basis_{dim}", torch.eye(n).repeat(self.channels, 1, 1))

    def fit(self, fields: Fields) -> Packing:
        """Set mean, scale and colour from data; returns itself."""
        x = self.stack(fields).double()
        mean = x.mean(0)
        # One scale for all the slices of a field, so that none is blown up where it hardly varies.
        by_field = self.weigh(x - mean).unflatten(1, (len(self.names), -1))
        per_field = by_field.square().mean((0, 2, 3, 4)).sqrt()
        if bool((per_field == 0).any()):
            dead = [n for n, s in zip(self.names, per_field, strict=True) if s == 0]
            raise UsageError(f"the field {dead[0]} does not vary over the data: nothing to learn")
        scale = per_field.repeat_interleave(self.channels // len(self.names))[:, None, None]
        x = self.weigh((x - mean) / scale)
        components, strengths = _principal(x.flatten(1), len(self.strengths))
        x = x - (x.flatten(1) @ components.mT @ components).view_as(x)
        left = torch.einsum("bchw,bcgw->chg", x, x) / len(x)
        right = torch.einsum("bchw,bchv->cwv", x, x) / len(x)
        basis_0, basis_1 = torch.linalg.eigh(left)[1], torch.linalg.eigh(right)[1]
        spectrum = (basis_0.mT @ x @ basis_1).square().mean(0).sqrt()
        if float(spectrum.square().mean()) < NEGLIGIBLE:
            spectrum = torch.zeros_like(spectrum)
        fitted = {
            "mean": mean,
            "scale": scale,
            "components": components,
            "strengths": strengths,
            "spectrum": spectrum,
            "basis_0": basis_0,
            "basis_1": basis_1,
        }
        for name, value in fitted.items():
            getattr(self, name).copy_(value)
        return self

    def colour(self, white: Tensor) -> Tensor:
        """Apply S to ``(batch, channel, *image)``."""
        return self.weigh(self._filter(white, self.strengths, self.spectrum), -0.5)

    def shape(self, output: Tensor) -> Tensor:
        r"""Damp a network's output where the data are small: a mode's gain is s/sqrt(1 + s^2).

        Modes larger than white noise of unit variance pass as they are (through S itself they
        would be blown up, and a step of the optimiser with them); others get the data's fall-off.
        """
        strong, weak = (v * torch.rsqrt(1 + v.square()) for v in (self.strengths, self.spectrum))
        return self.weigh(self._filter(self.weigh(output), strong, weak), -0.5)

    def respond(self, network: nn.Module, x: Tensor, t: Tensor) -> Tensor:
        r"""Return :math:`G o + (G g)\odot x` for a network's answers o and g.

        The offset o draws what is large and smooth. The gate g lets or blocks the fine grain of x,
        which the network would else have to copy node by node, to take noise off a flat phase for
        one. Where principal components hold the data there is no such grain, and no gate.
        """
        offset, gate = network(x, t).chunk(2, dim=1)
        if self._rank():
            return self.shape(offset)
        return torch.addcmul(self.shape(offset), self.shape(gate), x)

    def _rank(self) -> int:
        """Return how many principal components are in use; they are stored by falling strength."""
        return int(torch.count_nonzero(self.strengths))

    def _filter(self, x: Tensor, strong: Tensor, weak: Tensor) -> Tensor:
        leading = None
        if rank := self._rank():
            components = self.components[:rank]
            amplitude = x.flatten(1) @ components.mT
            if not bool(weak.any()):
                return ((amplitude * strong[:rank]) @ components).view_as(x)
            both = torch.cat([amplitude * strong[:rank], amplitude]) @ components
            leading, plain = both.view(2, *x.shape)
            x = x - plain
        modes = self.basis_0.mT @ x @ self.basis_1
        rest = self.basis_0 @ (modes * weak) @ self.basis_1.mT
        return rest if leading is None else rest + leading

    def pack(self, fields: Fields) -> Tensor:
        """Return normalised channels, float32."""
        values = self.stack(fields)
        mean, scale = self.mean.to(values.device), self.scale.to(values.device)
        return ((values - mean) / scale).to(mean.dtype)

    def unpack(self, x: Tensor) -> dict[str, Tensor]:
        """Return physical fields, one tensor ``(batch, *axes)`` each."""
        values = x * self.scale.to(x) + self.mean.to(x)
        parts = values.split(self.channels // len(self.names), dim=1)
        return {k: p.reshape(-1, *self.grid.shape) for k, p in zip(self.names, parts, strict=True)}

    def field_scale(self) -> dict[str, float]:
        """Return the standard deviation of each field."""
        step = self.channels // len(self.names)
        return {k: float(self.scale[i * step]) for i, k in enumerate(self.names)}

    def norm(self) -> dict[str, float | np.ndarray]:
        r"""Return what a projection divides moves by, :math:`s/\sqrt w` on a sphere, else s.

        "Nearest" is then meant in the mean over the area, each field over its deviation s.
        """
        weights, scale = node_weights(self.grid), self.field_scale()
        if weights is None:
            return dict(scale)
        return {k: s / weights.sqrt().numpy() for k, s in scale.items()}

    def weigh(self, x: Tensor, power: float = 0.5) -> Tensor:
        """Return packed values times a power of their nodes' shares; as they are on a plane.

        After the root, a plain mean square is that over the area, and a plain distance too.
        """
        return x if self.weights is None else x * self.weights.to(x) ** power

    def stack(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Return fields as channels, not normalised."""
        parts = [fields[k].reshape(-1, self.channels // len(self.names), *self.image)
                 for k in self.names]  # fmt: skip
        return torch.cat(parts, dim=1)


def _principal(x: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the leading principal components ``(rank, dimension)`` and their standard deviations.

    Components beyond a quarter of the sample count are noise of the sample, and are left at zero;
    so are all where they leave more than :data:`LEFT_OVER` of the variance.
    """
    used = min(rank, len(x) // 4, x.shape[1] // 4)
    components, strengths = x.new_zeros(rank, x.shape[1]), x.new_zeros(rank)
    if used:
        # By the smaller Gram matrix of a bounded number of samples, exactly: no random projections.
        some = x[: 4 * max(rank, 1024)]
        values, vectors = torch.linalg.eigh(some @ some.mT)
        values, vectors = values.flip(0)[:used], vectors.flip(1)[:, :used]
        if 1 - values.sum() / some.square().sum() > LEFT_OVER:
            return components, strengths
        components[:used] = (vectors / values.clamp_min(1e-30).sqrt()).mT @ some
        strengths[:used] = (x @ components[:used].mT).square().mean(0).sqrt()
    return components, strengths
