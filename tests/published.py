"""Fields that are known in closed form, and how far they are from an equation: for test files.

Fields are sympy expressions of the coordinates and of the sample's number. The residual of an
equation is worked out by differentiating them, which knows no grid, no stencil and no scheme.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sympy
from scipy import sparse
from scipy.integrate import solve_ivp
from scipy.sparse import linalg

from piddm import PDE

T, X, Y, Z, SAMPLE = sympy.symbols("T X Y Z SAMPLE", real=True)
"""Time, coordinates, and the number of the sample, from 0."""

SYMBOLS = {"t": T, "x": X, "y": Y, "z": Z}

COUNT = 3
"""Samples of a file."""

PI = sympy.pi


@dataclass
class Known:
    """A file in a published layout, and all that must be found in it.

    Args:
        path: The file.
        pde: The equation that it is of.
        axes: By name: the nodes, the ends, whether it is periodic.
        orders: Field to the names of its array's axes.
        error: Equation, or condition, to its normalised error.
        keys: Field to the array.
        channels: Field to the channel.
        factors: Field to what its values are multiplied by.
        params: Param to its value.
        distance: Of frames that are far apart, field to the relative distance of the file's from
            the equation's own solution.
    """

    path: Path
    pde: PDE
    axes: Mapping[str, tuple[np.ndarray, tuple[float, float], bool]]
    orders: Mapping[str, str]
    error: Mapping[str, float]
    keys: Mapping[str, str] = field(default_factory=dict)
    channels: Mapping[str, int] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, float] = field(default_factory=dict)
    distance: Mapping[str, float] = field(default_factory=dict)


Axes = Mapping[str, np.ndarray]
"""Nodes by the axis' name, in order."""


def values(expression: Any, axes: Axes, count: int = COUNT) -> np.ndarray:
    """Return an expression on a grid, ``(count, *axes)``."""
    call = sympy.lambdify([SAMPLE, *(SYMBOLS[k] for k in axes)], expression, "numpy")
    mesh = np.meshgrid(np.arange(float(count)), *axes.values(), indexing="ij", sparse=True)
    shape = (count, *map(len, axes.values()))
    return np.broadcast_to(call(*mesh), shape).astype(np.float64)


def error(terms: Sequence[Any], axes: Axes, count: int = COUNT) -> float:
    """Return the mean square of a sum of terms over that of the largest one."""
    return relative([values(term, axes, count) for term in terms])


def relative(parts: Sequence[np.ndarray]) -> float:
    """Return the mean square of a sum over that of its largest term, from their values."""
    return float((sum(parts) ** 2).mean() / max((p**2).mean() for p in parts))


def apart(theirs: np.ndarray, own: np.ndarray) -> float:
    """Return how far solutions are from others, over their deviation, a mean over samples."""
    dims = tuple(range(1, theirs.ndim))
    size = ((theirs - theirs.mean(dims, keepdims=True)) ** 2).sum(dims)
    return float(np.sqrt(((theirs - own) ** 2).sum(dims) / size).mean())


def laplacian(u: Any, *along: sympy.Symbol) -> Any:
    """Return the sum of second derivatives."""
    return sum(sympy.diff(u, x, 2) for x in along)


def marched(
    rate: Callable[[float, np.ndarray], np.ndarray], first: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """Return the solution of an ordinary system at some times, ``(times, *first.shape)``."""
    found = solve_ivp(
        lambda at, u: rate(at, u.reshape(first.shape)).ravel(), (t[0], t[-1]), first.ravel(),
        t_eval=t, method="LSODA", rtol=1e-8, atol=1e-10,
    )  # fmt: skip
    assert found.success
    return found.y.T.reshape(len(t), *first.shape)


def second_difference(u: np.ndarray, h: float, axis: int) -> np.ndarray:
    """Return second differences between cells whose outer walls let nothing through."""
    pads = [(1, 1) if d == axis % u.ndim else (0, 0) for d in range(u.ndim)]
    return np.diff(np.pad(u, pads, mode="edge"), 2, axis=axis) / h**2


def cole(nu: float, off: float = 0.003) -> tuple:
    """A solution of Burgers' equation by Hopf and Cole and a small wave, and its terms."""
    theta = 1 + sum(
        (0.3 - 0.05 * SAMPLE) / k * sympy.exp(-nu * (2 * PI * k) ** 2 * T)
        * sympy.cos(2 * PI * k * X + k + SAMPLE)
        for k in (1, 2)
    )  # fmt: skip
    u = -2 * nu * sympy.diff(theta, X) / theta + off * sympy.sin(2 * PI * X)
    return u, [sympy.diff(u, T), sympy.diff(u**2 / 2, X), -nu * sympy.diff(u, X, 2)]


def seeped(medium: np.ndarray, source: np.ndarray, location: str) -> tuple[np.ndarray, float]:
    """Solve div (a grad u) = -source by finite volumes; return u and how far it is from source 1.

    ``source`` is compared with its mean over all. On cells walls are half a cell away, on vertices
    they are the outermost nodes.
    """
    n = medium.shape[-1]
    h = 1 / n if location == "centre" else 1 / (n - 1)
    out = np.zeros_like(medium)
    inside = (...,) if location == "centre" else (slice(1, -1), slice(1, -1))
    parts: list[list[np.ndarray]] = [[], []]
    for own, right, u in zip(medium, source, out, strict=True):
        flux = [_flux(own, axis, h, location) for axis in (0, 1)]
        matrix = (flux[0] + flux[1]).tocsc()
        u[inside] = linalg.spsolve(matrix, -right[inside].ravel()).reshape(u[inside].shape)
        for part, f in zip(parts, flux, strict=True):
            part.append(f @ u[inside].ravel())
    size = np.full_like(np.stack(parts[0]), source.mean())
    return out, relative([np.stack(parts[0]), np.stack(parts[1]), size])


def _flux(a: np.ndarray, axis: int, h: float, location: str) -> sparse.csr_matrix:
    """Return the matrix of d/dx (a du/dx) along an axis, u = 0 at the walls."""
    a = np.moveaxis(a, axis, 0)
    middle = (a[1:] + a[:-1]) / 2
    faces = np.concatenate([2 * a[:1], middle, 2 * a[-1:]]) if location == "centre" else middle
    faces = faces if location == "centre" else faces[:, 1:-1]
    n, lines = faces.shape[0] - 1, faces.shape[1]
    index = np.arange(n * lines).reshape(n, lines)
    rows, columns, entries = [index], [index], [-(faces[1:] + faces[:-1])]
    rows += [index[1:], index[:-1]]
    columns += [index[:-1], index[1:]]
    entries += [faces[1:-1], faces[1:-1]]
    matrix = sparse.coo_matrix(
        tuple([np.concatenate([v.ravel() for v in entries]) / h**2,
               tuple(np.concatenate([v.ravel() for v in k]) for k in (rows, columns))]),
        shape=(n * lines, n * lines),
    ).tocsr()  # fmt: skip
    if axis == 0:
        return matrix
    order = index.T.ravel()  # nodes in the order of the other axis
    return matrix[order][:, order]
