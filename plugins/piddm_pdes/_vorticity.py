r"""Data of vorticity equations on a torus, by Fourier transforms instead of factorisations.

The two equations are the plugin's own, in w and psi: ``transport``, of first order in time, and
``stream``. What is solved is their compiled residual R between two times, to round-off, by

.. math:: w^1 \leftarrow w^1 - L^{-1} R(w^0, w^1), \qquad L = \partial R/\partial w^1
    \text{ at rest},

advection being weak beside :math:`1/\Delta t`. Fourier modes are eigenvectors of L, whatever its
stencils; its eigenvalues are read off the residual, from a field that is 1 at one node.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from piddm import PDE, Grid, PiddmError
from piddm.interfaces import Residual

LIMIT = 200
"""Corrections of a step, at most."""

EXACT, ROUGH = 1e-14, 1e-3
"""Size of a last correction over that of w: of data, and of the way to their first state."""

SPEED = 4.0
"""A flow of this speed gets from node to node in a step on the way to the first state."""


@dataclass(frozen=True)
class Vortices:
    """A ``simulate`` for equations of w and psi.

    Args:
        burn_in: Time from the drawn vorticity to the first state of the data.
    """

    burn_in: float = 0.0

    def __call__(
        self, pde: PDE, grid: Grid, count: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Draw w, march, and return w and psi, ``(count, *grid.shape)``, float64."""
        (prior,) = pde.inputs.values()
        w = prior.sample(grid.without("t"), count, generator)
        if steps := math.ceil(SPEED * self.burn_in / grid.axes["x"].spacing):
            early = _March(pde, grid, self.burn_in / steps, ROUGH)
            for _ in range(steps):
                w = early.after(w)
        march, states = _March(pde, grid, grid.axes["t"].spacing, EXACT), [w]
        while len(states) < grid.shape[0]:
            states.append(march.after(states[-1]))
        return march.both(torch.stack(states, 1))


class _March:
    """One step after the other, each as long as the last."""

    def __init__(self, pde: PDE, grid: Grid, step: float, enough: float) -> None:
        time = replace(grid.axes["t"], upper=grid.axes["t"].lower + step, size=2)
        self.residual = pde.bind(Grid(**grid.axes | {"t": time}))
        self.step, self.enough = step, enough
        self.implicit = _eigenvalues(self.residual, "transport", "w")
        self.laplacian = _eigenvalues(self.residual, "stream", "psi")
        # The mean of psi is zero, and so stays that of w, of which it is no function.
        self.laplacian[0, 0] = torch.inf
        self.last: Tensor | None = None

    def both(self, w: Tensor) -> dict[str, Tensor]:
        return {"w": w, "psi": irfft2(-rfft2(w) / self.laplacian, w.shape[-2:])}

    def after(self, w: Tensor) -> Tensor:
        """Return the vorticity a step later."""
        new = w if self.last is None else 2 * w - self.last
        self.last, size = w, float(w.square().mean().sqrt())
        for _ in range(LIMIT):
            rows = self.residual(self.both(torch.stack([w, new], 1)))["transport"][:, 0]
            move = irfft2(rfft2(rows) / self.implicit, w.shape[-2:])
            new = new - move
            if float(move.square().mean().sqrt()) <= self.enough * size:
                return new
        raise PiddmError(f"a step of {self.step:.2g} is too long for the flow; ask for more times")


def _eigenvalues(residual: Residual, row: str, field: str) -> Tensor:
    """Return those of the linear part of a row in a field at the later time, by Fourier mode."""
    rest = {k: torch.zeros(1, *residual.grid.shape).double() for k in residual.field_names}
    node = rest[field].clone()
    node[0, 1, 0, 0] = 1
    response = residual(rest | {field: node})[row] - residual(rest)[row]
    return rfft2(response[0, -1])
