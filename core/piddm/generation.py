"""Data sets from a specification: solved in chunks that an interruption does not lose."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import torch
from torch import Tensor

from piddm.dataset import Dataset
from piddm.files import read_tensors, write_tensors
from piddm.grid import Grid
from piddm.pde import PDE
from piddm.physics import mean_squares, term_scale
from piddm.randomness import generator
from piddm.runs import describe, digest, home
from piddm.simulate import simulate
from piddm.training import Progress

CHUNK = 64
"""Samples that are solved, and kept, together."""


def solve(
    pde: PDE, grid: Grid, count: int, seed: int, keep: bool = True
) -> Generator[Progress, None, Dataset]:
    """Draw inputs and solve for the rest, a chunk at a time, each from a seed of its own.

    Args:
        pde: The equation.
        grid: The grid.
        count: How many solutions.
        seed: Seed of the inputs.
        keep: Keep finished chunks on disk until :func:`forget_parts`, so that an interruption
            loses one at most.
    """
    residual, folder = pde.bind(grid), _parts(pde, grid, count, seed)
    parts: list[dict[str, Tensor]] = []
    scale: dict[str, float] = {}
    floor: dict[str, float] = {}
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        path = folder / f"{start}-{size}.safetensors"
        if keep and path.exists():
            fields, _ = read_tensors(path, "fields")
        else:
            (fields,) = simulate(pde, grid, size, generator(seed, "data", start), chunk=size)
            if keep:
                write_tensors(path, fields, {"piddm_kind": "fields"})
        if not scale:
            scale = term_scale(residual, fields)
        # The floor is that of the data in the precision they were solved in.
        for name, value in mean_squares(residual, fields, scale).items():
            floor[name] = floor.get(name, 0.0) + float(value) * size / count
        parts.append({k: v.float() for k, v in fields.items()})
        yield Progress("simulate", start + size, count, floor)
    merged = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
    return Dataset(pde.name, grid, merged, scale, floor, seed)


def forget_parts(pde: PDE, grid: Grid, count: int, seed: int) -> None:
    """Remove the chunks that :func:`solve` kept."""
    shutil.rmtree(_parts(pde, grid, count, seed), ignore_errors=True)


def _parts(pde: PDE, grid: Grid, count: int, seed: int) -> Path:
    mark = digest([describe(pde), grid.to_dict(), count, seed])
    return home() / "cache" / "parts" / f"{pde.name}-{mark}"
