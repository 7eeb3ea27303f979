"""Random numbers by label: every draw is named, so that work can stop and go on anywhere."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, *labels: str | int) -> torch.Generator:
    """Return a CPU generator seeded by a run's seed and what the numbers are for.

    Draws depend on nothing that ran before them, hence a resumed run repeats an uninterrupted one.
    """
    text = "/".join(map(str, (seed, *labels)))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def white(shape: tuple[int, ...], device: torch.device, *labels: str | int) -> torch.Tensor:
    """Draw standard normal numbers, the same on every device; the first label is the seed."""
    seed, *rest = labels
    return torch.randn(shape, generator=generator(int(seed), *rest)).to(device)
