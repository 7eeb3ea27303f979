r"""A Fourier neural operator: convolutions over the whole domain, by their lowest Fourier modes.

A layer is (Li et al., Fourier Neural Operator, arXiv 2010.08895, Eq. 4)

.. math:: v \leftarrow v + P\,\sigma\bigl(W v + \mathcal F^{-1}(R\cdot\mathcal F v)\bigr),

R a complex matrix of channels for each of the lowest modes, W and P matrices of channels, and in
between the noise level's shift and scale. The truncated transforms are products with matrices,
twelve modes of 64 nodes for one: faster on a processor than a fast transform of all.

Along an axis that ends at walls the modes are those of a domain a quarter longer, in which a field
is zero beyond the wall: what is beyond one wall is not what is beyond the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from piddm.networks.sizes import Sizes, along, edges_of, folded, line, unfolded
from piddm.networks.unet import fourier

CITATION = r"""
@misc{li2021fourier,
  title = {Fourier Neural Operator for Parametric Partial Differential Equations},
  author = {Li, Zongyi and Kovachki, Nikola and Azizzadenesheli, Kamyar and Liu, Burigede and
    Bhattacharya, Kaushik and Stuart, Andrew and Anandkumar, Anima},
  year = {2021},
  eprint = {2010.08895},
  archivePrefix = {arXiv},
}
"""
"""Sources of the method, for ``piddm cite``: BibTeX."""

BEYOND = 0.25
"""Extension of a domain with walls, over its length, for its modes."""


class SpectralConvolution(nn.Module):
    """Convolution over the whole domain with a kernel of few Fourier modes.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        image: Height and width.
        periodic: Whether each axis is periodic.
        modes: Modes kept of each axis: the numbers 0 to modes - 1, and their negatives; fewer where
            the nodes do not tell so many apart.
    """

    rows: Tensor
    columns: Tensor
    back: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        image: tuple[int, int],
        periodic: tuple[bool, bool],
        modes: int = 12,
    ) -> None:
        super().__init__()
        of_rows, of_columns = (
            _waves(n, p, modes, both)
            for n, p, both in zip(image, periodic, (True, False), strict=True)
        )
        # Fields are real: the negative modes of the second axis are the others' conjugates.
        twice = torch.full((len(of_columns), 1), 2.0, dtype=torch.float64)
        twice[0] = 1
        self.register_buffer("rows", torch.view_as_real(of_rows).float(), persistent=False)
        self.register_buffer(
            "columns", torch.cat([of_columns.real, of_columns.imag]).mT.contiguous().float(),
            persistent=False,
        )  # fmt: skip
        self.register_buffer(
            "back", torch.cat([twice * of_columns.real, twice * of_columns.imag]).float(),
            persistent=False,
        )  # fmt: skip
        size = 1 / math.sqrt(2 * inputs)
        self.weight = nn.Parameter(
            size * torch.randn(len(of_rows), len(of_columns), inputs, outputs, 2)
        )  # real and imaginary part, since files and optimisers know real numbers best

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, outputs, height, width)``."""
        if torch.onnx.is_in_onnx_export():
            return self._in_reals(x)
        rows = torch.view_as_complex(self.rows)
        real, imaginary = (x @ self.columns).chunk(2, dim=-1)
        spectrum = torch.einsum("kh,bchm->kmbc", rows, torch.complex(real, imaginary))
        spectrum = spectrum @ torch.view_as_complex(self.weight)
        lines = torch.einsum("kh,kmbc->bchm", rows.conj(), spectrum)
        return torch.cat([lines.real, lines.imag], dim=-1) @ self.back

    def _in_reals(self, x: Tensor) -> Tensor:
        """Return the same by real numbers alone, since ONNX has no others: twice as slow here."""
        (c, s), (w, v) = self.rows.unbind(-1), self.weight.unbind(-1)
        real, imaginary = (x @ self.columns).chunk(2, dim=-1)

        def along(row: Tensor, part: Tensor) -> Tensor:
            return torch.einsum("kh,bchm->kmbc", row, part)

        def back(row: Tensor, part: Tensor) -> Tensor:
            return torch.einsum("kh,kmbc->bchm", row, part)

        p, q = along(c, real) - along(s, imaginary), along(c, imaginary) + along(s, real)
        p, q = p @ w - q @ v, p @ v + q @ w
        lines = back(c, p) + back(s, q), back(c, q) - back(s, p)
        return torch.cat(lines, dim=-1) @ self.back


class FourierLayer(nn.Module):
    """One layer, a residual block: see the module."""

    def __init__(
        self, width: int, embedding: int, image: tuple[int, int], periodic: tuple[bool, bool],
        modes: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.spectral = SpectralConvolution(width, width, image, periodic, modes)
        self.local = nn.Conv2d(width, width, 1)
        self.modulation = nn.Linear(embedding, 2 * width)
        self.last = nn.Conv2d(width, width, 1)
        _silence(self.last)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return ``(batch, width, height, width)``, given ``(batch, embedding)`` noise levels."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = (self.spectral(x) + self.local(x)) * (1 + scale) + shift
        return x + self.last(functional.gelu(h))


class FNO(nn.Module):
    """Fourier neural operator on ``(batch, channel, height, width)``, noise level as second input.

    Coordinates of axes that are not periodic are appended, since a field knows its walls.

    Args:
        channels: Channels in; twice as many come out.
        image: Height and width; where they are no multiples of ``fold``, the image is fitted
            (:mod:`piddm.networks.sizes`). A height of 1 is that of fields on a line.
        periodic: Whether each image axis is periodic.
        widths: Channels inside; the first counts.
        depth: Layers.
        fold: Side of the square of nodes that is folded into channels; with 1 the network is a
            function of fields rather than of nodes, and takes other grids of the same domain.
        mixed: Taken as every backbone takes it; the transforms need float32, and nothing here runs
            in bfloat16.
        modes: Fourier modes kept of each axis.
    """

    coordinates: Tensor

    def __init__(
        self,
        channels: int,
        image: tuple[int, int],
        periodic: tuple[bool, bool],
        widths: Sequence[int] = (32,),
        depth: int = 4,
        fold: int = 1,
        mixed: bool = False,
        modes: int = 12,
    ) -> None:
        super().__init__()
        self.sizes, self.fold = Sizes(image, edges_of(periodic), fold), along(image, fold)
        shape, pixels = self.sizes.inside, math.prod(self.fold)
        lines = [line(n, m) for n, m in zip(image, shape, strict=True)]
        maps = torch.meshgrid(*lines, indexing="ij")
        kept = [m for m, p in zip(maps, periodic, strict=True) if not p]
        self.register_buffer(
            "coordinates", torch.stack(kept)[None] if kept else torch.zeros(1, 0, *shape),
            persistent=False,
        )  # fmt: skip
        width, embedding = widths[0], 4 * widths[0]
        inside = (shape[0] // self.fold[0], shape[1] // self.fold[1])
        self.embed = nn.Sequential(
            nn.Linear(32, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.enter = nn.Conv2d(pixels * (channels + len(kept)), width, 1)
        self.layers = nn.ModuleList(
            FourierLayer(width, embedding, inside, periodic, modes) for _ in range(depth)
        )
        last = nn.Conv2d(2 * width, pixels * 2 * channels, 1)
        self.leave = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.GELU(), last)
        # Nothing to begin with: the wrapped network is then the best linear one.
        _silence(last)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return ``(batch, 2 channel, height, width)``; ``t`` is ``(batch,)`` in [0, 1]."""
        h = torch.cat([self.sizes.enter(x), self.coordinates.expand(x.shape[0], -1, -1, -1)], dim=1)
        embedding = self.embed(fourier(t))
        h = self.enter(folded(h, self.fold))
        for layer in self.layers:
            h = layer(h, embedding)
        return self.sizes.leave(unfolded(self.leave(h), self.fold))


def _waves(nodes: int, periodic: bool, modes: int, both: bool) -> Tensor:
    """Return conjugate plane waves ``(numbers, nodes)``, orthonormal over a period of nodes.

    Args:
        nodes: Nodes of the axis, at equal distances; both ends are nodes where it has walls.
        periodic: Whether the period is the axis itself.
        modes: Numbers 0 to modes - 1, below half a wave between two nodes.
        both: Whether negative numbers come with them.
    """
    period = nodes if periodic else (1 + BEYOND) * max(nodes - 1, 1)
    most = min(modes, math.ceil(period / 2))
    numbers = torch.arange(1 - most if both else 0, most)
    phase = 2 * math.pi / period * numbers[:, None] * torch.arange(nodes, dtype=torch.float64)
    return torch.polar(torch.full_like(phase, period**-0.5), -phase)


def _silence(layer: nn.Conv2d) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
