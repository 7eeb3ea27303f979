r"""Fisher's equation of Kolmogorov, Petrovsky and Piskunov, the whole space-time as one field.

.. math:: \partial_t u = \nu\,\partial_{xx} u + \rho\,u(1-u),
    \qquad x\in[0,1)\text{ periodic},\ t\in[0,1],\ \nu = 0.5,\ \rho = 1,

from a sum of two sines of up to four waves, brought to the range from 0 to 1.
"""

from piddm import PDE, Axis, Grid
from piddm.priors import Sines, UnitRange
from piddm.symbolic import D, Field, Param, t, x

u = Field("u", doc="share of the population")
nu = Param("nu", 0.5, doc="diffusivity")
rho = Param("rho", 1.0, doc="growth rate")

FISHER_KPP = PDE(
    name="fisher-kpp",
    summary="1-D Fisher-KPP on a periodic interval",
    grid=Grid(t=Axis(0, 1, 101, time=True), x=Axis(0, 1, 1024, periodic=True)),
    fields=[u],
    params=[nu, rho],
    equations={"balance": D(u, t) - nu * D(u, x, 2) - rho * u * (1 - u)},
    inputs={u.at(t=0): UnitRange(Sines(count=2, waves=(1, 4)))},
    source="Takamoto et al., PDEBench (arXiv 2210.07182)",
)
