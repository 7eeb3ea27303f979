"""Data sets as files: solved by one process at a time, in chunks that an interruption keeps."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

from piddm.data import dataset
from piddm.data.dataset import Dataset
from piddm.data.simulate import solve
from piddm.equation import PDE
from piddm.grids.grid import Grid, NodeCounts
from piddm.plugins.loader import get_pde
from piddm.runs.folder import lock_of, parts_folder
from piddm.tools import ranks
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress, follow


def solve_into(
    path: Path, pde: PDE, grid: Grid, count: int, seed: int, fingerprint: str = ""
) -> Generator[Progress, None, Dataset | None]:
    """Solve and write a data set; of two processes that want the same one, the second waits.

    Args:
        path: The file. Where it has a fingerprint and is there, nothing is left to do.
        pde: The equation.
        grid: The grid.
        count: How many solutions.
        seed: Seed of the inputs.
        fingerprint: Of what the data depend on, where the path is named after it.
    """
    parts = parts_folder(pde, grid, count, seed)
    with ranks.locked(lock_of(parts), f"makes the data of {pde.name}"):
        made = None
        if not (fingerprint and ranks.told(path.exists)):
            made = yield from solve(pde, grid, count, seed, parts)
            made = replace(made, fingerprint=fingerprint)
            ranks.told(lambda: dataset.write(made, path))
        ranks.told(lambda: shutil.rmtree(parts, ignore_errors=True))
        return made


def make_dataset(
    pde: str | PDE,
    count: int,
    *,
    size: NodeCounts | None = None,
    seed: int = 0,
    path: Path | None = None,
    progress: bool = True,
) -> Dataset:
    """Draw inputs and solve the equation's own discrete residual for the rest.

    Args:
        pde: Name of a registered equation, or an equation.
        count: How many solutions.
        size: Nodes along every axis, or ``{axis: nodes}``; the equation's own resolution where
            none is given.
        seed: Seed of the inputs.
        path: HDF5 file to write; solutions then survive an interruption until it is written.
        progress: Whether to show progress, on standard error.

    Raises:
        UsageError: If a name, a number or a size is not valid.
        PiddmError: If the equation cannot be solved.
    """
    pde = get_pde(pde) if isinstance(pde, str) else pde
    if count < 1:
        raise UsageError("ask for at least 1 sample")
    if not 0 <= seed < 2**63:  # what a file can hold; before the work
        raise UsageError(f"the seed {seed} is not between 0 and 2^63 - 1; choose another")
    grid = pde.grid if size is None else pde.grid.resized(size)
    made: list[Dataset | None] = []

    def work() -> Iterator[Progress]:
        if path is None:
            made.append((yield from solve(pde, grid, count, seed)))
        else:
            made.append((yield from solve_into(path, pde, grid, count, seed)))

    follow(work(), quiet=not progress)
    assert made[0] is not None
    return made[0]
