r"""Stokes' second problem: a fluid above a wall that swings in its own plane.

.. math:: \partial_t u = \nu\,\partial_{yy} u, \quad \nu = \frac{\omega d^2}{2}, \qquad
    u = A e^{-y/d}\cos(y/d - \omega t) \text{ at } y = 0,\ y = 1 \text{ and } t = 0,

with k = 1/d ~ U(2, 20), omega ~ U(2, 8), A = 2, for y and t from 0 to 1: the right side of the
conditions is the solution itself. Networks see only u. The depth d is found from u more surely
than k, which noise drives to infinity; its sign says nothing.
"""

from sympy import Abs, cos, exp

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import Inverse, Uniform
from piddm.symbolic import D, Field, Param, t, y

u = Field("u", doc="velocity along the wall")
d = Param("d", 0.25, doc="depth to which the motion reaches", free=True)
omega = Param("omega", 6.0, doc="frequency of the wall", free=True)
A = Param("A", 2.0, doc="speed of the wall")

EXACT = A * exp(-y / Abs(d)) * cos(y / Abs(d) - omega * t)
"""The solution after long times."""

STOKES = PDE(
    name="stokes",
    summary="1-D Stokes' second problem: a fluid above a swinging wall",
    grid=Grid(t=Axis(0, 1, 100, time=True), y=Axis(0, 1, 100)),
    fields=[u],
    params=[d, omega, A],
    equations={"momentum": D(u, t) - omega * d**2 / 2 * D(u, y, 2)},
    conditions={
        "wall": Dirichlet(u.at(y=0), EXACT.subs(y, 0)),
        "far": Dirichlet(u.at(y=1), EXACT.subs(y, 1)),
        "start": Dirichlet(u.at(t=0), EXACT.subs(t, 0)),
    },
    inputs={d: Inverse(Uniform(2.0, 20.0)), omega: Uniform(2.0, 8.0)},
    source="Cheng et al., ECI (arXiv 2412.01786)",
)
