"""The promises of a solver: members for the tasks that it takes, a reason for those it does not."""

from __future__ import annotations

from typing import Any, get_args

import torch

from piddm.bench.counting import counting
from piddm.conformance.problem import TrialModel as Model
from piddm.conformance.problem import problem
from piddm.conformance.trial import Trial, What
from piddm.tasks.solver import Members, Solver
from piddm.tasks.synthetic import Case, question
from piddm.tasks.task import Kind, Task, ask
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress
from piddm.tools.randomness import generator

COUNT = 2
"""Members that a solver is asked for."""


def check_solver(what: What, model: Model | None = None, **settings: Any) -> None:
    """Check a solver: its name, or the class itself.

    Args:
        what: The name that it is registered under, or what was registered.
        model: What it is given; that of :mod:`piddm.conformance.problem` where left out.
        **settings: Its own, where it has some.

    Raises:
        AssertionError: If it does not keep what :class:`piddm.interfaces.Solver` promises.
        PiddmError: If it cannot be built, or lacks a method.
    """
    trial = Trial("solver", what)
    reasons: list[str] = []
    # One that takes laws which jump only finds the second problem.
    for at in [model] if model else (problem(phases).model() for phases in (False, True)):
        taken, refused = _tried(trial, at, settings)
        if taken:
            return
        reasons += refused
    trial.hold(False, f"it takes no task: {'; '.join(reasons)}")


def _tried(trial: Trial, model: Model, settings: dict[str, Any]) -> tuple[int, list[str]]:
    """Return how many kinds of task it takes, and the reasons for those that it does not."""
    taken, refused = 0, []
    for kind in get_args(Kind):
        observations, _ = question(model, Case(kind, share=0.1, noise=0.05), 0)
        task = ask(kind, model.pde, observations)
        try:
            _answered(trial, model, task, settings)
            taken += 1
        except UsageError as error:
            trial.hold(len(str(error).splitlines()) == 1, "it refuses a task in more than one line")
            refused.append(f"{kind}: {error}")
    return taken, refused


def _answered(trial: Trial, model: Model, task: Task, settings: dict[str, Any]) -> None:
    solver: Solver = trial.build(Solver, (model,), settings)
    with trial.from_generators():
        with counting({model.teacher.network: 1, model.student: model.student.calls}) as calls:
            found = _run(trial, solver, task)
        again = _run(trial, trial.build(Solver, (model,), settings), task)
    for name in model.pde.field_names:
        trial.hold(name in found.fields, f"{task.kind}: its members have no field {name}")
        shape, wanted = [*found.fields[name].shape], [COUNT, *model.residual.grid.shape]
        trial.hold(shape == wanted, f"{task.kind}: {name} has the shape {shape}, not {wanted}")
        finite = found.fields[name].isfinite().all()
        trial.hold(finite, f"{task.kind}: its members are not finite")
        otherwise = f"{task.kind}: the same generator gives other members"
        trial.same(again.fields[name], found.fields[name], otherwise, 1e-3)
    made = calls.total / COUNT
    trial.hold(
        abs(found.calls - made) < 1,
        f"{task.kind}: it makes {made:g} network calls a member, and says {found.calls}",
    )


def _run(trial: Trial, solver: Solver, task: Task) -> Members:
    steps = solver.solve(task, COUNT, generator(0, "check", task.kind))
    reached: dict[str, int] = {}
    while True:
        try:
            now = next(steps)
        except StopIteration as end:
            trial.hold(isinstance(end.value, Members), "it returns Members")
            return end.value
        trial.hold(isinstance(now, Progress), "what it yields is Progress")
        last = reached.get(now.stage, 0)
        trial.hold(last <= now.done <= now.total, f"its progress goes from {last} to {now.done}")
        reached[now.stage] = now.done
        if solver.so_far is not None:
            with torch.no_grad():
                offered = solver.so_far()
            trial.hold(isinstance(offered, Members), "what it offers, interrupted, is Members")
