"""Training data from the specification only: draw the inputs, solve the residual for the rest."""

from __future__ import annotations

import inspect
import math
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from piddm.data.dataset import Dataset
from piddm.data.inputs import draw, whole
from piddm.data.repeats import Repeats
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.derived_solver import DerivedSolver, held
from piddm.residuals.norms import mean_squares, term_scale
from piddm.residuals.residual import Residual
from piddm.tools import ranks
from piddm.tools.errors import UsageError, labelled
from piddm.tools.files import read_tensors, write_tensors
from piddm.tools.memory import require
from piddm.tools.progress import Progress
from piddm.tools.randomness import generator

if TYPE_CHECKING:
    from piddm.equation import PDE


def simulate(
    pde: PDE, grid: Grid, count: int, generator: torch.Generator, chunk: int = 128, first: int = 0
) -> Iterator[dict[str, Tensor]]:
    """Draw inputs and solve for the rest; yield ``{field: (chunk, *grid.shape)}``, float64.

    Free params stand beside the fields, ``(chunk,)``. A specification's own ``simulate`` takes the
    place of the derived solver; where it takes ``indices``, it is told which samples it makes, the
    first of them ``first``, so that it gives none twice. One that has only so many says so, in an
    attribute ``count``.

    Raises:
        UsageError: If more samples are asked of a finite source than it has.
    """
    there = finite(pde)
    if there is not None and first + count > there:
        raise UsageError(
            f"{pde.name} has {there} samples of its own, asked are {first + count}: lower the count"
        )
    with labelled(pde.name):
        solver = None if pde.simulate else DerivedSolver(pde, grid, pde.inputs)
    for start in range(0, count, chunk):
        size = min(chunk, count - start)
        if solver is None:
            assert pde.simulate is not None
            told: dict[str, Any] = {}
            if "indices" in inspect.signature(pde.simulate).parameters:
                told["indices"] = range(first + start, first + start + size)
            yield whole(pde, grid, size, pde.simulate(pde, grid, size, generator, **told))
            continue
        drawn = {
            given: draw(pde, given, prior, grid, size, generator)
            for given, prior in pde.inputs.items()
        }
        with labelled(pde.name):
            solved = solver.solve(drawn)
        yield solved


def finite(pde: PDE) -> int | None:
    """Return how many samples an equation's own ``simulate`` has; None where it draws new ones."""
    count = getattr(pde.simulate, "count", None)
    return count if isinstance(count, int) else None


def held_inputs(pde: PDE, grid: Grid) -> dict[str, np.ndarray]:
    """Return, for each field, where its values are inputs: boolean ``(*grid.shape)``."""
    return held(pde, grid, pde.inputs)


CHUNK = 64
"""Samples that are solved, and kept, together."""


def solve(
    pde: PDE, grid: Grid, count: int, seed: int, folder: Path | None = None
) -> Generator[Progress, None, Dataset]:
    """Draw inputs and solve for the rest, a chunk at a time, each from a seed of its own.

    Several processes share the chunks where there is a folder for them; without, each solves all.

    Args:
        pde: The equation.
        grid: The grid.
        count: How many solutions.
        seed: Seed of the inputs.
        folder: Where finished chunks are kept, so that an interruption loses one at most; the
            caller removes it. None keeps none.
    """
    size = math.prod(grid.shape) * len(pde.fields)
    what = f"{count} solutions of {pde.name} on {' x '.join(map(str, grid.shape))} nodes"
    require(2 * count * size, what, "lower their number or the grid's size", width=4)
    residual = pde.bind(grid)
    parts: list[dict[str, Tensor]] = []
    repeats = Repeats(pde)
    scale: dict[str, float] = {}
    floor: dict[str, float] = {}
    if folder is not None and ranks.size() > 1:
        for n in ranks.turns(-(-count // CHUNK)):
            _chunk(pde, residual, n * CHUNK, count, seed, folder)
            yield Progress("simulate", n * CHUNK, count, {})
        ranks.wait()
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        fields = _chunk(pde, residual, start, count, seed, folder, repeats)
        if not scale:
            scale = term_scale(residual, fields)
        # The floor is that of the data in the precision they were solved in.
        for name, value in mean_squares(residual, fields, scale).items():
            floor[name] = floor.get(name, 0.0) + float(value) * size / count
        parts.append({k: v.float() for k, v in fields.items()})
        if folder is None or ranks.size() == 1 or start + size == count:
            yield Progress("simulate", start + size, count, floor)
    merged = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
    return Dataset(pde.name, grid, merged, scale, floor, seed)


def _chunk(
    pde: PDE, residual: Residual, start: int, count: int, seed: int, folder: Path | None,
    repeats: Repeats | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Return a chunk, from the folder or solved and kept there; ``repeats`` are refused."""
    size = min(CHUNK, count - start)
    path = None if folder is None else folder / f"{start}-{size}.safetensors"
    fields = None if path is None else _kept(path, residual, size)
    fresh = fields is None
    if fields is None:
        draw = generator(seed, "data", start)
        (fields,) = simulate(pde, residual.grid, size, draw, chunk=size, first=start)
    if repeats is not None:
        repeats.refuse(fields)
    if path is not None and fresh:
        write_tensors(path, fields, {"piddm_kind": "fields"})
    return fields


def _kept(path: Path, residual: Residual, size: int) -> dict[str, Tensor] | None:
    """Return a chunk that was solved before, if it is what its name says."""
    if not path.exists():
        return None
    fields, _ = read_tensors(path, "fields")
    wanted = dict.fromkeys(residual.field_names, (size, *residual.grid.shape))
    wanted |= dict.fromkeys(residual.free_params, (size,))
    return fields if {k: tuple(v.shape) for k, v in fields.items()} == wanted else None
