r"""Draws of Gaussian inputs, fine waves and all.

.. math:: a = M\,\bigl(U\,\mathrm{diag}(s)\,U^T \xi + B\,\Sigma B^T (I - UU^T)\,\xi\bigr).

U holds the leading principal components of whole states. What they leave of a solution may be a
millionth, and the colour then has no model of it (:data:`piddm.data.colour.NEGLIGIBLE`). What they
leave of the *inputs* is not: an initial state has waves that are gone a moment later, and draws
without them have another spectrum. Here the rest is fitted to the inputs alone: along each axis of
the image the eigenvectors B of its covariance, and the deviation of each product mode.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from piddm.data.colour import separable
from piddm.data.packing import Packing
from piddm.equation import PDE
from piddm.students.extension import Extension
from piddm.tools import memory
from piddm.tools.remembered import Remembered


class InputLaw(nn.Module):
    """Maps white noise to packed states whose inputs have the law of the data's.

    Until it is fitted, as in a file of an older version, it is the colour.

    Args:
        packing: How states are packed.
    """

    spectrum: Tensor
    basis_0: Tensor
    basis_1: Tensor

    def __init__(self, packing: Packing) -> None:
        super().__init__()
        self.register_buffer("spectrum", torch.zeros(packing.channels, *packing.image))
        for dim, n in enumerate(packing.image):
            self.register_buffer(f"basis_{dim}", torch.zeros(packing.channels, n, n))
        self.register_load_state_dict_pre_hook(_as_unfitted)
        self._fitted = Remembered(lambda spectrum: bool(spectrum.any()))

    @classmethod
    def of(cls, pde: PDE, packing: Packing, data: Tensor) -> InputLaw:
        """Return the law of an equation's inputs in packed data."""
        law, mask = cls(packing).to(packing.mean), Extension(pde, packing).mask
        some = data[memory.some(len(data), data[:1].numel())]
        law.fit(some.to(packing.mean), packing, mask.to(packing.mean.device))
        return law

    def forward(self, noise: Tensor, packing: Packing) -> Tensor:
        """Return packed states ``(batch, channel, *image)``."""
        if not self._fitted(self.spectrum):
            return packing.colour(noise)
        amplitude, components, beyond = _split(noise, packing)
        leading = (amplitude * packing.strengths[: len(components)]) @ components
        modes = self.basis_0.transpose(-1, -2) @ beyond @ self.basis_1 * self.spectrum
        rest = self.basis_0 @ modes @ self.basis_1.transpose(-1, -2)
        return packing.weigh(leading.view_as(rest) + rest, -0.5)

    @torch.no_grad()
    def fit(self, data: Tensor, packing: Packing, mask: Tensor) -> None:
        """Set the law of what the components leave.

        Args:
            data: Packed data ``(count, channel, *image)``.
            packing: Theirs.
            mask: Where packed values are inputs, boolean ``(channel, *image)``.
        """
        beyond = (_split(packing.weigh(data), packing)[2] * mask).double()
        basis_0, basis_1, spectrum = separable(beyond)
        # Zeros take no room in a file: channels without inputs need no basis.
        used = mask.any(-1).any(-1)[:, None, None]
        self.basis_0.copy_(basis_0 * used)
        self.basis_1.copy_(basis_1 * used)
        self.spectrum.copy_(spectrum)


def _as_unfitted(law: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Before loading: what an older file lacks is as it was before it was fitted."""
    for name, value in law.named_buffers():
        state.setdefault(prefix + name, torch.zeros_like(value))


def _split(x: Tensor, packing: Packing) -> tuple[Tensor, Tensor, Tensor]:
    """Return amplitudes of the leading components, the components, and what they leave."""
    components = packing.components[: packing.rank()]
    amplitude = x.flatten(1) @ components.transpose(-1, -2)
    return amplitude, components, x - (amplitude @ components).view_as(x)
