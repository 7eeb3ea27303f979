r"""Flow matching with coloured noise: a teacher of the joint field, with no physics in it.

The network F is wrapped so that its inputs and targets have unit size at every noise level (the
preconditioning of Karras et al., arXiv 2206.00364, section 5). Noise has the data's own colour S
(:mod:`piddm.data.packing`), hence the optimal linear denoiser is a number, the same for every mode:

.. math:: D(x_t, t) = \frac{\alpha}{\alpha^2+\sigma^2} x_t
    + \frac{\sigma}{\sqrt{\alpha^2+\sigma^2}}\, F(x_t/\sqrt{\alpha^2+\sigma^2},\, t),

and F (a network's offset and gate, :mod:`piddm.networks.head`) learns what is not
Gaussian. Its target is
:math:`(\sigma x_0-\alpha\epsilon)/\sqrt{\alpha^2+\sigma^2}`.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from piddm.networks.head import respond
from piddm.teachers.probability_flow import ProbabilityFlow, image
from piddm.tools import ranks
from piddm.tools.devices import sent

CITATION = r"""
@misc{lipman2023flow,
  title = {Flow Matching for Generative Modeling},
  author = {Lipman, Yaron and Chen, Ricky T. Q. and Ben-Hamu, Heli and Nickel, Maximilian and
    Le, Matt},
  year = {2023},
  eprint = {2210.02747},
  archivePrefix = {arXiv},
}
@misc{karras2022elucidating,
  title = {Elucidating the Design Space of Diffusion-Based Generative Models},
  author = {Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli},
  year = {2022},
  eprint = {2206.00364},
  archivePrefix = {arXiv},
}
"""
"""Sources of the method, for ``piddm cite``: BibTeX."""


@final
class FlowTeacher(ProbabilityFlow):
    """Flow matching on a schedule; its network predicts F."""

    def predict(self, xt: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the estimates of x0 and of the noise."""
        a, s = (image(v(t)) for v in (self.schedule.alpha, self.schedule.sigma))
        size = (a**2 + s**2).sqrt()
        f = self.turn(xt / size, t)
        return a / size**2 * xt + s / size * f, s / size**2 * xt - a / size * f

    def turn(self, y: Tensor, t: Tensor) -> Tensor:
        """Return the network's own answer F."""
        return respond(self.packing, self.network, y, t)

    def loss(self, x0: Tensor, generator: Generator) -> Tensor:
        """Return the mean square error of the preconditioned prediction."""
        count, shape = len(x0), x0.shape[1:]
        t = sent(ranks.drawn(lambda n: self.schedule.draw(n, generator), count), x0)
        noise = ranks.drawn(
            lambda n: torch.randn((n, *shape), generator=generator, dtype=x0.dtype), count
        )
        noise = self.packing.colour(sent(noise, x0))
        a, s = (image(v(t)) for v in (self.schedule.alpha, self.schedule.sigma))
        size = (a**2 + s**2).sqrt()
        f = self.turn((a * x0 + s * noise) / size, t)
        return self.packing.weigh(f - (s * x0 - a * noise) / size).square().mean()
