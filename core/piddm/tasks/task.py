"""Tasks from observations: which question they pose, and whether they can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from piddm.numerics.derived_solver import held
from piddm.symbolic.operators import Param
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors
from piddm.tools.errors import UsageError, nearest

if TYPE_CHECKING:
    from piddm.equation import PDE

Kind = Literal["forward", "inverse", "reconstruct"]


@dataclass(frozen=True)
class Task:
    """A question: forward, inverse and reconstruction differ only in the known values.

    Make it with :func:`piddm.tasks.task.ask`, which checks it.

    Args:
        kind: ``forward``, ``inverse`` or ``reconstruct``.
        observations: What is known.
        interpolation: How values between nodes are read off fields: ``linear`` or ``cubic``.
    """

    kind: str
    observations: Observations
    interpolation: str = "linear"


def ask(kind: str, pde: PDE, observations: Observations, interpolation: str = "linear") -> Task:
    """Return a checked task.

    Args:
        kind: ``forward``: every input is known, at every node. ``inverse``: of the inputs nothing
            is known, of the solution something or all. ``reconstruct``: anything known anywhere.
        pde: The equation.
        observations: What is known.
        interpolation: ``linear`` or ``cubic``, between nodes.

    Raises:
        UsageError: If the observations name what the equation has not, or pose another question.
    """
    if kind not in get_args(Kind):
        raise UsageError(f"there is no task {kind!r}{nearest(kind, get_args(Kind))}")
    observations.checked(pde.field_names, [p.name for p in pde.params])
    sensors = Sensors(observations, pde.field_names, interpolation)
    inputs = held(pde, observations.grid, (g for g in pde.inputs if not isinstance(g, Param)))
    known = sensors.known
    if kind == "forward":
        for name, needed in inputs.items():
            if missing := int((needed & ~known[name]).sum()):
                raise UsageError(
                    f"forward needs the whole input: {missing} of {int(needed.sum())} nodes of "
                    f"{name} are missing; give them, or ask to reconstruct"
                )
        for given in pde.inputs:
            if isinstance(given, Param) and given.name not in observations.params:
                raise UsageError(f"forward needs the param {given}; give it, or ask to reconstruct")
    if kind == "inverse" and (seen := _touched(sensors, inputs)):
        raise UsageError(
            f"an inverse task knows nothing of the inputs, here {seen} is observed where it is "
            "one; leave that out, or ask to reconstruct"
        )
    whole = {k for k, needed in inputs.items() if needed.all()}
    for own in observations.readings:
        if kind == "inverse" and set(own.quantity.fields) <= whole:
            raise UsageError(
                f"an inverse task knows nothing of the inputs, and {own.title} is one of them "
                "only; leave that out, or ask to reconstruct"
            )
    return Task(kind, observations, interpolation)


def _touched(sensors: Sensors, inputs: Mapping[str, np.ndarray]) -> str:
    """Return a field that is observed at nodes where it is an input, or nothing."""
    flat = np.concatenate([inputs[k].ravel() for k in sensors.names])
    used = sensors.index[sensors.weight.abs() > 1e-9].numpy()
    hit = used[flat[used]]
    return sensors.names[int(hit[0]) // sensors.nodes] if len(hit) else ""
