r"""Darcy flow through a medium of two phases.

.. math:: -\nabla\cdot(a\nabla u) = 1 \text{ in } (0,1)^2, \qquad u = 0 \text{ on the edge},

with a = 12 where a Gaussian field is at least 0, else 3. The flux is conservative, with the
arithmetic mean of a on the faces: the residual stays bilinear in (a, u).
"""

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import GaussianField, TwoPhase
from piddm.symbolic import D, Field, x, y

a = Field("a", doc="permeability")
u = Field("u", doc="pressure")

DARCY = PDE(
    name="darcy",
    summary="2-D Darcy flow through a two-phase medium",
    grid=Grid(x=Axis(0, 1, 128), y=Axis(0, 1, 128)),
    fields=[a, u],
    equations={"mass": D(a * D(u, x), x) + D(a * D(u, y), y) + 1},
    conditions={"wall": Dirichlet(u, 0)},
    inputs={a: TwoPhase(GaussianField(alpha=2.0, tau=3.0), low=3.0, high=12.0)},
    source="Li et al. (arXiv 2010.08895), as used by DiffusionPDE (arXiv 2406.17763)",
)
