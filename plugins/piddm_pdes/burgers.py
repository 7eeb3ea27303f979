r"""Viscous Burgers equation, the whole space-time as one field.

.. math:: \partial_t u + \partial_x \tfrac{u^2}{2} = \nu\,\partial_{xx} u,
    \qquad x\in[0,1)\text{ periodic},\ t\in[0,1],\ \nu = 0.01.
"""

from piddm import PDE, Axis, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, t, x

u = Field("u", doc="velocity")
nu = Param("nu", 0.01, doc="viscosity")

BURGERS = PDE(
    name="burgers",
    summary="1-D viscous Burgers on a periodic interval",
    grid=Grid(t=Axis(0, 1, 128, time=True), x=Axis(0, 1, 128, periodic=True)),
    fields=[u],
    params=[nu],
    equations={"momentum": D(u, t) + D(u**2 / 2, x) - nu * D(u, x, 2)},
    inputs={u.at(t=0): GaussianField(alpha=2.5, tau=7.0)},
    source="Li et al. (arXiv 2010.08895), as used by DiffusionPDE (arXiv 2406.17763)",
)
