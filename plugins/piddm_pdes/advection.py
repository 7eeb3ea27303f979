r"""Linear advection of two sine waves, the whole space-time as one field.

.. math:: \partial_t u + \beta\,\partial_x u = 0, \qquad u(0, x) = \sum_{i=1}^{2} A_i
    \sin(2\pi n_i x + \varphi_i), \qquad x\in[0,1)\text{ periodic},\ t\in[0,2],

with whole n in 1..8, A ~ U(0, 1), phi ~ U(0, 2 pi) and beta = 0.4, one of the published speeds.
Of eight nodes a wave, differences of second order would make a wave a tenth too slow.
"""

from piddm import PDE, Axis, Grid
from piddm.priors import Sines
from piddm.symbolic import D, Field, Param, t, x

u = Field("u", doc="concentration")
beta = Param("beta", 0.4, doc="speed")

ADVECTION = PDE(
    name="advection",
    summary="1-D linear advection of two sine waves",
    grid=Grid(t=Axis(0, 2, 201, time=True), x=Axis(0, 1, 1024, periodic=True)),
    fields=[u],
    params=[beta],
    equations={"transport": D(u, t) + beta * D(u, x)},
    order=6,
    inputs={u.at(t=0): Sines(count=2, waves=(1, 8))},
    source="Takamoto et al., PDEBench (arXiv 2210.07182)",
)
