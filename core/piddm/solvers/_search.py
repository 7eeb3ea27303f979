"""The search in a student's noise, which some solvers end at and others begin with.

A few calls that take the student for its linear part (:mod:`piddm.solvers._linear_part`), then
L-BFGS on the energy of :mod:`piddm.solvers._posterior`, preconditioned with that part's inverse
Hessian.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Generator

from piddm.numerics.algebra.lbfgs import minimise
from piddm.solvers._linear_part import conditioned
from piddm.solvers._posterior import Posterior
from piddm.tasks.solver import Members


class Search:
    """Where the members of a batch are, at any time.

    Args:
        posterior: What is searched.
        count: Members; each has an anchor of its own, and observations perturbed by their noise.
        generator: The only source of chance.

    Attributes:
        noise: Where the members are, ``(count, dimension)``.
    """

    def __init__(self, posterior: Posterior, count: int, generator: Generator) -> None:
        self.posterior, self._count = posterior, count
        self.anchor = torch.randn((count, posterior.dimension), generator=generator)
        self.target = posterior.likelihood.perturbed(count, generator)
        self.noise = self.anchor
        self._generator = generator

    def members(self) -> Members:
        """Return the samples of the noise that was reached."""
        fields = self.posterior.packing.unpack(self.posterior.generate(self.noise))
        return Members(fields, math.ceil(self.posterior.passes / self._count))

    def work(self, rounds: int, steps: int) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield how much of ``rounds + steps`` is done, and what there is to say of it.

        Args:
            rounds: Passes of the student without a gradient.
            steps: Evaluations of L-BFGS, each a pass forward and one back.
        """
        posterior, anchor, target = self.posterior, self.anchor, self.target
        linear = posterior.linear(self._generator)
        tries = conditioned(posterior.look, linear, anchor, target, rounds)
        for done, (noise, missing) in enumerate(tries, 1):
            self.noise = noise
            yield done, {"misfit": float(missing.square().mean().sqrt())}
        if not steps:
            return
        evaluations = minimise(
            lambda z: posterior.energy(z, target, anchor), self.noise, steps, linear.inverse_hessian
        )
        for done, (noise, energy) in enumerate(evaluations, 1):
            self.noise = noise
            yield rounds + done, {"energy": float(energy.mean())}
