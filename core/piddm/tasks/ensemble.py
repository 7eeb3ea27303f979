"""Asking a solver for an ensemble, batch by batch: memory is bounded, and nothing found is lost."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from piddm.numerics.projection import VANISHED
from piddm.plugins.loader import current
from piddm.residuals.norms import mean_squares
from piddm.residuals.residual import Fields
from piddm.residuals.wrappers import with_params
from piddm.tasks.extrapolation import outside
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.model import Model
from piddm.tasks.nearest import MemberProjection
from piddm.tasks.solution import Solution
from piddm.tasks.solver import Members, Solver, merged
from piddm.tasks.task import Task
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.progress import Progress, follow
from piddm.tools.randomness import generator
from piddm.tools.settings import checked

BATCH = 100
"""Members that are looked for together."""


class EnsembleSampler:
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
            (:mod:`piddm.tasks.nearest`); a solver whose members do so as they are is left alone.
        made: The solver of an earlier question with the same settings, with all that it keeps.

    Raises:
        UsageError: If a name or a setting is not known, or the task is for another grid.
    """

    def __init__(
        self,
        run: Model,
        task: Task,
        solver: str = "latent",
        members: int = 32,
        seed: int = 0,
        batch: int = BATCH,
        settings: Mapping[str, Any] | None = None,
        project: bool = False,
        made: Solver | None = None,
    ) -> None:
        if members < 1 or batch < 1:
            raise UsageError("ask for at least 1 member, in batches of at least 1")
        if task.observations.grid != run.residual.grid:
            raise UsageError("the observations are made for another grid than the run's")
        self.run, self.task, self.solver, self.members = run, task, solver, members
        self.seed, self.batch, self._unit = seed, batch, min(batch, members)
        self._solver = made or built(run, solver, settings)
        self.likelihood = Likelihood.of(task, run.pde.field_names, run.packing)
        self.project = project
        self._finish = MemberProjection(run, task) if project and not self._solver.exact else None
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
        residual = self._residual(exact)
        projects = self.project or self._solver.exact
        return Solution(
            task=self.task,
            pde=self.run.pde.name,
            grid=self.run.residual.grid,
            solver=self.solver,
            fields=exact,
            residual=residual,
            misfit=self.likelihood.misfit(exact).square().mean(1),
            tolerance=self.likelihood.sigma,
            calls=self._parts[0].calls,
            seconds=self.seconds,
            asked=self.members,
            unfinished=self.unfinished,
            projected=int((residual <= VANISHED).sum())
            if projects and residual is not None else None,
            caution="; ".join(filter(None, (
                outside(self.run.pde, self.task.observations.params), self._parts[0].caution,
                self.task.observations.told,
            ))),
            law=self._law(),
        )  # fmt: skip

    def _law(self) -> tuple[Fields, Fields] | None:
        """Return mean and deviation in closed form, where the solver has them."""
        first = self._parts[0]
        if first.mean is None or first.deviation is None:
            return None
        return first.mean, first.deviation

    @torch.no_grad()
    def _with_params(self, fields: Fields) -> dict[str, Tensor]:
        """Return members with their free params, fitted to their fields where a solver has none."""
        residual = with_params(self.run.residual, self.task.observations.params)
        names = (*residual.field_names, *residual.free_params)
        found = {k: v.detach().cpu().double() for k, v in fields.items() if k in names}
        return {k: v for k, v in residual.fit(found).items() if k in names}

    @torch.no_grad()
    def _residual(self, fields: Fields) -> Tensor | None:
        """Return each member's normalised residual, summed over equations and conditions."""
        if not self.run.residual.rows:
            return None
        known = self.task.observations.params
        given = {k: torch.tensor([v], dtype=torch.float64) for k, v in known.items()}
        found = []
        for k in range(self.found):  # one by one: memory is bounded, and members are not mixed
            member = {name: v[k : k + 1] for name, v in fields.items()}
            rows = mean_squares(self.run.residual, given | member, self.run.scale)
            found.append(torch.stack(list(rows.values())).sum())
        return torch.stack(found)


def built(run: Model, solver: str, settings: Mapping[str, Any] | None = None) -> Solver:
    """Return a solver by its name, with its settings.

    Raises:
        UsageError: If there is none, or a setting is not known.
    """
    chosen = checked(f"solver {solver}", current().get("solver", solver), settings or {})
    return current().build("solver", solver, Solver, run, **chosen)


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


def answer(
    model: Model,
    task: Task,
    solver: str,
    members: int = 32,
    *,
    seed: int = 0,
    batch: int = BATCH,
    settings: Mapping[str, Any] | None = None,
    project: bool = False,
    progress: bool = True,
) -> Solution:
    """Answer a task with an ensemble; the arguments are those of :class:`EnsembleSampler`.

    Interrupted (Ctrl-C), it returns the members that are there, fewer than ``asked`` or the last
    ones ``unfinished``; where there are none, the interruption goes on.
    """
    answering = EnsembleSampler(model, task, solver, members, seed, batch, settings, project)
    try:
        follow(answering.work(), quiet=not progress)
        return answering.solution()
    except KeyboardInterrupt:
        answering.take()
        if not answering.found:
            raise
    return answering.solution()
