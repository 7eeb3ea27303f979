r"""Operators of the unit sphere between the nodes of a grid, through spherical harmonics.

With :math:`\varphi` the latitude, :math:`\lambda` the longitude, and a vector
:math:`v = (v_n, v_e)` northward and eastward,

.. math::
    \nabla u &= \left(\partial_\varphi u, \tfrac{1}{\cos\varphi}\partial_\lambda u\right), &
    \nabla\cdot v &= \tfrac{1}{\cos\varphi}
        \left(\partial_\varphi(v_n\cos\varphi) + \partial_\lambda v_e\right), \\
    \Delta Y_{lm} &= -l(l+1)\, Y_{lm}, &
    \nabla\times v &= \tfrac{1}{\cos\varphi}
        \left(\partial_\lambda v_n - \partial_\varphi(v_e\cos\varphi)\right),

the curl being its outward component. Degrees and orders go up to n - 1 on n latitudes, where
Gauss' quadrature makes harmonics orthonormal to round-off. Vectors are expanded in gradients of
harmonics and in those turned by a right angle, which is what keeps poles regular; div is minus the
adjoint of grad, so that div grad is the Laplacian, and curl grad vanishes.

Nodes hold twice as many values as there are harmonics. The rest, what is left of a field when its
harmonics are taken away, has no gradient; a divergence and a curl have none. In a Laplacian it has
the steepest eigenvalue there is, -n(n - 1): only constants have none.

Harmonics of one order are a matrix along the latitude, so that an operator is a product with a
matrix for each order between two Fourier transforms, themselves products: at these sizes as fast
as fast ones, and under every transform of torch, which the modules of torch-harmonics are not.
Theirs are the Legendre functions. Latitudes stay innermost from the first product to the last, so
that what is between them moves whole lines of memory.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from piddm.grids.grid import Grid

NOTHING = 1e-20
"""Entry of an order's matrix, over its largest, that is zero. Near the poles harmonics of high
order are so small that single precision has no full numbers for them: products with such cost the
processor thirty times as much as others, and add nothing."""


class Operator:
    """A linear operator on fields ``(..., lat, lon)``, of any float dtype.

    Args:
        matrices: ``(order, lat, lat)``: what it does to each Fourier mode along the longitude.
        forward: ``(lon, order * 2)``: to real and imaginary parts.
        backward: ``(order * 2, lon)``: back from them.
        rest: Factor on what is no harmonic; it is added to all of the field.
        steep: Whether it magnifies rounding so much that it works in float64 whatever comes in.
    """

    def __init__(
        self,
        matrices: Tensor,
        forward: Tensor,
        backward: Tensor,
        rest: float = 0.0,
        steep: bool = False,
    ) -> None:
        largest = matrices.abs().amax((1, 2), keepdim=True)
        matrices = matrices.masked_fill(matrices.abs() <= NOTHING * largest, 0.0)
        self._parts = matrices.mT.contiguous(), forward.T.contiguous(), backward
        self.rest, self._steep = rest, steep
        own = (matrices.dtype, matrices.device)
        self._cast: dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] = {own: self._parts}

    def __call__(self, u: Tensor) -> Tensor:
        """Apply it to fields ``(..., lat, lon)``."""
        if self._steep and u.dtype != torch.float64:
            return self(u.double()).to(u.dtype)
        matrices, forward, backward = self._like(u)
        (orders, lat, _), fields = matrices.shape, u.reshape(-1, *u.shape[-2:])
        modes = (forward @ fields.mT).view(-1, orders, 2 * lat).movedim(0, 1)
        found = (modes.reshape(orders, -1, lat) @ matrices).view(orders, -1, 2 * lat)
        lines = found.movedim(0, 1).reshape(-1, 2 * orders, lat)
        out = (lines.mT @ backward).view(u.shape)
        return out.add(u, alpha=self.rest) if self.rest else out

    def _like(self, u: Tensor) -> tuple[Tensor, ...]:
        key = (u.dtype, u.device)
        if key in self._cast:
            return self._cast[key]
        parts = tuple(part.to(device=u.device, dtype=u.dtype) for part in self._parts)
        # What is made under a transform of torch belongs to it, and must not outlive it.
        caught = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore
        if not (torch.compiler.is_compiling() or caught(parts[0]) or parts[0].is_inference()):
            self._cast[key] = parts
        return parts


class Harmonics:
    """Spherical harmonics on a grid's nodes, and the operators through them.

    Args:
        lat: Number of latitudes, Gauss-Legendre's from the south pole up.
        lon: Number of longitudes.

    Attributes:
        count: Number of degrees, from 0; orders go as far.
        steepest: Eigenvalue of the Laplacian at the last degree, and of what is no harmonic.
        eigenvalues: ``(count,)`` those of the Laplacian by degree.
    """

    def __init__(self, lat: int, lon: int) -> None:
        from torch_harmonics.legendre import legpoly

        self.count = count = min(lat, (lon + 1) // 2)
        self.lat, self.lon = lat, lon
        self._sines = torch.from_numpy(np.polynomial.legendre.leggauss(lat)[0])
        # Christoffel's formula: near the poles numpy's own weights lose four digits.
        self._weights = 1 / (2 * math.pi * legpoly(1, lat, self._sines)[0].square().sum(0))
        # Orders, degrees, latitudes.
        self._functions: Tensor = legpoly(count, count, self._sines)
        degree = torch.arange(count, dtype=torch.float64)
        self.eigenvalues = -degree * (degree + 1)
        self.steepest = float(self.eigenvalues[-1])
        self._powers: dict[int, Operator] = {}
        self._grads: dict[int, tuple[Operator, Operator]] = {}
        angle = 2 * math.pi / lon * np.outer(np.arange(lon), np.arange(count))
        real, imaginary = torch.from_numpy(np.cos(angle)), torch.from_numpy(-np.sin(angle))
        both = torch.ones(count, dtype=torch.float64)
        both[1:] = 2  # a mode and its conjugate
        self._forward = torch.stack([real, imaginary], -1).flatten(1) / lon
        self._backward = (torch.stack([real, imaginary], -1) * both[:, None]).flatten(1).T
        self._turned = (torch.stack([imaginary, -real], -1) * both[:, None]).flatten(1).T

    @cached_property
    def _slopes(self) -> tuple[Tensor, Tensor]:
        """Northward derivatives of the Legendre functions, and m over the cosine times them."""
        from torch_harmonics.legendre import _precompute_dlegpoly

        southward, eastward = _precompute_dlegpoly(self.count, self.count, self._sines.acos())
        return -southward, eastward

    @property
    def _analysis(self) -> Tensor:
        """From Fourier modes at the nodes to coefficients of degrees: orders, degrees, lat."""
        return 2 * math.pi * self._functions * self._weights

    def _operator(
        self,
        to: Tensor,
        of: Tensor,
        turned: bool = False,
        rest: float = 0.0,
        steep: bool = False,
    ) -> Operator:
        matrices = torch.einsum("mli,mlj->mij", to, of)
        backward = self._turned if turned else self._backward
        return Operator(matrices, self._forward, backward.contiguous(), rest, steep)

    def diagonal(self, factors: Tensor, rest: float = 0.0) -> Operator:
        """Return what multiplies harmonics by a factor for each degree, and the rest by one."""
        scaled = self._analysis * (factors - rest)[:, None]
        steep = max(abs(rest), float(factors.abs().max())) > 1
        return self._operator(self._functions, scaled, rest=rest, steep=steep)

    def laplace(self, power: int = 1) -> Operator:
        """Return the Laplacian, so many times in a row; -1 is its inverse, free of the mean."""
        if power not in self._powers:
            self._powers[power] = self.diagonal(self._power(power), self.steepest**power)
        return self._powers[power]

    def _power(self, power: int) -> Tensor:
        factors = self.eigenvalues**power
        factors[0] = float(power == 0)
        return factors

    def grad(self, power: int = 0) -> tuple[Operator, Operator]:
        """Return the components of the gradient of so many Laplacians."""
        if power not in self._grads:
            of = self._analysis * self._power(power)[:, None]
            north, east = self._slopes
            self._grads[power] = self._operator(north, of), self._operator(east, of, turned=True)
        return self._grads[power]

    @cached_property
    def adjoints(self) -> tuple[Operator, Operator]:
        """Minus the adjoints of both: what the components of a vector give to its divergence."""
        north, east = (2 * math.pi * slope * self._weights for slope in self._slopes)
        return (
            self._operator(self._functions, -north),
            self._operator(self._functions, east, turned=True),
        )

    def div(self, north: Tensor, east: Tensor) -> Tensor:
        """Divergence of a vector, ``(..., lat, lon)`` each."""
        along, across = self.adjoints
        return along(north) + across(east)

    def curl(self, north: Tensor, east: Tensor) -> Tensor:
        """Outward component of the curl of a vector, ``(..., lat, lon)`` each."""
        along, across = self.adjoints
        return across(north) - along(east)

    def basis(self) -> tuple[Tensor, Tensor]:
        """Return real harmonics of mean square 1, ``(count**2, lat, lon)``, and their degrees."""
        found, degrees = [], []
        synthesis = self._backward.unflatten(0, (self.count, 2)) * math.sqrt(4 * math.pi)
        for m in range(self.count):
            of_order = self._functions[m, m:]
            for part in range(1 if m == 0 else 2):
                scale = 1 if m == 0 else math.sqrt(0.5)
                found.append(scale * of_order[..., None] * synthesis[m, part])
                degrees.append(torch.arange(m, self.count))
        return torch.cat(found), torch.cat(degrees)


@lru_cache(maxsize=8)
def _harmonics(lat: int, lon: int) -> Harmonics:
    return Harmonics(lat, lon)


def harmonics_of(grid: Grid) -> Harmonics:
    """Return the harmonics of a spherical grid; the same ones for grids of one size."""
    return _harmonics(grid.axes["lat"].size, grid.axes["lon"].size)
