"""The interface of a solver: a way to answer tasks with an ensemble."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from collections.abc import Generator as Steps
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from piddm.residuals.residual import Fields

if TYPE_CHECKING:
    from piddm.tools.progress import Progress


from piddm.tasks.task import Task


@dataclass(frozen=True)
class Members:
    """States that a solver found.

    Args:
        fields: Physical fields ``(count, *axes)``, and free params ``(count,)`` where it has some.
        calls: Network calls that each cost: a forward pass is one, a backward pass another.
        mean: The law's own pointwise mean, ``(*axes)`` and params ``()``, where it is known in
            closed form.
        deviation: Its pointwise standard deviation, likewise: the law is then Gaussian.
        caution: What is to be said of the observations, if anything.
    """

    fields: Fields
    calls: int = 0
    mean: Fields | None = None
    deviation: Fields | None = None
    caution: str = ""


class Solver(ABC):
    """A way to answer tasks; made as ``build(run, **settings)`` from a run.

    What it may ask of the run is a :class:`~piddm.tasks.model.Model`.

    Attributes:
        exact: Whether its states satisfy the equation and keep to the observations as they are. A
            projection is left out then: it would count the observations twice.
        so_far: Returns the states as they are while :meth:`solve` is at work, for one that is
            interrupted. A solver that has such states sets it before its first progress.
    """

    exact: bool = False
    so_far: Callable[[], Members] | None = None

    @abstractmethod
    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Look for ``count`` states that agree with the observations and the equation.

        It yields its progress, with losses among the values, and returns the states.

        Args:
            task: The question.
            count: How many states: members of an ensemble, all in one batch.
            generator: The only source of chance.

        Raises:
            UsageError: If it cannot take the task; the reason says what can.
        """


def merged(parts: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return batches of members as one."""
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
