r"""Whether inputs of data are Gaussian: then the colour draws them, and a network would do worse.

They are where the law of one value is that of draws of the colour, and where energy distances are:

.. math:: 2E|X-Y| - E|X-X'| - E|Y-Y'| \le \varepsilon\, \frac{2}{n} E|Y-Y'|,

X draws, Y data, every mean over distinct pairs, so that the left side is zero for equal laws. The
right side is a share of what n samples of the data's own law are off, by chance. Distances between
some hundred samples are chance by half of their value and more, and called one Gaussian law in
three another; many draws are cheap, and the colour is fitted to these very data.
"""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor

from piddm.data.packing import Packing
from piddm.metrics.one_point import one_point_distance
from piddm.tools.randomness import generator, white

SAMPLES, SHARE = 512, 0.4
"""Samples whose distance by chance is the measure, n, and the share of it that draws may be off.

Gaussian laws were off by -0.24 to 0.16 of it (Burgers, Poisson, Navier-Stokes; 512 and 2,048 data,
three seeds each), sums of two waves by 0.75 to 1.0; phases are told by one value.
"""

DRAWS, VALUES = 8192, 2**25
"""Draws that are compared with data, at most, and their values."""

COMPARED = 2048
"""Data that are compared, at most."""

SPLITS, AS_NEAR, ROUGH = 8, 1.5, 0.01
"""Splits of the data, with other draws beside each, whose one-point distances are averaged; how
large that of draws may be over that of data; and a distance, in deviations, which nobody sees."""


def is_gaussian(data: Tensor, packing: Packing, mask: Tensor) -> bool:
    """Return whether inputs are Gaussian.

    Args:
        data: Packed data ``(count, channel, *image)``.
        packing: Theirs, whose colour draws.
        mask: Where packed values are inputs, boolean ``(channel, *image)``.
    """
    seen = packing.weigh(data[:COMPARED])[:, mask].cpu()
    count = 2 * min(DRAWS // 2, max(256, VALUES // seen.shape[1] // 2))
    parts = []
    for part in range(0, count, SAMPLES):
        noise = white((min(SAMPLES, count - part), *data.shape[1:]), data.device, part, "inputs")
        parts.append(packing.weigh(packing.colour(noise))[:, mask].cpu())
    drawn = torch.cat(parts)
    pooled, chance = one_points(drawn, seen)
    return pooled <= AS_NEAR * chance + ROUGH and excess(drawn, seen) <= SHARE


def one_points(drawn: Tensor, seen: Tensor) -> tuple[float, float]:
    """Return the mean one-point distances of draws to data, and of data to one another."""
    half, found = len(seen) // 2, list[tuple[float, float]]()
    for split in range(SPLITS):
        order = torch.randperm(len(seen), generator=generator(0, "split", split))
        one, other = seen[order[:half]], seen[order[half : 2 * half]]
        some = drawn.roll(-split * half, 0)[:half]
        scale = float(one.std())
        found.append(
            (
                one_point_distance(some, one, scale, None),
                one_point_distance(other, one, scale, None),
            )
        )
    return fmean(f[0] for f in found), fmean(f[1] for f in found)


def excess(drawn: Tensor, seen: Tensor) -> float:
    """Return the energy distance without bias, over what so many samples are off by chance.

    Args:
        drawn: Draws ``(count, values)``, an even number.
        seen: Data ``(count, values)``.
    """
    one, other = drawn.chunk(2)
    away, across = _mean(drawn, seen), _mean(one, other)
    within = _mean(seen, seen) * len(seen) / (len(seen) - 1)
    return (2 * away - across - within) / (2 * within / SAMPLES)


def _mean(x: Tensor, y: Tensor) -> float:
    return float(torch.cdist(x, y, compute_mode="use_mm_for_euclid_dist").double().mean())
