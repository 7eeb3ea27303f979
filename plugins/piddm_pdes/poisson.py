r"""Poisson's equation on a square, with a random source.

.. math:: +\Delta u = a \text{ in } (0,1)^2, \qquad u = 0 \text{ on the edge}.

The sign is the one of the published data.
"""

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import GaussianField
from piddm.symbolic import Field, laplace, x, y

a = Field("a", doc="source")
u = Field("u", doc="potential")

POISSON = PDE(
    name="poisson",
    summary="2-D Poisson's equation with a random source",
    grid=Grid(x=Axis(0, 1, 128), y=Axis(0, 1, 128)),
    fields=[a, u],
    equations={"balance": laplace(u, [x, y]) - a},
    conditions={"wall": Dirichlet(u, 0)},
    inputs={a: GaussianField(alpha=2.0, tau=3.0)},
    source="Huang et al., DiffusionPDE (arXiv 2406.17763)",
)
