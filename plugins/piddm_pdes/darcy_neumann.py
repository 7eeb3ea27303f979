r"""Darcy flow from one corner of a closed square to the opposite one.

.. math:: -\nabla\cdot(K\nabla p) = f \text{ in } (0,1)^2, \qquad \partial_n p = 0 \text{ on the
    edge}, \qquad \int p\,dx\,dy = 0,

with f = 10 in a square of width 1/8 at the lower corner, -10 at the upper one, and log K a
Gaussian field of 64 modes. What flows in must flow out, which a discrete medium upsets a little:
the free param c takes up the difference, of second order in the spacing.
"""

from sympy import Heaviside, Rational

from piddm import PDE, Axis, Grid, Integral, Neumann
from piddm.priors import KarhunenLoeve, LogNormal
from piddm.symbolic import D, Field, Param, x, y

K = Field("K", doc="permeability")
p = Field("p", doc="pressure")
c = Param("c", 0.0, doc="what the sources lack of balance", free=True)

WIDTH = Rational(1, 8)
"""Side of the source and of the sink, over that of the box."""

LOWER = Heaviside(WIDTH - x) * Heaviside(WIDTH - y)
"""1 where the source is."""

UPPER = Heaviside(x - 1 + WIDTH) * Heaviside(y - 1 + WIDTH)
"""1 where the sink is."""

DARCY_NEUMANN = PDE(
    name="darcy-neumann",
    summary="2-D Darcy flow through a smooth medium, source and sink in a closed box",
    grid=Grid(x=Axis(0, 1, 64), y=Axis(0, 1, 64)),
    fields=[K, p],
    params=[c],
    equations={"mass": D(K * D(p, x), x) + D(K * D(p, y), y) + 10 * (LOWER - UPPER) - c},
    conditions={"wall": Neumann(p, 0)},
    integrals={"mean": Integral(p, 0)},
    inputs={K: LogNormal(KarhunenLoeve(length=0.1, modes=64))},
    source="Bastek et al., PIDM (arXiv 2403.14404); Jacobsen et al., CoCoGen (arXiv 2312.10527)",
)
