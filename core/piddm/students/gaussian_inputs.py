"""Whether inputs of data are Gaussian: then the colour draws them, and a network would do worse.

Draws of the colour are as near to data as other data are, in energy distance and in the law of one
value. A distance between some hundred samples is mostly chance, by half of its value and more, so
that one comparison would call one Gaussian law in three another: means over splits are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from statistics import fmean

import torch
from torch import Tensor

from piddm.data.packing import Packing
from piddm.metrics.energy import energy_distance
from piddm.metrics.one_point import one_point_distance
from piddm.tools.randomness import generator, white

COMPARED, SPLITS = 512, 16
"""Samples that are compared with as many, at most; and how many times."""

AS_NEAR = 1.3
"""Mean distance of draws to data, over that of other data, up to which they are as good.

Of Gaussian laws it was 0.73 to 1.19 (Burgers, Poisson, Helmholtz, Navier-Stokes; 512 to 2,048 data,
three seeds each), of two phases 90, of sums of two waves 2 with 1,024 data; with half of those, 1.2
to 1.5, they cannot be told.
"""

ROUGH = 0.01
"""One-point distance, over the deviation, beyond that, which nobody sees."""


def is_gaussian(data: Tensor, packing: Packing, mask: Tensor) -> bool:
    """Return whether inputs are Gaussian.

    Args:
        data: Packed data ``(count, channel, *image)``.
        packing: Theirs, whose colour draws.
        mask: Where packed values are inputs, boolean ``(channel, *image)``.
    """

    def splits() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        count = min(COMPARED, len(data) // 2)
        for split in range(SPLITS):
            order = torch.randperm(len(data), generator=generator(0, "split", split))
            one, other = (data[part.to(data.device)] for part in order[: 2 * count].split(count))
            noise = white((count, *data.shape[1:]), data.device, split, "inputs")
            drawn, seen, again = (
                packing.weigh(x)[:, mask].cpu() for x in (packing.colour(noise), one, other)
            )
            yield drawn, seen, again

    def one_point(x: Tensor, seen: Tensor) -> float:
        return one_point_distance(x, seen, float(seen.std()), None)

    pooled, chance = _means(one_point, splits())
    if pooled > AS_NEAR * chance + ROUGH:
        return False
    away, chance = _means(energy_distance, splits())
    return away <= AS_NEAR * chance


def _means(
    distance: Callable[[Tensor, Tensor], float], splits: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> tuple[float, float]:
    """Return the mean distances to data, of draws and of other data."""
    found = [(distance(drawn, seen), distance(again, seen)) for drawn, seen, again in splits]
    drawn, again = zip(*found, strict=True)
    return fmean(drawn), fmean(again)
