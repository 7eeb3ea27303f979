"""Training data from the specification alone: draw the inputs, solve the residual for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from piddm.derived import DerivedSolver, held
from piddm.drawing import draw, whole
from piddm.grid import Grid
from piddm.pde import labelled

if TYPE_CHECKING:
    from piddm.pde import PDE


def simulate(
    pde: PDE, grid: Grid, count: int, generator: torch.Generator, chunk: int = 128
) -> Iterator[dict[str, Tensor]]:
    """Draw inputs and solve for the rest; yield ``{field: (chunk, *grid.shape)}``, float64.

    Free params stand beside the fields, ``(chunk,)``. A specification's own ``simulate`` takes the
    place of the derived solver.
    """
    with labelled(pde.name):
        solver = None if pde.simulate else DerivedSolver(pde, grid, pde.inputs)
    for start in range(0, count, chunk):
        size = min(chunk, count - start)
        if solver is None:
            assert pde.simulate is not None
            yield whole(pde, grid, size, pde.simulate(pde, grid, size, generator))
            continue
        drawn = {
            given: draw(pde, given, prior, grid, size, generator)
            for given, prior in pde.inputs.items()
        }
        with labelled(pde.name):
            solved = solver.solve(drawn)
        yield solved


def held_inputs(pde: PDE, grid: Grid) -> dict[str, np.ndarray]:
    """Return, for each field, where its values are inputs: boolean ``(*grid.shape)``."""
    return held(pde, grid, pde.inputs)
