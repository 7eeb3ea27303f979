r"""Data of equations on a sphere: the residual's own rows to round-off, step by step.

What is solved is the compiled residual R between two times, by

.. math:: x^1 \leftarrow x^1 - L^{-1} R(x^0, x^1), \qquad L \approx \partial R/\partial x^1,

with L what the plugin names of the linear part: diagonal in spherical harmonics, or a small matrix
for each degree. The rest, such as advection, must be weak beside :math:`1/\Delta t`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from piddm import PDE, Grid, PiddmError
from piddm.grids.harmonics import Harmonics, harmonics_of
from piddm.symbolic import Field, grad, inverse_laplace, lat, lon, rotated_grad

LIMIT = 200
"""Corrections of a step, at most."""

EXACT = 1e-14
"""Size of a last correction over that of a field."""

SLOW = 0.95
"""A correction that falls by less, once small, is round-off."""

State = dict[str, Tensor]
Inverse = Callable[[State], State]
"""Rows by equation to what to subtract from each field at the later time."""


Invert = Callable[[PDE, Harmonics, float], Inverse]
"""From harmonics and step to the inverse of the linear part."""


@dataclass(frozen=True)
class Marching:
    """A ``simulate`` for equations of first order in time, a row and a field each."""

    invert: Invert

    def __call__(
        self, pde: PDE, grid: Grid, count: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw the first state, march, and return the fields."""
        on = grid.without("t")
        start = {i.field.name: law.sample(on, count, generator) for i, law in pde.inputs.items()}  # pyright: ignore
        return march(pde, grid, start, self.invert)


def march(pde: PDE, grid: Grid, start: State, invert: Invert, exact: float = EXACT) -> State:
    """Return all times, ``(count, *grid.shape)``, float64.

    Args:
        pde: Equations of first order in time, a row and a field each.
        grid: The grid, with times t.
        start: Fields at the first time, ``(count, lat, lon)``.
        invert: The linear part's inverse.
        exact: When a step is done: see ``EXACT``.
    """
    times = grid.axes["t"]
    pair = replace(times, upper=times.lower + times.spacing, size=2)
    residual = pde.bind(Grid(**grid.axes | {"t": pair}))
    inverse = invert(pde, harmonics_of(grid), times.spacing)
    states = [start]
    while len(states) < times.size:
        now, last = states[-1], states[max(len(states) - 2, 0)]
        new = {k: 2 * v - last[k] for k, v in now.items()}
        size = {k: float(v.square().mean().sqrt()) or 1.0 for k, v in now.items()}
        before = float("inf")
        for _ in range(LIMIT):
            rows = residual({k: torch.stack([v, new[k]], 1) for k, v in now.items()})
            move = inverse({k: v[:, 0] for k, v in rows.items()})
            new = {k: v - move[k] for k, v in new.items()}
            after = max(float(v.square().mean().sqrt()) / size[k] for k, v in move.items())
            if after <= exact or (after <= 1e3 * exact and after > SLOW * before):
                break
            before = after
        else:
            raise PiddmError(f"a step of {times.spacing:.2g} is too long; ask for more times")
        states.append(new)
    return {k: torch.stack([state[k] for state in states], 1) for k in start}


def wind(zeta: Field, delta: Field) -> list[Any]:
    """Return the velocity that has a vorticity and a divergence, northward and eastward."""
    turning = rotated_grad(inverse_laplace(zeta, [lat, lon]), [lat, lon])
    spreading = grad(inverse_laplace(delta, [lat, lon]), [lat, lon])
    return [a + b for a, b in zip(turning, spreading, strict=True)]


def gravity_waves(pde: PDE, space: Harmonics, step: float) -> Inverse:
    r"""Invert gravity waves at rest and hyperdiffusion, degree by degree.

    With s the eigenvalue of the Laplacian, :math:`a = 1/\Delta t + \nu s^4/2`, the rows
    :math:`a\phi + \Phi\delta/2 = r_\phi` and :math:`a\delta + s\phi/2 = r_\delta`.
    """
    mean, nu = (next(p.value for p in pde.params if p.name == name) for name in ("Phi", "nu"))
    s = space.eigenvalues
    a = 1 / step + nu * s**4 / 2
    both = a**2 - mean * s / 4
    rest = float(1 / a[-1])  # what is no harmonic takes no part in waves
    alone, own = space.diagonal(1 / a, rest), space.diagonal(a / both, rest)
    to_phi, to_delta = space.diagonal(-mean / 2 / both), space.diagonal(-s / 2 / both)

    def inverse(rows: State) -> State:
        mass, divergence = rows["mass"], rows["divergence"]
        return {
            "phi": own(mass) + to_phi(divergence),
            "zeta": alone(rows["vorticity"]),
            "delta": own(divergence) + to_delta(mass),
        }

    return inverse


def diffusion_and_growth(pde: PDE, space: Harmonics, step: float) -> Inverse:
    """Invert diffusion, and the growth of u - u^3 half way between that at u = 0 and at u = 2."""
    epsilon, rho = (p.value for p in pde.params)
    factors = 1 / step - (epsilon * space.eigenvalues - 5 * rho) / 2
    inverse = space.diagonal(1 / factors, float(1 / factors[-1]))
    return lambda rows: {"u": inverse(rows["balance"])}
