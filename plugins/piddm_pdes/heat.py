r"""Heat equation with an unknown diffusivity, the whole space-time as one field.

.. math:: \partial_t u = \nu\,\partial_{xx} u, \qquad u(0, x) = \sin(x + \varphi),
    \qquad x\in[0,2\pi)\text{ periodic},\ t\in[0,1],

with nu ~ U(1, 5) and phi ~ U(0, pi): u = sin(x + phi) exp(-nu t). Networks see only u.
"""

from math import pi

from piddm import PDE, Axis, Grid
from piddm.priors import Sines, Uniform
from piddm.symbolic import D, Field, Param, t, x

u = Field("u", doc="temperature")
nu = Param("nu", 3.0, doc="diffusivity", free=True)

HEAT = PDE(
    name="heat",
    summary="1-D heat equation with an unknown diffusivity",
    grid=Grid(t=Axis(0, 1, 100, time=True), x=Axis(0, 2 * pi, 100, periodic=True)),
    fields=[u],
    params=[nu],
    equations={"balance": D(u, t) - nu * D(u, x, 2)},
    inputs={
        u.at(t=0): Sines(count=1, waves=(1, 1), amplitude=(1.0, 1.0), phase=(0.0, 0.5)),
        nu: Uniform(1.0, 5.0),
    },
    source="Cheng et al., ECI (arXiv 2412.01786); Utkarsh et al., PCFM (arXiv 2506.04171)",
)
