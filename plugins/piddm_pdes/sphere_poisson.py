r"""Poisson's equation on the unit sphere, with a random source.

.. math:: \Delta u = a, \qquad \int u\,dA = 0,

with the operator of Laplace and Beltrami. The source has mean zero, which a solution needs. Its
law is that of the planar equation, in harmonics.
"""

import torch
from torch import Tensor

from piddm import PDE, Grid, Integral
from piddm.grids.harmonics import harmonics_of
from piddm.priors import GaussianField
from piddm.symbolic import Field, laplace, lat, lon

a = Field("a", doc="source")
u = Field("u", doc="potential")


def solve(pde: PDE, grid: Grid, count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw the source and divide its harmonics by their eigenvalues."""
    (prior,) = pde.inputs.values()
    source = prior.sample(grid, count, generator)
    return {"a": source, "u": harmonics_of(grid).laplace(-1)(source)}


SPHERE_POISSON = PDE(
    name="sphere-poisson",
    summary="Poisson's equation on the sphere with a random source",
    grid=Grid.sphere(32),
    fields=[a, u],
    equations={"balance": laplace(u, [lat, lon]) - a},
    integrals={"mean": Integral(u)},
    inputs={a: GaussianField(alpha=2.0, tau=3.0)},
    order="spectral",
    simulate=solve,
    source="Bonev et al., Spherical Fourier Neural Operators (arXiv 2306.03838), for the harmonics",
)
