"""The interface of a method: a way to draw samples that obey an equation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Generator, Tensor, nn

from piddm.tools.errors import PiddmError


class Method(ABC):
    """A way to draw samples that obey an equation; made as ``build(context, **settings)``.

    What all of them share, teacher and data and residual, is handed over; what a method trains
    beside it gets a student's optimiser and number of steps, and begins where it likes, as a rule
    at the teacher's weights.

    Attributes:
        trained: What is trained with :meth:`loss` before sampling, and then replaced by the
            average of its weights; None where nothing is.
    """

    trained: nn.Module | None = None

    def loss(self, module: nn.Module, step: int) -> dict[str, Tensor]:
        """Return named scalars, of which ``loss`` is minimised.

        Args:
            module: :attr:`trained`, which may be wrapped.
            step: Number of the step, from which all random numbers come.

        Raises:
            PiddmError: If it is not written and something is trained.
        """
        raise PiddmError(f"the method {type(self).__name__} trains something and has no loss")

    def networks(self) -> Sequence[nn.Module]:
        """Return the networks, beside the teacher's, whose calls sampling is charged with.

        What is trained as a whole, where nothing else is said.
        """
        return [] if self.trained is None else [self.trained]

    @abstractmethod
    def sample(self, noise: Tensor, generator: Generator) -> Tensor:
        """Map white noise to packed samples, both ``(batch, channel, *image)``.

        Called without gradients; what needs some turns them on.

        Args:
            noise: White noise.
            generator: The only other source of chance.
        """
