r"""Kolmogorov flow with drag, as vorticity and stream function in space-time.

.. math:: \partial_t w + \partial_y\psi\,\partial_x w - \partial_x\psi\,\partial_y w
    = \frac{\Delta w}{Re} - 4\cos 4y - \mu w, \qquad \Delta\psi = -w, \qquad \int \psi = 0,

on the torus :math:`(0,2\pi)^2`, Re = 40, mu = 0.1. A random vorticity runs for ten units of time
before the data's first state, long enough for vortices of the flow's own.
"""

from math import pi

from sympy import cos

from piddm import PDE, Axis, Grid, Integral
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from piddm_pdes._vorticity import Vortices

w = Field("w", doc="vorticity")
psi = Field("psi", doc="stream function")
Re = Param("Re", 40.0, doc="Reynolds number")
mu = Param("mu", 0.1, doc="drag")

CIRCLE = Axis(0, 2 * pi, 64, periodic=True)
"""Either axis of the torus."""

ADVECTION = D(psi, y) * D(w, x) - D(psi, x) * D(w, y)
"""Advection of vorticity by the velocity of the stream function."""

KOLMOGOROV = PDE(
    name="kolmogorov",
    summary="2-D Kolmogorov flow on a torus, with drag, after burn-in",
    grid=Grid(t=Axis(0, 1, 33, time=True), x=CIRCLE, y=CIRCLE),
    fields=[w, psi],
    params=[Re, mu],
    equations={
        "transport": D(w, t) + ADVECTION - laplace(w, [x, y]) / Re + 4 * cos(4 * y) + mu * w,
        "stream": laplace(psi, [x, y]) + w,
    },
    integrals={"mean": Integral(psi / CIRCLE.upper**2)},
    inputs={w.at(t=0): GaussianField(alpha=2.5, tau=7.0)},
    simulate=Vortices(burn_in=10.0),
    source="Shu et al. (arXiv 2211.14680), as used by PBFM (arXiv 2506.08604); Re of PINO",
)
