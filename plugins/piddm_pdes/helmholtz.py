r"""Helmholtz' equation on a square, with a random source that vanishes on the edge.

.. math:: +\Delta u + k^2 u = a \text{ in } (0,1)^2, \qquad u = a = 0 \text{ on the edge},\ k = 1.
"""

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import GaussianField, ZeroOnEdge
from piddm.symbolic import Field, Param, laplace, x, y

a = Field("a", doc="source")
u = Field("u", doc="amplitude of the wave")
k = Param("k", 1.0, doc="wave number")

HELMHOLTZ = PDE(
    name="helmholtz",
    summary="2-D Helmholtz equation with a random source",
    grid=Grid(x=Axis(0, 1, 128), y=Axis(0, 1, 128)),
    fields=[a, u],
    params=[k],
    equations={"balance": laplace(u, [x, y]) + k**2 * u - a},
    conditions={"wall": Dirichlet(u, 0), "edge": Dirichlet(a, 0)},
    inputs={a: ZeroOnEdge(GaussianField(alpha=2.0, tau=3.0))},
    source="Huang et al., DiffusionPDE (arXiv 2406.17763)",
)
