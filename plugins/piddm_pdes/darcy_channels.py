r"""Darcy flow through buried channels: a medium whose law is no map of a Gaussian field.

.. math:: -\nabla\cdot(a\nabla u) = 1 \text{ in } (0,1)^2, \qquad u = 0 \text{ on the edge},

with a = 12 inside two or three meandering channels that cross from left to right, else 1. What
tells this law from a Gaussian one cut at a level is that its phases are connected, which no
covariance sees: the channels of the geostatistical literature, after Strebelle, Mathematical
Geology 34, 2002, drawn by sines of random place, slope, length and phase.
"""

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import Channels
from piddm.symbolic import D, Field, x, y

a = Field("a", doc="permeability")
u = Field("u", doc="pressure")

DARCY_CHANNELS = PDE(
    name="darcy-channels",
    summary="2-D Darcy flow through meandering channels, a law of connected phases",
    grid=Grid(x=Axis(0, 1, 128), y=Axis(0, 1, 128)),
    fields=[a, u],
    equations={"mass": D(a * D(u, x), x) + D(a * D(u, y), y) + 1},
    conditions={"wall": Dirichlet(u, 0)},
    inputs={a: Channels()},
    source="Darcy flow of Li et al. (arXiv 2010.08895) through channels after Strebelle (2002)",
)
