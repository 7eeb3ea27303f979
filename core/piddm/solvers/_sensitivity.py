r"""How observations of a solution change with its inputs, from one sparse factorisation.

.. math:: \frac{d(Hx)}{da} = H_a - H_u J_u^{-1} J_a, \qquad R(a, u) = 0,

from the left, by the adjoint equation :math:`J_u^T\Lambda = H_u^T` with a right side for each
observation, or from the right, by the tangent one with a right side for each direction of the
inputs, whichever are fewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_matrix
from torch import Tensor
from torch.autograd import forward_ad

from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.marching import Given
from piddm.priors import Prior
from piddm.solvers._splitting import Splitting
from piddm.symbolic.operators import Param, Slice
from piddm.tasks.sensors import Sensors
from piddm.tools.errors import UsageError


class Inputs:
    """The unknown inputs of an equation as one differentiable map of white noise.

    Args:
        pde: The equation.
        grid: The grid.
        priors: Inputs that are unknown, with their laws.

    Attributes:
        size: White numbers that one sample takes.

    Raises:
        UsageError: If a law is no differentiable map of white noise.
    """

    def __init__(self, pde: PDE, grid: Grid, priors: Mapping[Given, Prior]) -> None:
        self._parts: list[tuple[Given, Prior, Grid, int]] = []
        for given, prior in priors.items():
            on = grid.without(given.axis) if isinstance(given, Slice) else grid
            try:
                white = 1 if isinstance(given, Param) else prior.white(on)
            except UsageError as error:
                other = "ensemble-kalman" if prior.softened(0.1) is prior else "level-set"
                raise UsageError(
                    f"{pde.name}: {given} cannot be found by classical, which follows slopes: "
                    f"{error}; take {other}"
                ) from error
            self._parts.append((given, prior, on, white))
        self.size = sum(white for *_, white in self._parts)

    def __call__(self, noise: Tensor) -> dict[Given, Tensor]:
        """Return inputs, as a derived solver takes them, from ``(batch, size)``."""
        parts = noise.split([white for *_, white in self._parts], dim=1)
        return {
            given: prior.param_from_white(part[:, 0])
            if isinstance(given, Param)
            else prior.from_white(on, part)
            for (given, prior, on, _), part in zip(self._parts, parts, strict=True)
        }

    def latent(self, noise: Tensor) -> dict[Given, Tensor]:
        """Return what they are made of; see :meth:`piddm.priors.prior.Prior.latent`."""
        parts = noise.split([white for *_, white in self._parts], dim=1)
        return {
            given: part[:, 0] if isinstance(given, Param) else prior.latent_from_white(on, part)
            for (given, prior, on, _), part in zip(self._parts, parts, strict=True)
        }

    def behind(self, nodes: Tensor) -> Tensor:
        """Return the derivative of what a single input is made of, ``(len(nodes), size)``.

        It is that at no noise, and so the whole map where what is behind a medium is Gaussian.
        """
        with torch.enable_grad():
            many = torch.zeros(len(nodes), self.size, dtype=torch.float64, requires_grad=True)
            (made,) = self.latent(many).values()
            seen = made.flatten(1).gather(1, nodes[:, None])
            return torch.autograd.grad(seen.sum(), many)[0]

    def flat(self, noise: Tensor) -> Tensor:
        """Return the inputs' values one after another, ``(batch, values)``."""
        return torch.cat([v.reshape(len(noise), -1) for v in self(noise).values()], dim=1)

    def pulled(self, noise: Tensor, left: Tensor) -> Tensor:
        """Return ``left`` times the derivative at one noise ``(size,)``: ``(rows, size)``."""
        with torch.enable_grad():
            one = noise[None].clone().requires_grad_()
            flat = self.flat(one)[0]  # once: all rows go back the same way
            return torch.autograd.grad(flat, one, left, is_grads_batched=True)[0][:, 0]

    def jacobian(self, noise: Tensor) -> Tensor:
        """Return the derivative at one noise ``(size,)``: ``(values, size)``."""
        many, along = noise.repeat(self.size, 1), torch.eye(self.size, dtype=noise.dtype)
        with forward_ad.dual_level():
            moved = self.flat(forward_ad.make_dual(many, along))
            tangent = forward_ad.unpack_dual(moved).tangent
        return torch.zeros_like(moved).mT if tangent is None else tangent.mT


class Sensitivity:
    """Derivatives of observations by white noise, at solutions.

    Args:
        pde: The equation.
        jacobian: The Jacobian of its residual by every field, unknown inputs and what is fitted.
        inputs: The unknown inputs.
        given: The same, by name.
        sensors: What is observed.

    Raises:
        UsageError: If rows and unknowns are not as many, or too many to factorise.
    """

    def __init__(
        self,
        pde: PDE,
        jacobian: Jacobian,
        inputs: Inputs,
        given: Sequence[Given],
        sensors: Sensors,
    ) -> None:
        self._jacobian, self._inputs = jacobian, inputs
        self._split = Splitting(pde, jacobian, given, "classical")
        self._sensors = sensors
        if not sensors.curved:
            self._look(sensors.matrix(jacobian.columns))
        self._backward = len(sensors) < inputs.size

    def _look(self, seen: csr_matrix) -> None:
        """Take the derivative of what is seen by fields and params."""
        self._seen_given = seen[:, self._split.given].toarray()
        self._seen_unknown = csc_matrix(seen[:, self._split.unknown])

    def __call__(self, x: Mapping[str, Tensor], noise: Tensor) -> Iterator[Tensor]:
        """Yield d(Hx)/dz, ``(observations, size)``, sample by sample.

        Args:
            x: Solutions, params included.
            noise: The white noise z that they come from, ``(batch, size)``.
        """
        _, values = self._jacobian.values(x)
        adjoint, before = None, None
        curved = self._sensors.curved
        for k, (entries, z) in enumerate(zip(values.mT.numpy(), noise, strict=True)):
            same = before is not None and not curved and np.array_equal(entries, before)
            if curved:
                state = {name: v[k : k + 1] for name, v in x.items()}
                columns = self._jacobian.columns
                self._look(self._sensors.matrix(columns, state, self._jacobian.params))
            if self._backward:
                # Of a linear equation the adjoint is the same for every sample.
                adjoint = adjoint if same else self._adjoint(entries)
                assert adjoint is not None
                yield self._inputs.pulled(z, adjoint)
            else:
                yield self._tangent(entries, self._inputs.jacobian(z).numpy())
            before = entries

    def _adjoint(self, entries: np.ndarray) -> Tensor:
        by_unknown, by_given = self._split.matrices(entries)
        sides = self._split.with_multipliers(self._seen_unknown.toarray().T)
        adjoint = self._split.factor(by_unknown).adjoint(sides)
        return torch.from_numpy(self._seen_given - (by_given.T @ adjoint).T)

    def _tangent(self, entries: np.ndarray, moved: np.ndarray) -> Tensor:
        by_unknown, by_given = self._split.matrices(entries)
        answer = self._split.factor(by_unknown).solve(by_given @ moved)
        found = self._seen_unknown @ answer[: len(self._split.unknown)]
        return torch.from_numpy(self._seen_given @ moved - found)
