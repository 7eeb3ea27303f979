"""The interface of a student."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from piddm.data.packing import Packing
from piddm.training.context import TrainingContext
from piddm.training.optimisation import Loss


class Student(nn.Module, ABC):
    """A generator of one network call, or a few; made as ``build(teacher, **settings)``.

    A run reads it into one of a teacher that has seen no data: all that it has learnt, the packing
    among it, is in its ``state_dict``.

    Attributes:
        packing: Normalisation and colour of its samples: the teacher's.
        calls: Network calls that a sample takes.
        polished: Whether a step of the equation's solver ends it.
    """

    packing: Packing
    calls: int = 1
    polished: bool = False

    @abstractmethod
    def forward(self, noise: Tensor) -> Tensor:
        """Map white noise to samples x0, both ``(batch, channel, *image)``."""

    def leave_unpolished(self) -> None:
        """Leave out the step of a solver that ends it, where one does."""

    def begun(self, noise: Tensor) -> Tensor:
        """Return samples as a correction takes them up; here those of :meth:`forward`."""
        return self(noise)

    def solution(self, x: Tensor) -> Tensor | None:
        """Return packed states with the inputs of packed ``x``, ``(batch, channel, *image)``.

        Whatever else ``x`` holds does not count.

        None, as here, of a student that only draws.
        """
        return None

    @abstractmethod
    def objective(self, context: TrainingContext) -> Loss:
        """Return the loss that it is trained with.

        That of the paper, Eq. 8, is :func:`piddm.training.losses.regression`. The loss is called
        with the student, which may be wrapped, and the number of the step.
        """

    def settle(self, data: Tensor, seed: int) -> None:
        """Set what is fitted once training is over, on the weights that are kept; here nothing.

        Args:
            data: Packed training data ``(count, channel, *image)``.
            seed: Of any noise that takes.
        """
