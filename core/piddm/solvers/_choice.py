"""Which solver suits a question, by what the equation is, and why, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piddm.solvers._affine import bent
from piddm.solvers._film import films
from piddm.solvers._sensitivity import Inputs
from piddm.solvers._signs import STEP, signs_seen, softened
from piddm.solvers._splitting import too_large
from piddm.symbolic.operators import Param
from piddm.tasks.sensors import Sensors
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.tasks.model import Model
    from piddm.tasks.task import Task


def choose(model: Model, task: Task, trained: bool) -> tuple[str, str]:
    """Return the name of a solver, and why it is that one.

    Args:
        model: The equation, with networks or without.
        task: The question.
        trained: Whether the model has a student.
    """
    pde, grid, seen = model.pde, model.residual.grid, task.observations
    learned = ("hybrid", "the student has learnt the law") if trained else None
    if not model.residual.rows:
        return ("latent", "the student has learnt the law") if trained else (
            "gaussian", "without an equation there is the law of the data only"
        )  # fmt: skip
    if any(rows.dense for rows in model.residual.rows.values()):
        return learned or ("data-space", "on a sphere rows touch every node, and none is solved")
    exact = not any(bool((s > 0).any()) for s in seen.sigma.values())
    sensors = Sensors(seen, pde.field_names, task.interpolation)
    curved = sensors.curved
    if task.kind == "forward" and exact:
        return "classical", "every input is known exactly, so it is one solve"
    unknown = sum(1 for g in pde.inputs if str(g) not in seen.params)
    if not unknown:
        return learned or ("data-space", "the law of the inputs is not known")
    large = too_large(model.residual)
    why = "" if large else bent(pde, model.residual, seen.params)
    if not why and curved:
        why = "a reading is no linear function of the fields"
    if not large and not why:
        return "exact", "the equation is linear and its inputs Gaussian: the posterior is known"
    laws = {g: p for g, p in pde.inputs.items() if str(g) not in seen.params}
    if not large and signs_seen(softened(pde, STEP), grid, laws, sensors) is not None:
        return (
            "level-set",
            "the medium alone was seen, and the posterior of what is behind is known",
        )
    for given, prior in pde.inputs.items():
        if str(given) in seen.params or isinstance(given, Param):
            continue
        try:
            Inputs(pde, grid, {given: prior})
        except UsageError:
            if learned is None and not large and prior.softened(0.1) is not prior:
                return "level-set", f"the law of {given} jumps, and a ramp stands for the step"
            return learned or ("ensemble-kalman", f"the law of {given} jumps and has no derivative")
    if large and not curved and films(pde, grid):
        return "classical", "a film follows from its first time: it is marched, its adjoint back"
    if large:
        return learned or ("ensemble-kalman", "the grid is too large to factorise as a whole")
    return "classical", f"{why}, but law and equation have derivatives"
