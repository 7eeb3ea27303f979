r"""Flow matching as it is: the teacher's probability flow, with no physics in it.

Lipman et al., arXiv 2210.02747, on whatever schedule the run has. What all others are compared
with; ended by a projection, the strongest plain baseline.
"""

from __future__ import annotations

from torch import Generator, Tensor

from piddm.methods.method import Method
from piddm.teachers.sampling import last
from piddm.tools.errors import UsageError
from piddm.training.context import TrainingContext


class FlowMatching(Method):
    """Integrates the teacher's flow.

    Args:
        context: Teacher, data, pairs and residual.
        steps: Steps of Heun's method; those that made the students' pairs where left out.
    """

    def __init__(self, context: TrainingContext, *, steps: int | None = None) -> None:
        self.teacher = context.teacher
        self.steps = context.config.pairs.steps if steps is None else steps
        if self.steps < 1:
            raise UsageError("flow-matching: at least 1 step")

    def sample(self, noise: Tensor, generator: Generator) -> Tensor:
        """Return where the flow ends."""
        return last(self.teacher.sample(noise, self.steps))
