r"""The exact denoiser of a finite set of data: a teacher without a network.

For :math:`x_0` uniform on :math:`\{x_1, ..., x_N\}` and :math:`x_t = \alpha x_0 + \sigma S\epsilon`
the posterior is a set of weights, and all of its moments are finite sums:

.. math:: w_i(x_t) \propto \exp\left(-\frac{|S^{-1}(x_t - \alpha x_i)|^2}{2\sigma^2}\right),
    \qquad E[f(x_0) \mid x_t] = \sum_i w_i f(x_i).

It needs the inverse of the colour S (:mod:`piddm.data.packing`). With V the separable modes,
:math:`S = U\,\mathrm{diag}(s)\,U^T + V\,\mathrm{diag}(q)\,V^T(I - UU^T)`: solving
:math:`S z = y` leaves a system in the components' amplitudes only,

.. math:: (\hat U^T q^{-1}\hat U)\,b = \hat U^T q^{-1}\hat y, \quad
    |z|^2 = |b/s|^2 + |q^{-1}(\hat y - \hat U b)|^2, \quad \hat U = V^T U,\ \hat y = V^T y.

Modes in which data do not vary make S singular. They get a little noise (:data:`FLOOR`): the
posterior is then exact for a process that differs where there is nothing to be told. Where the
components are all there is of S, the posterior is that given their amplitudes.
"""

from __future__ import annotations

import copy

import torch
from torch import Generator, Tensor, nn

from piddm.data.packing import Packing
from piddm.residuals.residual import Fields
from piddm.teachers.probability_flow import ProbabilityFlow
from piddm.teachers.schedules import Schedule
from piddm.tools.errors import PiddmError

FLOOR = 1e-4
"""Least deviation of the noise in a mode, over that in the strongest: a share of 1e-8 of it."""

TINY = 1e-30
"""Stands in for a noise level of zero."""


class IdealDenoiser(ProbabilityFlow):
    """The posterior of x0 given x_t on finite data, in float64 on the CPU.

    The sampler is that of every probability flow.

    Args:
        fields: The data, physical fields ``(count, *axes)``.
        packing: Normalisation and colour; a copy in float64 is kept.
        schedule: Noise schedule.
    """

    data: Tensor
    white: Tensor

    def __init__(self, fields: Fields, packing: Packing, schedule: Schedule) -> None:
        super().__init__(nn.Identity(), _regular(packing), schedule)
        self.register_buffer("data", self.packing.pack(fields))
        self.register_buffer("white", self.whiten(self.data))

    def whiten(self, x: Tensor) -> Tensor:
        """Return coordinates ``(batch, dimension)`` in which the noise S eps is white."""
        packing = self.packing
        y = packing.weigh(x)
        rank = int(torch.count_nonzero(packing.strengths))
        components, strengths = packing.components[:rank], packing.strengths[:rank]
        if not bool(packing.spectrum.any()):
            return y.flatten(1) @ components.mT / strengths
        q = packing.spectrum.flatten()
        modes = self._modes(y)
        if not rank:
            return modes / q
        tilted = self._modes(components.view(rank, *x.shape[1:]))
        amplitudes = torch.linalg.solve((tilted / q) @ tilted.mT, (tilted / q) @ modes.mT).mT
        return torch.cat([amplitudes / strengths, (modes - amplitudes @ tilted) / q], dim=1)

    def _modes(self, y: Tensor) -> Tensor:
        return (self.packing.basis_0.mT @ y @ self.packing.basis_1).flatten(1)

    def weights(self, xt: Tensor, t: Tensor) -> Tensor:
        """Return the posterior's weights ``(batch, count)`` at times ``(batch,)``."""
        a, s = (level(t.double())[:, None] for level in (self.schedule.alpha, self.schedule.sigma))
        likeness = a * self.whiten(xt.double()) @ self.white.mT
        size = self.white.square().sum(1)
        return torch.softmax((likeness - a**2 * size / 2) / s.clamp_min(TINY) ** 2, dim=1)

    def predict(self, xt: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior means of x0 and of the noise."""
        data = torch.tensordot(self.weights(xt, t), self.data, dims=1)
        a, s = (v(t.double())[:, None, None, None]
                for v in (self.schedule.alpha, self.schedule.sigma))  # fmt: skip
        return data, (xt - a * data) / s.clamp_min(TINY)

    def corrupt(self, t: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw x0 from the data, and x_t from it, at times ``(count,)``; return both."""
        index = torch.randint(len(self.data), (len(t),), generator=generator)
        x0 = self.data[index]
        noise = self.packing.colour(torch.randn(x0.shape, generator=generator, dtype=x0.dtype))
        a, s = (v(t.double())[:, None, None, None]
                for v in (self.schedule.alpha, self.schedule.sigma))  # fmt: skip
        return x0, a * x0 + s * noise

    def loss(self, x0: Tensor, generator: Generator) -> Tensor:
        """There is nothing to train."""
        raise PiddmError("an ideal denoiser is exact as it is: train another teacher")


def _regular(packing: Packing) -> Packing:
    """Return a copy in float64 whose colour can be inverted."""
    packing = copy.deepcopy(packing).cpu().double()
    if bool(packing.spectrum.any()):
        packing.spectrum.clamp_(min=FLOOR * float(packing.spectrum.max()))
    # Orthonormal to float32 is not enough: the inverse of S divides by its weakest modes.
    packing.basis_0.copy_(torch.linalg.qr(packing.basis_0)[0])
    packing.basis_1.copy_(torch.linalg.qr(packing.basis_1)[0])
    rank = int(torch.count_nonzero(packing.strengths))
    if rank:
        packing.components[:rank] = torch.linalg.qr(packing.components[:rank].mT)[0].mT
    return packing
