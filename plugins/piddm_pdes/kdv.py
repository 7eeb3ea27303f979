r"""Korteweg-de Vries equation, the whole space-time as one field.

.. math:: \partial_t u + \partial_x \tfrac{u^2}{2} + 0.0025\,\partial_{xxx} u = 0,
    \qquad x\in[-1,1)\text{ periodic},\ t\in[0,1].

Networks trained on it without data start from cos(pi x) alone; here one wave and two, of random
size and phase, are added up, which steepen and break up into trains of pulses as that one does.
Pulses travel by their dispersion, to which differences of second order would add their own.
"""

from piddm import PDE, Axis, Grid
from piddm.priors import Sines
from piddm.symbolic import D, Field, Param, t, x

u = Field("u", doc="height of the wave")
delta = Param("delta", 0.0025, doc="dispersion")

KDV = PDE(
    name="kdv",
    summary="1-D Korteweg-de Vries on a periodic interval",
    grid=Grid(t=Axis(0, 1, 201, time=True), x=Axis(-1, 1, 512, periodic=True)),
    fields=[u],
    params=[delta],
    equations={"momentum": D(u, t) + D(u**2 / 2, x) + delta * D(u, x, 3)},
    order=6,
    inputs={u.at(t=0): Sines(count=2, waves=(1, 2), amplitude=(0.25, 0.75))},
    source="Raissi et al., Physics-informed neural networks (arXiv 1711.10566)",
)
