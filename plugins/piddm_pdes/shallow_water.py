r"""Shallow water on the rotating Earth: geopotential, vorticity, divergence in space-time.

.. math::
    \partial_t\phi + \nabla\cdot((\Phi + \phi)v) &= -\nu\Delta^4\phi, \qquad
    \partial_t\zeta + \nabla\cdot A = -\nu\Delta^4\zeta, \\
    \partial_t\delta - \nabla\times A + \nabla\cdot\nabla(\phi + |v|^2/2) &= -\nu\Delta^4\delta,

with :math:`v = k\times\nabla\Delta^{-1}\zeta + \nabla\Delta^{-1}\delta`,
:math:`A = (\zeta + 2\Omega\sin\varphi)\,v`. Units are the Earth's radius and an hour, so that no
term is tiny; phi is the geopotential less Phi, that of 10 km. Hyperdiffusion damps degree 32 by e
in 3 hours: scale nu with degree^-8. First states have winds of 20 m/s and depths that do not
balance them: gravity waves run at once.
"""

from sympy import sin

from piddm import PDE, Axis, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, curl, div, grad, laplace, lat, lon, t
from piddm_pdes._sphere import Marching, gravity_waves, wind

HOUR, RADIUS, SPHERE = 3600.0, 6.37122e6, [lat, lon]
"""Seconds of an hour, metres of the Earth's radius, and the axes."""

phi = Field("phi", doc="geopotential less its mean", unit="R^2/h^2")
zeta = Field("zeta", doc="relative vorticity", unit="1/h")
delta = Field("delta", doc="divergence", unit="1/h")
Omega = Param("Omega", 7.292e-5 * HOUR, doc="rotation rate, 1/h")
Phi = Param("Phi", 9.80616 * 1e4 * (HOUR / RADIUS) ** 2, doc="mean geopotential, R^2/h^2")
nu = Param("nu", 1 / (3 * 1056.0**4), doc="hyperdiffusivity, R^8/h")

V = wind(zeta, delta)
A = [(zeta + 2 * Omega * sin(lat)) * v for v in V]
LIFT = div(grad(phi + (V[0] ** 2 + V[1] ** 2) / 2, SPHERE), SPHERE)
FLOW = div([(Phi + phi) * v for v in V], SPHERE)
"""Laplacian of geopotential and kinetic energy; divergence of the flux of geopotential."""

PHI, ZETA, DELTA = (nu * laplace(u, SPHERE, 4) for u in (phi, zeta, delta))
"""Hyperdiffusion of each field."""

SHALLOW_WATER = PDE(
    name="shallow-water",
    summary="Shallow water on the rotating Earth: geopotential, vorticity, divergence",
    grid=Grid.sphere(32, t=Axis(0, 7.5, 16, time=True)),
    fields=[phi, zeta, delta],
    params=[Omega, Phi, nu],
    equations={
        "mass": D(phi, t) + FLOW + PHI,
        "vorticity": D(zeta, t) + div(A, SPHERE) + ZETA,
        "divergence": D(delta, t) - curl(A, SPHERE) + LIFT + DELTA,
    },
    inputs={
        phi.at(t=0): GaussianField(alpha=3.0, tau=5.0, scale=1e-3),
        zeta.at(t=0): GaussianField(alpha=3.0, tau=5.0, scale=0.04),
        delta.at(t=0): GaussianField(alpha=3.0, tau=5.0, scale=0.004),
    },
    order="spectral",
    simulate=Marching(gravity_waves),
    source="Bonev et al., Spherical Fourier Neural Operators (arXiv 2306.03838), random states",
)
