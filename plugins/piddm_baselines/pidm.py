r"""PIDM: the residual of the denoiser's prediction in the training of a diffusion model.

.. math:: \mathcal L = \mathcal L_f + c\;
    \mathbb E\,\frac{\|R(\hat x_0(x_t))\|^2}{\max(\Sigma_t,\Sigma_{min})}, \qquad
    \Sigma_t=\frac{\sigma^2}{\alpha^2+\sigma^2}.

Solutions have R = 0: that is a virtual observation, of variance :math:`\Sigma_t/c`. It is sharp
where little noise is left, as the data's own term is, whose weight is the same :math:`1/\Sigma_t`
(:mod:`piddm_baselines._trained`). Two predictions:

* ``pidm``, mean estimation: :math:`\hat x_0=E[x_0|x_t]`. Solutions' mean has a residual of its own,
  Jensen's gap, unless R is affine; lowering it moves the mean (``docs/theory.md``).
* ``pidm-sampled``, sample estimation: :math:`\hat x_0` is where a few deterministic steps from x_t
  arrive.

Source: J.-H. Bastek, W. Sun and D. M. Kochmann, Physics-Informed Diffusion Models, arXiv
2403.14404. As there: both terms, the variance's fall with the noise and its floor, the plain square
of the residual. Different here: time goes on continuously, hence the posterior variance of data of
unit variance in place of a chain's; noise has the data's colour, training begins at the
teacher's weights and takes the student's budget, and samples are of the probability flow, not of an
ancestral chain. Predictions are for whole batches. c is not comparable with the paper's 1e-3:
residuals are normalised here, and means are taken.
"""

from __future__ import annotations

import math
from typing import final

from torch import Tensor, nn

from piddm.tools.errors import UsageError
from piddm.training.context import TrainingContext
from piddm_baselines._trained import TrainedFlow, weighted

FLOOR = 1e-3
"""Least variance, over that of pure noise, 1: the paper's at the second of 100 steps, about."""


class VirtualObservation(TrainedFlow):
    """The teacher trained further with the residual of a prediction of its samples.

    Args:
        context: Teacher, data and residual; the student's budget.
        weight: c, the weight of the residual.
        norm: ``strong``, the mean square, or ``distance``, that to the nearest solution.
        steps: Steps of the flow from noise to a sample; those of the run's pairs where None.
        unroll: Network calls from x_t to the prediction.
    """

    def __init__(
        self, context: TrainingContext, weight: float, norm: str, steps: int | None, unroll: int
    ) -> None:
        if not 0 <= weight < math.inf:
            raise UsageError(f"{self.name}: weight is at least 0 and finite, not {weight}")
        super().__init__(context, norm, steps)
        self.weight, self.unroll = weight, unroll

    def loss(self, module: nn.Module, step: int) -> dict[str, Tensor]:
        """Return ``flow``, ``physics``, the plain residual of predictions, and their ``loss``.

        The gradient of ``loss`` has the residuals weighed by their variances, its value has not.
        """
        batch = self.draw(step)
        flow, found = self.predict(module, batch, self.unroll)
        variance = batch.sigma**2 / (batch.alpha**2 + batch.sigma**2)
        physics = weighted(self.physics, found, 1 / variance.clamp_min(FLOOR))
        return {"loss": flow + self.weight * physics, "flow": flow, "physics": physics}


@final
class Pidm(VirtualObservation):
    """The teacher trained further with the residual of its mean.

    Args:
        context: Teacher, data and residual; the student's budget.
        weight: c, the weight of the residual.
        norm: ``strong``, the mean square, or ``distance``, that to the nearest solution.
        steps: Steps of the flow from noise to a sample; those of the run's pairs where None.
    """

    @property
    def name(self) -> str:
        """The method's name."""
        return "pidm"

    def __init__(
        self, context: TrainingContext, *, weight: float = 0.1, norm: str = "strong",
        steps: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(context, weight, norm, steps, unroll=1)


@final
class SampledPidm(VirtualObservation):
    """The teacher trained further with the residual of samples.

    Args:
        context: Teacher, data and residual; the student's budget.
        weight: c, the weight of the residual.
        norm: ``strong``, the mean square, or ``distance``, that to the nearest solution.
        steps: Steps of the flow from noise to a sample; those of the run's pairs where None.
        unroll: Network calls from x_t to the sample whose residual is taken.
    """

    @property
    def name(self) -> str:
        """The method's name."""
        return "pidm-sampled"

    def __init__(
        self, context: TrainingContext, *, weight: float = 0.03, norm: str = "strong",
        steps: int | None = None, unroll: int = 3,
    ) -> None:  # fmt: skip
        if unroll < 2:
            raise UsageError(f"{self.name}: unroll is at least 2, not {unroll}; pidm has 1")
        super().__init__(context, weight, norm, steps, unroll)
