"""Asking a solver for an ensemble, batch by batch: memory is bounded, and nothing found is lost."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from piddm.errors import PiddmError, UsageError
from piddm.interfaces import Fields, Members, Solver, Task
from piddm.physics import mean_squares
from piddm.plugins import current
from piddm.randomness import generator
from piddm.settings import checked
from piddm.tasks.finishing import EXACT, Finisher
from piddm.tasks.given import with_params
from piddm.tasks.outside import outside
from piddm.tasks.sensors import Sensors
from piddm.tasks.solution import VANISHED, Solution, merged
from piddm.training import Progress

if TYPE_CHECKING:
    from piddm.api import Run

BATCH = 100
"""Members that are looked for together."""


class Answering:
    """Looks for the members of an ensemble; what is found so far is a solution at any time.

    Args:
        run: Where student, teacher and residual come from.
        task: The question.
        solver: Name of a registered solver.
        members: How many members.
        seed: Seed of the members, batch by batch.
        batch: Members that are looked for together; halved where memory does not suffice.
        settings: The solver's own.
        project: End at the nearest fields that satisfy equation and observations
            (:mod:`piddm.tasks.finishing`); a solver whose members do so as they are is left alone.

    Raises:
        UsageError: If a name or a setting is not known, or the task is for another grid.
    """

    def __init__(
        self,
        run: Run,
        task: Task,
        solver: str = "latent",
        members: int = 32,
        seed: int = 0,
        batch: int = BATCH,
        settings: Mapping[str, Any] | None = None,
        project: bool = False,
    ) -> None:
        if members < 1 or batch < 1:
            raise UsageError("ask for at least 1 member, in batches of at least 1")
        if task.observations.grid != run.residual.grid:
            raise UsageError("the observations are made for another grid than the run's")
        self.run, self.task, self.solver, self.members = run, task, solver, members
        self.seed, self.batch, self._unit = seed, batch, min(batch, members)
        chosen = checked(f"solver {solver}", current().get("solver", solver), settings or {})
        self._solver: Solver = current().build("solver", solver, Solver, run, **chosen)
        self.sensors = Sensors(task.observations, run.pde.field_names, task.interpolation)
        self.project = project
        self._finish = Finisher(run, task) if project and not self._solver.exact else None
        self._parts: list[Members] = []
        self._totals: dict[str, int] = {}
        self._working = False
        self.seconds, self.unfinished = 0.0, 0

    @property
    def found(self) -> int:
        """How many members there are so far."""
        return sum(len(next(iter(p.fields.values()))) for p in self._parts)

    def work(self) -> Generator[Progress, None, None]:
        """Look for all members that are missing."""
        began = time.perf_counter() - self.seconds
        while (start := self.found) < self.members:
            count = min(self.batch, self.members - start)
            draw = generator(self.seed, "members", start)
            steps, last = _Kept(self._batch(count, draw)), Progress(self.solver, 1, 1, {})
            try:
                for last in steps:
                    self._working, self.seconds = True, time.perf_counter() - began
                    yield self._within(last, start, count)
            except (MemoryError, RuntimeError) as error:
                self._working = False
                if not out_of_memory(error):
                    raise
                if count == 1:
                    raise PiddmError("there is not memory enough for one member") from error
                self.batch = count // 2
                continue
            self._parts.append(steps.result)
            self._working, self.seconds = False, time.perf_counter() - began
            values = {"members": float(self.found), "batch": float(count)}
            ended = replace(last, done=last.total, values=values)
            yield self._within(ended, start, count)

    def _batch(self, count: int, draw: torch.Generator) -> Generator[Progress, None, Members]:
        self._solver.so_far = None  # that of the batch before
        found = yield from self._solver.solve(self.task, count, draw)
        every = [v.reshape(count, -1).isfinite().all(1) for v in found.fields.values()]
        if bad := count - int(torch.stack(every).all(0).sum()):
            raise PiddmError(
                f"{self.solver} diverged: {bad} of {count} members are not finite; change its "
                "settings (--set), or take another solver"
            )
        if self._finish is None:
            return found
        return (yield from self._finish.end(self._solver, found, draw))

    def _within(self, progress: Progress, start: int, count: int) -> Progress:
        """Say where the whole stands, in steps of a stage's first batch."""
        total = self._totals.setdefault(progress.stage, progress.total)
        done = (start * progress.total + count * progress.done) * total // progress.total
        return replace(progress, done=done // self._unit, total=self.members * total // self._unit)

    def take(self) -> None:
        """Take the members of a batch in progress as they are, where its solver has them."""
        offer = self._solver.so_far
        if self._working and offer is not None:
            found = offer()
            self.unfinished = len(next(iter(found.fields.values())))
            self._parts.append(found)
            self._working = False

    def solution(self) -> Solution:
        """Return what is found so far.

        Raises:
            PiddmError: If that is nothing.
        """
        if not self._parts:
            raise PiddmError("no member was found yet: let the solver finish a batch at least")
        exact = merged([self._with_params(p.fields) for p in self._parts])
        tolerance = self._tolerance()
        seen, residual = self.sensors(exact), self._residual(exact)
        projects = self.project or self._solver.exact
        return Solution(
            task=self.task,
            pde=self.run.pde.name,
            grid=self.run.residual.grid,
            solver=self.solver,
            fields=exact,
            residual=residual,
            misfit=((seen - self.sensors.values) / tolerance).square().mean(1),
            tolerance=tolerance,
            calls=self._parts[0].calls,
            seconds=self.seconds,
            asked=self.members,
            unfinished=self.unfinished,
            projected=int((residual <= VANISHED).sum()) if projects else None,
            caution=outside(self.run.pde, self.task.observations.params),
        )

    @torch.no_grad()
    def _with_params(self, fields: Fields) -> dict[str, Tensor]:
        """Return members with their free params, fitted to their fields where a solver has none."""
        residual = with_params(self.run.residual, self.task.observations.params)
        names = (*residual.field_names, *residual.free_params)
        found = {k: v.detach().cpu().double() for k, v in fields.items() if k in names}
        return {k: v for k, v in residual.fit(found).items() if k in names}

    def _tolerance(self) -> Tensor:
        scale = self.run.packing.field_scale()
        unit = torch.tensor([scale[k] for k in self.sensors.names], dtype=torch.float64)
        return torch.where(
            self.sensors.sigma > 0, self.sensors.sigma, EXACT * unit[self.sensors.field]
        )

    @torch.no_grad()
    def _residual(self, fields: Fields) -> Tensor:
        """Return each member's normalised residual, summed over equations and conditions."""
        known = self.task.observations.params
        given = {k: torch.tensor([v], dtype=torch.float64) for k, v in known.items()}
        found = []
        for k in range(self.found):  # one by one: memory is bounded, and members are not mixed
            member = {name: v[k : k + 1] for name, v in fields.items()}
            rows = mean_squares(self.run.residual, given | member, self.run.scale)
            found.append(torch.stack(list(rows.values())).sum())
        return torch.stack(found)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory did not suffice; torch's own on a CPU is no kind."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        "can't allocate memory" in str(error)
    )


class _Kept:
    """An iterator that keeps what a generator returns."""

    def __init__(self, steps: Generator[Progress, None, Members]) -> None:
        self._steps = steps

    def __iter__(self) -> Generator[Progress, None, None]:
        self.result = yield from self._steps
