"""The search in a student's noise, which some solvers end at and others begin with.

A few calls that take the student for its linear part (:mod:`piddm.solvers.linear`), then L-BFGS on
the energy of :mod:`piddm.solvers.posterior`, preconditioned with that part's inverse Hessian.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Generator

from piddm.interfaces import Members
from piddm.solvers.lbfgs import minimise
from piddm.solvers.linear import conditioned
from piddm.solvers.posterior import Posterior


class Search:
    """Where the members of a batch are, at any time.

    Args:
        posterior: What is searched.
        count: Members; each has an anchor of its own, and observations perturbed by their noise.
        generator: The only source of chance.

    Attributes:
        noise: Where the members are, ``(count, dimension)``.
        calls: Network calls of each so far.
    """

    def __init__(self, posterior: Posterior, count: int, generator: Generator) -> None:
        self.posterior, self.calls = posterior, 0
        self.anchor = torch.randn((count, posterior.dimension), generator=generator)
        self.target = posterior.perturbed(count, generator)
        self.noise = self.anchor
        self._generator = generator

    def members(self) -> Members:
        """Return the samples of the noise that was reached."""
        packing = self.posterior.packing
        return Members(packing.unpack(self.posterior.generate(self.noise)), self.calls)

    def work(self, rounds: int, steps: int) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield how much of ``rounds + steps`` is done, and what there is to say of it.

        Args:
            rounds: Calls of the student without a gradient.
            steps: Evaluations of L-BFGS, two calls each.
        """
        posterior, anchor, target = self.posterior, self.anchor, self.target
        linear = posterior.linear(self._generator)
        tries = conditioned(posterior.look, linear, anchor, target, rounds)
        for done, (noise, missing) in enumerate(tries, 1):
            self.noise, self.calls = noise, done
            yield done, {"misfit": float(missing.square().mean().sqrt())}
        if not steps:
            return
        evaluations = minimise(
            lambda z: posterior.energy(z, target, anchor), self.noise, steps, linear.inverse_hessian
        )
        for done, (noise, energy) in enumerate(evaluations, 1):
            self.noise, self.calls = noise, self.calls + 2
            yield rounds + done, {"energy": float(energy.mean())}
