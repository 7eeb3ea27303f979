r"""Navier-Stokes equations of a plane flow, as vorticity and stream function in space-time.

.. math:: \partial_t w + \partial_y\psi\,\partial_x w - \partial_x\psi\,\partial_y w
    = 10^{-3}\,\Delta w + f, \qquad \Delta\psi = -w, \qquad \int \psi = 0,

on the torus :math:`(0,1)^2`, t in [0, 1], f = 0.1 (sin 2 pi(x+y) + cos 2 pi(x+y)). The velocity is
:math:`(\partial_y\psi, -\partial_x\psi)`. The factor sqrt 2 of the first vorticity is the one of
the published data.
"""

from sympy import cos, pi, sin

from piddm import PDE, Axis, Grid, Integral
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from piddm_pdes._vorticity import Vortices

w = Field("w", doc="vorticity")
psi = Field("psi", doc="stream function")
nu = Param("nu", 1e-3, doc="viscosity")

CIRCLE = Axis(0, 1, 128, periodic=True)
"""Either axis of the torus."""

ADVECTION = D(psi, y) * D(w, x) - D(psi, x) * D(w, y)
"""Advection of vorticity by the velocity of the stream function."""

FORCING = 0.1 * (sin(2 * pi * (x + y)) + cos(2 * pi * (x + y)))
"""Steady source of vorticity (Li et al., arXiv 2010.08895)."""

NAVIER_STOKES = PDE(
    name="navier-stokes",
    summary="2-D Navier-Stokes on a torus, vorticity and stream function",
    grid=Grid(t=Axis(0, 1, 17, time=True), x=CIRCLE, y=CIRCLE),
    fields=[w, psi],
    params=[nu],
    equations={
        "transport": D(w, t) + ADVECTION - nu * laplace(w, [x, y]) - FORCING,
        "stream": laplace(psi, [x, y]) + w,
    },
    integrals={"mean": Integral(psi)},
    inputs={w.at(t=0): GaussianField(alpha=2.5, tau=7.0, scale=2**0.5)},
    simulate=Vortices(),
    source="Li et al. (arXiv 2010.08895), as used by DiffusionPDE (arXiv 2406.17763)",
)
