r"""White noise for samples, and a sampler run to its end."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from piddm.tools.randomness import white


def last(steps: Iterator[Tensor]) -> Tensor:
    """Run a sampler to its end and return the final state."""
    *_, final = steps
    return final


def noises(
    shape: tuple[int, ...], count: int, seed: int, device: torch.device, batch: int = 64
) -> list[Tensor]:
    """Return white noise for ``count`` samples in batches.

    Each sample has a seed of its own: sample n is the same whatever the count and the batch.
    """
    every = [white(shape, device, seed, "sample", n) for n in range(count)]
    return [torch.stack(every[i : i + batch]) for i in range(0, count, batch)]
