r"""Noise that looks like data: the square root S of their covariance, the **colour**.

.. math:: S = U\,\mathrm{diag}(s)\,U^T + S_\perp (I - UU^T).

U holds the leading principal components of the whole state, all fields and all nodes together, so
that noise already has the linear part of what ties a solution to its input. What they leave is
modelled as separable: along each axis the eigenvectors of the covariance, and each product mode
scaled by the standard deviation it has in the data. Where a moderate number of components leaves
more than a hundredth of the variance, there is no low-dimensional linear part to be had, and the
model is separable altogether. It always is for a field of a few values, such as a medium of two
phases, where these are softened (:mod:`piddm.data.levels`): no linear map ties a solution to it.

Noise is S times white noise, and the output of networks is damped where the data are small
(:meth:`Colour.shape`). A network's error then cannot put wiggles into a smooth field, which is
what residuals with high derivatives punish most; and where the data do not vary at all (a wall),
nothing does. For noise with a covariance operator see Kerrigan et al., Functional Flow Matching
(arXiv 2305.17209).

On a sphere all this is in the inner product of its area: covariance, components and white noise are
those of the state times the root of each node's share (:meth:`Layout.weigh`). The crowded nodes at
the poles would rule them else.
"""

from __future__ import annotations

import torch
from torch import Tensor

from piddm.data.layout import Layout
from piddm.grids.grid import Grid
from piddm.tools.remembered import Remembered

LEFT_OVER = 0.01
"""Share of the variance that principal components may leave, else they are not used."""

NEGLIGIBLE = 1e-6
"""Share of the variance that principal components may leave without a model of it."""


class Colour(Layout):
    """The covariance of normalised states, and noise of it.

    Args:
        grid: The grid of the fields.
        names: The fields, in order.
        rank: Number of principal components, at most.
    """

    components: Tensor
    strengths: Tensor
    spectrum: Tensor
    basis_0: Tensor
    basis_1: Tensor

    def __init__(self, grid: Grid, names: tuple[str, ...], rank: int = 0) -> None:
        super().__init__(grid, names)
        self.register_buffer("components", torch.zeros(rank, self.dimension))
        self.register_buffer("strengths", torch.zeros(rank))
        self._rank = Remembered(lambda strengths: int(torch.count_nonzero(strengths)))
        self._varies = Remembered(lambda spectrum: bool(spectrum.any()))
        self.register_buffer("spectrum", torch.ones(self.channels, *self.image))
        for dim, n in enumerate(self.image):
            self.register_buffer(f"basis_{dim}", torch.eye(n).repeat(self.channels, 1, 1))

    def fit_colour(self, x: Tensor, smooth: Tensor | None = None) -> None:
        """Set S from data.

        Args:
            x: Normalised, weighed states ``(batch, channel, *image)``, float64.
            smooth: Which channels ``(channel,)`` principal components are of; all if left out.
        """
        tied = x if smooth is None else x * smooth.to(x)[:, None, None]
        components, strengths = _principal(tied.flatten(1), len(self.strengths))
        x = x - (x.flatten(1) @ components.mT @ components).view_as(x)
        basis_0, basis_1, spectrum = separable(x)
        if float(spectrum.square().mean()) < NEGLIGIBLE:
            spectrum = torch.zeros_like(spectrum)
        fitted = {
            "components": components,
            "strengths": strengths,
            "spectrum": spectrum,
            "basis_0": basis_0,
            "basis_1": basis_1,
        }
        for name, value in fitted.items():
            getattr(self, name).copy_(value)

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

    def rank(self) -> int:
        """Return how many principal components are in use; they are stored by falling strength."""
        return self._rank(self.strengths)

    def _filter(self, x: Tensor, strong: Tensor, weak: Tensor) -> Tensor:
        leading = None
        if rank := self.rank():
            components = self.components[:rank]
            amplitude = x.flatten(1) @ components.transpose(-1, -2)
            if not self._varies(self.spectrum):  # nor does what is made of it
                return ((amplitude * strong[:rank]) @ components).view_as(x)
            both = torch.cat([amplitude * strong[:rank], amplitude]) @ components
            leading, plain = both.view(2, *x.shape)
            x = x - plain
        modes = self.basis_0.transpose(-1, -2) @ x @ self.basis_1
        rest = self.basis_0 @ (modes * weak) @ self.basis_1.transpose(-1, -2)
        return rest if leading is None else rest + leading


def separable(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the separable model of states ``(count, channel, *image)`` about zero.

    Returns:
        The eigenvectors of the covariance along both axes of the image, ``(channel, n, n)`` each,
        and the deviation of each product mode, ``(channel, *image)``.
    """
    left = torch.einsum("bchw,bcgw->chg", x, x) / len(x)
    right = torch.einsum("bchw,bchv->cwv", x, x) / len(x)
    basis_0, basis_1 = torch.linalg.eigh(left)[1], torch.linalg.eigh(right)[1]
    return basis_0, basis_1, (basis_0.mT @ x @ basis_1).square().mean(0).sqrt()


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
