r"""A linear equation with Gaussian inputs, as one affine map of white noise to its fields.

.. math:: x(z) = x_0 + (S,\; -J_u^{-1}J_a S)\,z, \qquad z \sim N(0, I), \qquad a = S z + a_0,

with S the map of the inputs' law (cosines, Fourier modes, harmonics), which is applied and never
written down, and one factorisation of :math:`J_u` for the equation and for its adjoint.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Generator, Tensor

from piddm.equation import PDE
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.marching import Given
from piddm.priors import Prior
from piddm.residuals.residual import Residual
from piddm.solvers._sensitivity import Inputs
from piddm.solvers._splitting import Splitting
from piddm.symbolic.operators import Param
from piddm.tools.errors import UsageError

STRAIGHT = 1e-9
"""Departure from a straight line, over the largest value, up to which a map counts as affine."""

TOGETHER = 64
"""States that are made together."""


def bent(pde: PDE, residual: Residual, known: Mapping[str, float]) -> str:
    """Return why an equation and its inputs are no affine map of white noise; nothing if they are.

    Looked for in values, so that a residual or a law of a plugin's own is judged alike.

    Args:
        pde: The equation, with the laws of its inputs.
        residual: Its residual on a grid.
        known: Params that are known.
    """
    draw = torch.Generator().manual_seed(0)
    for given, prior in pde.inputs.items():
        if str(given) in known:
            continue
        try:
            inputs = Inputs(pde, residual.grid, {given: prior})
        except UsageError:
            return f"the law of {given} has no derivative by white noise"
        z = torch.randn(2, inputs.size, generator=draw, dtype=torch.float64)
        every = inputs.flat(torch.cat([z, z.sum(0, keepdim=True), torch.zeros_like(z[:1])]))
        if _departs(every):
            return f"the law of {given} is not Gaussian"
    shape = residual.grid.shape
    x = {k: torch.randn(2, *shape, generator=draw, dtype=torch.float64)
         for k in residual.field_names}  # fmt: skip
    x |= {k: torch.randn(2, generator=draw, dtype=torch.float64)
          for k in pde.free_params if k not in known}  # fmt: skip
    every = {k: torch.cat([v, v.sum(0, keepdim=True), torch.zeros_like(v[:1])])
             for k, v in x.items()}  # fmt: skip
    every |= {k: torch.full((4,), v, dtype=torch.float64) for k, v in known.items()}
    for name, rows in residual(every).items():
        if _departs(rows.flatten(1)):
            return f"{name} is not linear in {', '.join(x)}"
    return ""


def _departs(values: Tensor) -> bool:
    """Return whether f(x) + f(y) and f(x + y) + f(0) differ, of ``(4, n)`` f(x), f(y), ..."""
    first, second, both, none = values
    size = float(values.abs().max()) if values.numel() else 0.0
    return float((first + second - both - none).abs().amax()) > STRAIGHT * size if size else False


class Affine:
    """The map, its rows and its draws.

    Args:
        pde: The equation; it must be straight, see :func:`bent`.
        residual: Its residual.
        known: Params that are known.
        solver: Name of the solver that asks, for messages.

    Attributes:
        size: White numbers of one sample.
        columns: Values of one state: fields one after another, then free params.
        origin: The state of no noise, ``(columns,)``.
    """

    def __init__(
        self, pde: PDE, residual: Residual, known: Mapping[str, float], solver: str = "exact"
    ) -> None:
        params = {p.name: p for p in pde.params}
        self._laws: dict[Given, Prior] = {g: p for g, p in pde.inputs.items()
                                          if str(g) not in known}  # fmt: skip
        self.grid, self._inputs = residual.grid, Inputs(pde, residual.grid, self._laws)
        free = tuple(k for k in pde.free_params if k not in known)
        self._jacobian = Jacobian(residual, params=free)
        self._split = Splitting(pde, self._jacobian, list(self._laws), solver)
        self.size, self.columns = self._inputs.size, self._jacobian.columns
        self.names = self._jacobian.names
        zero = {k: torch.zeros(1, *self.grid.shape).double() for k in residual.field_names}
        zero |= {k: torch.zeros(1).double() for k in free}
        zero |= {params[k].name: torch.full((1,), v).double() for k, v in known.items()}
        self._rest, values = self._jacobian.values(zero)
        square, self._by_given = self._split.matrices(values[:, 0].numpy())
        self._square, self._factor = square, self._split.factor(square)
        self._start = self._inputs.flat(torch.zeros(1, self.size, dtype=torch.float64))
        self.origin = torch.zeros(self.columns, dtype=torch.float64)
        self.origin = self.states(torch.zeros(1, self.size, dtype=torch.float64))[0]

    def states(self, noise: Tensor, polish: bool = True) -> Tensor:
        """Return the states of white noise ``(batch, size)``: ``(batch, columns)``."""
        return torch.cat([self._states(part, polish) for part in noise.split(TOGETHER)])

    def _states(self, noise: Tensor, polish: bool) -> Tensor:
        given = self._inputs.flat(noise).numpy().T
        right = -(self._split.rows_of(self._rest.numpy()).T + self._by_given @ given)
        found = self._factor.solve(right)
        if polish:
            found += self._factor.solve(right - self._square @ found)
        out = torch.zeros(len(noise), self.columns, dtype=torch.float64)
        out[:, self._split.given] = torch.from_numpy(given.T)
        out[:, self._split.unknown] = torch.from_numpy(found[: len(self._split.unknown)].T)
        return out

    def fields(self, states: Tensor) -> dict[str, Tensor]:
        """Return fields ``(batch, *grid.shape)`` and free params ``(batch,)`` of states."""
        names, nodes = self._jacobian.fields, self._jacobian.nodes
        found = {k: states[:, i * nodes : (i + 1) * nodes].reshape(-1, *self.grid.shape)
                 for i, k in enumerate(names)}  # fmt: skip
        start = nodes * len(names)
        return found | {k: states[:, start + i] for i, k in enumerate(self._jacobian.params)}

    def rows(self, functionals: csr_matrix) -> Tensor:
        """Return :math:`W^T S` of linear functionals of states: ``(count, size)``.

        Args:
            functionals: ``(count, columns)``.
        """
        found = torch.empty(len(functionals.indptr) - 1, self.size, dtype=torch.float64)
        at = torch.zeros(self.size, dtype=torch.float64)
        for start in range(0, len(found), TOGETHER):
            part = functionals[start : start + TOGETHER]
            sides = self._split.with_multipliers(part[:, self._split.unknown].toarray().T)
            left = part[:, self._split.given].toarray()
            if sides.any():
                left = left - (self._by_given.T @ self._factor.adjoint(sides)).T
            found[start : start + TOGETHER] = self._inputs.pulled(at, torch.from_numpy(left))
        return found

    def inputs_of(self, noise: Tensor) -> Tensor:
        """Return the linear part of the inputs' law, ``(batch, values)``."""
        return self._inputs.flat(noise) - self._start

    @property
    def given(self) -> np.ndarray:
        """Columns of the inputs."""
        return self._split.given

    def prior_variance(self) -> Tensor:
        """Return the inputs' variance by their law, ``(values,)``."""
        parts = []
        for given, prior in self._laws.items():
            on = self.grid.without(given.axis) if hasattr(given, "axis") else self.grid  # pyright: ignore
            if isinstance(given, Param):
                ends = prior.param_from_white(torch.tensor([0.0, 1.0], dtype=torch.float64))
                parts.append(ends.diff().square())
                continue
            parts.append(prior.variance(on).flatten())
        return torch.cat(parts)

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Return white noise ``(count, size)``."""
        return torch.randn(count, self.size, generator=generator, dtype=torch.float64)
