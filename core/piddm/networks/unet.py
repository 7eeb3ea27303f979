r"""A small U-Net for fields: half resolution inside, periodic or zero padding axis by axis.

On a sphere the rows are latitudes, and a field goes on beyond a pole: along the meridian half a
turn away, the nearest row first,

.. math:: u(-\pi/2 - \theta, \lambda) = u(-\pi/2 + \theta, \lambda + \pi).

Gauss nodes are symmetric about the pole, so that these are nodes again, and the padding is exact
for scalars, which fields are; a component of a vector would change its sign. Deeper features are
taken for scalars too. What a network makes of a slope towards the north is none, and there the
padding is an approximation, as zeros beyond a wall are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from piddm.grids.grid import Axis
from piddm.networks.sizes import Edges, Sizes, along, edges_of, folded, line, unfolded

CITATION = r"""
@misc{ronneberger2015unet,
  title = {{U-Net}: Convolutional Networks for Biomedical Image Segmentation},
  author = {Ronneberger, Olaf and Fischer, Philipp and Brox, Thomas},
  year = {2015},
  eprint = {1505.04597},
  archivePrefix = {arXiv},
}
"""
"""Sources of the method, for ``piddm cite``: BibTeX."""


class Convolution(nn.Module):
    """Three by three convolution that sees what is beyond an edge, and zeros beyond a wall.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        edges: What is beyond each axis; poles are only at the ends of the first.
        side: Side of the square of nodes that each pixel's channels are.
    """

    def __init__(self, inputs: int, outputs: int, edges: Edges, side: int = 1) -> None:
        super().__init__()
        self.wrap = tuple(d for d, edge in zip((-2, -1), edges, strict=True) if edge == "periodic")
        self.poles, self.side = edges[0] == "pole", side
        padding = (int(edges[0] == "wall"), int(edges[1] == "wall"))
        self.convolution = nn.Conv2d(inputs, outputs, 3, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, outputs, height, width)`` at the height and width of ``x``."""
        if self.poles:
            x = over_poles(x, self.side)
        for dim in self.wrap:
            n = x.shape[dim]
            x = torch.cat([x.narrow(dim, n - 1, 1), x, x.narrow(dim, 0, 1)], dim=dim)
        return self.convolution(x)


def over_poles(x: Tensor, side: int = 1) -> Tensor:
    """Return ``(batch, channel, height + 2, width)``: a row more beyond either pole.

    Args:
        x: Rows from the south pole to the north pole.
        side: Side of the square of nodes that each pixel's channels are: beyond a pole their rows
            come in the reverse order.
    """
    ends = torch.cat([x[:, :, :1], x[:, :, -1:]], dim=2).roll(x.shape[-1] // 2, -1)
    ends = ends.unflatten(1, (-1, side, side)).flip(2).flatten(1, 3)
    return torch.cat([ends[:, :, :1], x, ends[:, :, 1:]], dim=2)


class Block(nn.Module):
    """Residual block: two convolutions, shifted and scaled by the noise level's embedding."""

    def __init__(self, inputs: int, outputs: int, embedding: int, edges: Edges) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(_groups(inputs), inputs)
        self.first = Convolution(inputs, outputs, edges)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm_out = nn.GroupNorm(_groups(outputs), outputs, affine=False)
        self.second = Convolution(outputs, outputs, edges)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        _silence(self.second)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return ``(batch, outputs, height, width)``, given ``(batch, embedding)`` noise levels."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.first(functional.silu(self.norm_in(x)))
        h = self.norm_out(h) * (1 + scale) + shift
        return self.skip(x) + self.second(functional.silu(h))


class UNet(nn.Module):
    """U-Net on ``(batch, channel, height, width)`` with the noise level as second argument.

    The image is folded into channels at the entrance and unfolded at the exit, so that no
    convolution runs at full resolution. Coordinates of axes that are not periodic are appended,
    since a field knows its walls and its time; of a latitude its sine. Where the height or the
    width cannot be folded and halved that often, the image is fitted (:mod:`piddm.networks.sizes`).

    Args:
        channels: Channels in; twice as many come out.
        image: Height and width; a height of 1 is that of fields on a line.
        periodic: Whether each image axis is periodic.
        widths: Channels at each level, finest first.
        depth: Residual blocks per level and direction.
        fold: Side of the square of nodes that is folded into channels.
        mixed: Whether convolutions run in bfloat16; the last layer is always float32.
        spherical: Whether the image is a sphere's, latitudes from south to north by longitudes.
    """

    coordinates: Tensor

    def __init__(
        self,
        channels: int,
        image: tuple[int, int],
        periodic: tuple[bool, bool],
        widths: Sequence[int] = (64, 96, 128),
        depth: int = 1,
        fold: int = 4,
        mixed: bool = False,
        spherical: bool = False,
    ) -> None:
        super().__init__()
        edges = edges_of(periodic, spherical)
        self.sizes = Sizes(image, edges, fold * 2 ** (len(widths) - 1), least=2)
        self.mixed, self.fold, self.halve = mixed, along(image, fold), along(image, 2)
        pixels, quarter = math.prod(self.fold), math.prod(self.halve)
        embedding = 4 * widths[0]
        lines = [line(n, m) for n, m in zip(image, self.sizes.inside, strict=True)]
        if spherical:
            lines[0] = _latitudes(self.sizes.inside[0]).sin().float()
        maps = torch.meshgrid(*lines, indexing="ij")
        kept = [m for m, p in zip(maps, periodic, strict=True) if not p]
        self.register_buffer(
            "coordinates",
            torch.stack(kept)[None] if kept else torch.zeros(1, 0, *self.sizes.inside),
            persistent=False,  # the grid tells them
        )
        self.embed = nn.Sequential(
            nn.Linear(32, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.enter = Convolution(pixels * (channels + len(kept)), widths[0], edges, fold)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        kept_widths = []
        width = widths[0]
        for level, target in enumerate(widths):
            if level:
                self.down.append(nn.Conv2d(quarter * width, target, 1))
                width = target
            for _ in range(depth):
                self.down.append(Block(width, target, embedding, edges))
                width = target
            kept_widths.append(width)
        self.middle = Block(width, width, embedding, edges)
        for level in reversed(range(len(widths))):
            for i in range(depth):
                extra = kept_widths[level] if i == 0 else 0
                self.up.append(Block(width + extra, widths[level], embedding, edges))
                width = widths[level]
            if level:
                self.up.append(nn.Conv2d(width, quarter * widths[level - 1], 1))
                width = widths[level - 1]
        last = Convolution(width, pixels * 2 * channels, edges)
        self.leave = nn.Sequential(nn.GroupNorm(_groups(width), width), nn.SiLU(), last)
        # Nothing to begin with: the wrapped network is then the best linear one.
        _silence(last)
        self.to(memory_format=torch.channels_last)  # pyright: ignore

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return ``(batch, 2 channel, height, width)``; ``t`` is ``(batch,)`` in [0, 1]."""
        coordinates = self.coordinates.expand(x.shape[0], -1, -1, -1)
        h = folded(torch.cat([self.sizes.enter(x), coordinates], dim=1), self.fold)
        h = h.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.mixed):
            embedding = self.embed(fourier(t))
            h = self.enter(h)
            kept = []
            for layer in self.down:
                if isinstance(layer, Block):
                    h = layer(h, embedding)
                else:
                    kept.append(h)
                    h = layer(folded(h, self.halve))
            h = self.middle(h, embedding)
            kept.append(h)
            fresh = True
            for layer in self.up:
                if isinstance(layer, Block):
                    h = layer(torch.cat([h, kept.pop()], dim=1) if fresh else h, embedding)
                    fresh = False
                else:
                    h, fresh = unfolded(layer(h), self.halve), True
        return self.sizes.leave(unfolded(self.leave(h.float()), self.fold)).contiguous()


def _latitudes(size: int) -> Tensor:
    axis = Axis(-math.pi / 2, math.pi / 2, size, latitude=True)
    return torch.from_numpy(axis.coordinates())


def _silence(layer: Convolution) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _groups(width: int) -> int:
    return math.gcd(width, 8)


def fourier(t: Tensor) -> Tensor:
    """Sines and cosines of the noise level at 16 frequencies."""
    frequency = torch.exp(torch.linspace(0, math.log(100.0), 16, device=t.device))
    phase = t[:, None] * frequency
    return torch.cat([phase.cos(), phase.sin()], dim=1)
