r"""Reaction and diffusion with an unknown inflow at both ends, the whole space-time as one field.

.. math:: \partial_t u = \nu\,\partial_{xx} u + \rho\,u(1-u), \qquad
    -\nu\,\partial_x u = g_L \text{ at } x = 0, \quad -\nu\,\partial_x u = g_R \text{ at } x = 1,

with nu = 0.005, rho = 0.01, g_L ~ U(0, 0.05), g_R ~ U(-0.05, 0), t in [0, 1]. The initial state is
a sum of two sines of up to three waves, brought to the range from 0 to 1.
"""

from piddm import PDE, Axis, Grid, Neumann
from piddm.priors import Sines, Uniform, UnitRange
from piddm.symbolic import D, Field, Param, t, x

u = Field("u", doc="concentration")
nu = Param("nu", 0.005, doc="diffusivity")
rho = Param("rho", 0.01, doc="growth rate")
left = Param("gL", 0.025, doc="flux at x = 0, along x", free=True)
right = Param("gR", -0.025, doc="flux at x = 1, along x", free=True)

REACTION_DIFFUSION = PDE(
    name="reaction-diffusion",
    summary="1-D reaction-diffusion with unknown fluxes at both ends",
    grid=Grid(t=Axis(0, 1, 100, time=True), x=Axis(0, 1, 128)),
    fields=[u],
    params=[nu, rho, left, right],
    equations={"balance": D(u, t) - nu * D(u, x, 2) - rho * u * (1 - u)},
    conditions={
        "left": Neumann(u.at(x=0), left / nu),
        "right": Neumann(u.at(x=1), -right / nu),
    },
    inputs={
        u.at(t=0): UnitRange(Sines(count=2, waves=(1, 3))),
        left: Uniform(0.0, 0.05),
        right: Uniform(-0.05, 0.0),
    },
    source="Utkarsh et al., PCFM (arXiv 2506.04171)",
)
