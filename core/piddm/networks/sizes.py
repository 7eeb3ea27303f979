r"""Grids of any size for networks that halve and fold them: fitted before, taken back after.

A network that coarsens an image by a number takes heights and widths that are multiples of it.
Any other axis is made longer at the entrance and cut at the exit, in keeping with what is beyond:

* a **periodic** axis is resampled: the trigonometric interpolant of its n nodes is evaluated at m
  nodes of the same period, so that it closes on itself as before and a shift stays a shift. What
  comes back is the nearest trigonometric field that n nodes can hold (least squares);
* an axis that ends at **walls**, or time, is continued by zeros beyond its upper end, as a
  convolution's padding continues it, and cut there again;
* the **latitudes** of a sphere are resampled along whole meridians, over the poles and back on the
  other side: a circle of 2n rows.

An axis of one node is that of a field on a line: it stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

Edge = Literal["wall", "periodic", "pole"]
"""What is beyond the ends of an axis of an image."""

Edges = tuple[Edge, Edge]


class Sizes(nn.Module):
    """From images of any height and width to those that a network takes, and back.

    Args:
        image: Height and width.
        edges: What is beyond each axis; poles are only at the ends of the first.
        multiple: What a network's height must be a multiple of.
        least: How many such multiples it has at least.

    Attributes:
        inside: Height and width that the network sees.
    """

    def __init__(self, image: tuple[int, int], edges: Edges, multiple: int, least: int = 1) -> None:
        super().__init__()
        # Half a turn around a sphere must be a whole number of pixels.
        steps = (multiple, (1 + (edges[0] == "pole")) * multiple)
        self.image, self.edges = image, edges
        self.inside = tuple(
            1 if n == 1 else step * max(math.ceil(n / step), math.ceil(least * multiple / step))
            for n, step in zip(image, steps, strict=True)
        )
        self._changed = [d for d in (0, 1) if self.image[d] != self.inside[d]]
        for d in self._changed:
            if edges[d] != "wall":
                into, back = _resampling(image[d], self.inside[d], edges[d] == "pole")
                self.register_buffer(f"into_{d}", into, persistent=False)
                self.register_buffer(f"back_{d}", back, persistent=False)

    def enter(self, x: Tensor) -> Tensor:
        """Return ``(batch, channel, *inside)`` of ``(batch, channel, *image)``."""
        for d in self._changed:
            if self.edges[d] == "wall":
                beyond = self.inside[d] - self.image[d]
                x = functional.pad(x, (0, 0, 0, beyond) if d == 0 else (0, beyond))
            else:
                x = self._resampled(x, d, getattr(self, f"into_{d}"))
        return x

    def leave(self, x: Tensor) -> Tensor:
        """Return ``(batch, channel, *image)`` of ``(batch, channel, *inside)``."""
        for d in self._changed:
            if self.edges[d] == "wall":
                x = x.narrow(d - 2, 0, self.image[d])
            else:
                x = self._resampled(x, d, getattr(self, f"back_{d}"))
        return x

    def _resampled(self, x: Tensor, dim: int, matrix: Tensor) -> Tensor:
        matrix = matrix.to(x)
        if dim == 1:
            return x @ matrix.transpose(-1, -2)
        if self.edges[0] == "pole":  # each meridian goes on along the one half a turn away
            x = torch.cat([x, x.flip(-2).roll(x.shape[-1] // 2, -1)], dim=-2)
        return matrix @ x


def _resampling(nodes: int, inside: int, poles: bool) -> tuple[Tensor, Tensor]:
    """Return matrices from nodes to those inside, and back; with poles of whole circles."""
    if poles:
        into = _interpolation(2 * nodes, 2 * inside, 0.5)
        back = np.linalg.pinv(into)
        into, back = into[:inside], back[:nodes]
    else:
        into = _interpolation(nodes, inside, 0.0)
        back = np.linalg.pinv(into)
    return torch.from_numpy(into).float(), torch.from_numpy(back).float()


def _interpolation(nodes: int, others: int, shift: float) -> np.ndarray:
    """Return the values at the places ``(i + shift) / others`` of trigonometric interpolants.

    They are those through values at ``(j + shift) / nodes``, of period 1. The highest mode of an
    even number of nodes is a cosine, which has no partner.
    """
    apart = (np.arange(others)[:, None] + shift) / others - (np.arange(nodes) + shift) / nodes
    numbers = np.arange(1, (nodes + 1) // 2)
    total = 1 + 2 * np.cos(2 * np.pi * apart[..., None] * numbers).sum(-1)
    if nodes % 2 == 0:
        total = total + np.cos(np.pi * nodes * apart)
    return total / nodes


def folded(x: Tensor, by: Sequence[int]) -> Tensor:
    """Return ``(batch, channel * by0 * by1, height / by0, width / by1)``: pixels into channels."""
    if by[0] == by[1]:
        return functional.pixel_unshuffle(x, by[0])
    x = x.unflatten(-1, (-1, by[1])).unflatten(-3, (-1, by[0]))
    return x.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)


def unfolded(x: Tensor, by: Sequence[int]) -> Tensor:
    """Return what :func:`folded` was given."""
    if by[0] == by[1]:
        return functional.pixel_shuffle(x, by[0])
    x = x.unflatten(1, (-1, by[0], by[1]))
    return x.permute(0, 1, 4, 2, 5, 3).flatten(-2).flatten(-3, -2)


def along(image: Sequence[int], by: int) -> tuple[int, int]:
    """Return by how much each axis is folded: an axis of one node is not."""
    return (1 if image[0] == 1 else by), (1 if image[1] == 1 else by)


def edges_of(periodic: Sequence[bool], spherical: bool = False) -> Edges:
    """Return what is beyond the axes of an image."""
    beyond: list[Edge] = ["periodic" if p else "wall" for p in periodic]
    return "pole" if spherical else beyond[0], beyond[1]


def line(nodes: int, inside: int) -> Tensor:
    """Return coordinates of an axis ``(inside,)``, -1 and 1 at its ends; they go on beyond."""
    if inside == nodes:
        return torch.linspace(-1, 1, nodes)
    return -1 + 2 * torch.arange(inside) / max(nodes - 1, 1)
