r"""Allen-Cahn equation, the whole space-time as one field.

.. math:: \partial_t u = 10^{-4}\,\partial_{xx} u + 5u - 5u^3,
    \qquad x\in[-1,1)\text{ periodic},\ t\in[0,1].

Equation, domain and grid are those of the networks trained on it without data, which start from
x^2 cos(pi x) alone; here the initial state is a random field.
"""

from piddm import PDE, Axis, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, t, x

u = Field("u", doc="phase, from -1 to 1")
epsilon = Param("epsilon", 1e-4, doc="diffusivity")
rho = Param("rho", 5.0, doc="growth rate")

ALLEN_CAHN = PDE(
    name="allen-cahn",
    summary="1-D Allen-Cahn on a periodic interval",
    grid=Grid(t=Axis(0, 1, 201, time=True), x=Axis(-1, 1, 512, periodic=True)),
    fields=[u],
    params=[epsilon, rho],
    equations={"balance": D(u, t) - epsilon * D(u, x, 2) - rho * (u - u**3)},
    inputs={u.at(t=0): GaussianField(alpha=2.5, tau=7.0)},
    source="Raissi et al., Physics-informed neural networks (arXiv 1711.10561)",
)
