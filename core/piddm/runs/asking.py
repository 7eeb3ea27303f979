"""Asking an equation, with a run or without one: the question, its solver, the answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from piddm.data import dataset, simulate
from piddm.data.dataset import Dataset
from piddm.data.laws import with_laws_of
from piddm.equation import PDE
from piddm.grids.grid import Grid, NodeCounts
from piddm.plugins.loader import current, get_pde
from piddm.residuals.ranges import check
from piddm.runs.given_data import equation_on
from piddm.runs.model_card import read_card
from piddm.solvers._choice import choose
from piddm.tasks.ensemble import BATCH, answer
from piddm.tasks.equation_model import SAMPLES, EquationModel
from piddm.tasks.model import Model
from piddm.tasks.observation_files import read_observations, refuse_foreign
from piddm.tasks.observations import Observations
from piddm.tasks.robust import robust
from piddm.tasks.solution import Solution
from piddm.tasks.task import Task, ask
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.progress import Progress, follow


def solve(
    pde: str | PDE,
    task: str,
    observations: Observations | Path | str,
    solver: str = "auto",
    samples: int = 32,
    *,
    size: NodeCounts | None = None,
    data: Dataset | Path | str | None = None,
    seed: int = 0,
    batch: int = BATCH,
    settings: Mapping[str, Any] | None = None,
    interpolation: str = "linear",
    project: bool = False,
    heavy_tails: bool = False,
    progress: bool = True,
) -> Solution:
    """Answer a question from an equation alone, without a run and without a network.

    The law of the unknown is that of the equation's ``inputs``; deviations come from a few
    simulated solutions, or from data.

    Args:
        pde: Name of a registered equation, or an equation.
        task: ``forward``, ``inverse`` or ``reconstruct``; see :func:`piddm.tasks.task.ask`.
        observations: What is known, or a file of it.
        solver: Name of a registered solver that needs no network; ``auto`` chooses by what the
            equation is.
        samples: How many members.
        size: Nodes along every axis, or ``{axis: nodes}``; those of the data, the observations'
            grid, or the equation's own resolution where none is given.
        data: Solutions, or a file of them, in place of simulated ones.
        seed: Seed of the members.
        batch: Members that are looked for together.
        settings: The solver's own, by name.
        interpolation: ``linear`` or ``cubic``, between nodes.
        project: End at the nearest fields that satisfy the equation and keep to the observations.
        heavy_tails: Whether a reading may be wrong: one that the others contradict counts for
            little and is named, see :mod:`piddm.tasks.robust`.
        progress: Whether to show progress, on standard error.

    Raises:
        UsageError: If the observations or a name cannot be used, or the solver needs a network.
        PiddmError: If the solver fails.
    """
    own = observations.grid if isinstance(observations, Observations) else None
    if not isinstance(observations, Observations):
        refuse_foreign(observations)
    model = equation_model(pde, size, data, own, progress)
    if not isinstance(observations, Observations):
        observations = read_observations(observations, model.pde, model.residual.grid)
    asked, solver = question(model, task, observations, solver, interpolation, False, progress)
    if heavy_tails:
        asked = robust(model, asked, solver, seed, settings)
    return answer(
        model, asked, solver, samples, seed=seed, batch=batch, settings=settings,
        project=project, progress=progress,
    )  # fmt: skip


def equation_model(
    pde: str | PDE,
    size: NodeCounts | None = None,
    data: Dataset | Path | str | None = None,
    grid: Grid | None = None,
    progress: bool = True,
) -> EquationModel:
    """Return an equation as what solvers ask: see :func:`solve`, whose arguments these are."""
    own = get_pde(pde) if isinstance(pde, str) else pde
    if isinstance(data, (str, Path)):
        data = dataset.read(Path(data))
    if data is None:
        if size is not None or grid is None:
            grid = own.grid if size is None else own.grid.resized(size)
        made: list[Dataset] = []

        def work() -> Iterator[Progress]:
            made.append((yield from simulate.solve(own, grid, SAMPLES, seed=0)))

        follow(work(), quiet=not progress)
        data = made[0]
    elif data.pde != own.name:
        raise UsageError(f"the data are of {data.pde}, and this is about {own.name}")
    elif size is not None and data.grid != own.grid.resized(size):
        raise UsageError(f"the data have the grid {data.grid.shape}: leave the size out")
    else:
        check(data.fields, own.bounds, "the data: ")
    if data.origin:  # of others: on their grid, with their params, of their size
        own = with_laws_of(equation_on(own, data), data)
    return EquationModel(own, data, models_of(own.name))


def models_of(pde: str) -> list[str]:
    """Return the names of the trained models of an equation, but for those that are damaged."""
    plugins, found = current(), []
    for entry in plugins.list_all("model"):
        with suppress(PiddmError):
            if read_card(plugins.get("model", entry.name)).config.pde == pde:
                found.append(entry.name)
    return found


def question(
    model: Model, task: str, observations: Observations, solver: str = "auto",
    interpolation: str = "linear", trained: bool = False, progress: bool = True,
) -> tuple[Task, str]:  # fmt: skip
    """Return a checked task and the name of its solver; ``auto`` is told on standard error."""
    asked = ask(task, model.pde, observations, interpolation)
    if solver != "auto":
        return asked, solver
    solver, why = choose(model, asked, trained)
    if progress:
        print(f"solver {solver}: {why}", file=sys.stderr, flush=True)
    return asked, solver
