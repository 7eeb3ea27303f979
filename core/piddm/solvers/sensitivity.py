r"""How observations of a solution change with its inputs, from one sparse factorisation.

.. math:: \frac{d(Hx)}{da} = H_a - H_u J_u^{-1} J_a, \qquad R(a, u) = 0,

from the left, by the adjoint equation :math:`J_u^T\Lambda = H_u^T` with a right side for each
observation, or from the right, by the tangent one with a right side for each direction of the
inputs, whichever are fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_matrix
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.autograd import forward_ad

from piddm.derived import Given
from piddm.errors import PiddmError, UsageError
from piddm.grid import Grid
from piddm.jacobian import Jacobian
from piddm.pde import PDE
from piddm.priors import Prior
from piddm.symbolic.operators import Param, Slice
from piddm.tasks.sensors import Sensors

LARGEST = 20_000_000
"""Unknowns times those of a line across the longest axis: numbers that a factor may have."""


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
                raise UsageError(
                    f"{pde.name}: {given} cannot be found by classical, which follows slopes: "
                    f"{error}; choose another solver"
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

    def flat(self, noise: Tensor) -> Tensor:
        """Return the inputs' values one after another, ``(batch, values)``."""
        return torch.cat([v.reshape(len(noise), -1) for v in self(noise).values()], dim=1)

    def pulled(self, noise: Tensor, left: Tensor) -> Tensor:
        """Return ``left`` times the derivative at one noise ``(size,)``: ``(rows, size)``."""
        with torch.enable_grad():
            many = noise.repeat(len(left), 1).requires_grad_()
            return torch.autograd.grad((self.flat(many) * left).sum(), many)[0]

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
        grid = jacobian.residual.grid
        self._jacobian, self._inputs, self._name = jacobian, inputs, pde.name
        self._given = np.concatenate([_columns(pde, grid, jacobian, g) for g in given])
        wanted = np.ones(jacobian.columns, dtype=bool)
        wanted[self._given] = False
        entry = wanted[jacobian.column]
        self._rows = np.unique(jacobian.row[entry])
        self._unknown = np.unique(jacobian.column[entry])
        if len(self._unknown) * jacobian.nodes // max(grid.shape) > LARGEST:
            raise UsageError(
                f"{pde.name}: classical factorises the whole domain, here {len(self._unknown)} "
                f"unknowns on {' x '.join(map(str, grid.shape))}: too many; take a smaller grid or "
                "another solver"
            )
        if len(self._rows) != len(self._unknown):
            raise UsageError(
                f"{pde.name}: classical cannot differentiate {len(self._rows)} rows by "
                f"{len(self._unknown)} unknowns, as where an integral follows from the equations; "
                "choose another solver"
            )
        seen = csr_matrix(
            (
                sensors.weight.flatten().numpy(),
                sensors.index.flatten().numpy(),
                np.arange(len(sensors) + 1) * sensors.index.shape[1],
            ),
            (len(sensors), jacobian.columns),
        )
        self._seen_given = seen[:, self._given].toarray()
        self._seen_unknown = csc_matrix(seen[:, self._unknown])
        self._backward = len(sensors) < inputs.size

    def __call__(self, x: Mapping[str, Tensor], noise: Tensor) -> Iterator[Tensor]:
        """Yield d(Hx)/dz, ``(observations, size)``, sample by sample.

        Args:
            x: Solutions, params included.
            noise: The white noise z that they come from, ``(batch, size)``.
        """
        _, values = self._jacobian.values(x)
        adjoint, before = None, None
        for entries, z in zip(values.mT.numpy(), noise, strict=True):
            same = before is not None and np.array_equal(entries, before)
            if self._backward:
                # Of a linear equation the adjoint is the same for every sample.
                adjoint = adjoint if same else self._adjoint(entries)
                assert adjoint is not None
                yield self._inputs.pulled(z, adjoint)
            else:
                yield self._tangent(entries, self._inputs.jacobian(z).numpy())
            before = entries

    def _split(self, entries: np.ndarray) -> tuple[csc_matrix, csr_matrix]:
        jacobian = self._jacobian
        shape = (jacobian.rows, jacobian.columns)
        rows = csr_matrix((entries, (jacobian.row, jacobian.column)), shape)[self._rows]
        return csc_matrix(rows[:, self._unknown]), csr_matrix(rows[:, self._given])

    def _adjoint(self, entries: np.ndarray) -> Tensor:
        by_unknown, by_given = self._split(entries)
        factor = self._factor(by_unknown)
        adjoint = factor.solve(self._seen_unknown.toarray().T, "T")
        return torch.from_numpy(self._seen_given - (by_given.T @ adjoint).T)

    def _tangent(self, entries: np.ndarray, moved: np.ndarray) -> Tensor:
        by_unknown, by_given = self._split(entries)
        answer = self._factor(by_unknown).solve(by_given @ moved)
        return torch.from_numpy(self._seen_given @ moved - self._seen_unknown @ answer)

    def _factor(self, matrix: csc_matrix):
        try:
            return splu(matrix)
        except RuntimeError as error:
            raise PiddmError(
                f"{self._name}: the equation is singular at a solution: its inputs do not "
                "determine the rest"
            ) from error


def _columns(pde: PDE, grid: Grid, jacobian: Jacobian, given: Given) -> np.ndarray:
    """Return the Jacobian's columns of an input's values, in their order."""
    if isinstance(given, Param):
        start = jacobian.nodes * len(jacobian.fields)
        return np.array([start + jacobian.params.index(given.name)])
    name = given.field.name if isinstance(given, Slice) else given.name
    start = jacobian.nodes * jacobian.fields.index(name)
    node = start + np.arange(math.prod(grid.shape)).reshape(grid.shape)
    if isinstance(given, Slice):
        dim, at = pde.slice_index(given, grid)
        node = np.take(node, at, axis=dim)
    return node.ravel()
