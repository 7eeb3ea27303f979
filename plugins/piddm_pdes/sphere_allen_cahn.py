r"""Allen-Cahn equation on the unit sphere, the whole space-time as one field.

.. math:: \partial_t u = \varepsilon\,\Delta u + \rho\,(u - u^3),
    \qquad t\in[0,1],\ \varepsilon = 10^{-2},\ \rho = 5,

with the operator of Laplace and Beltrami. Fronts are about :math:`\sqrt{\varepsilon/\rho}` wide,
which the default grid resolves.
"""

from piddm import PDE, Axis, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, laplace, lat, lon, t
from piddm_pdes._sphere import Marching, diffusion_and_growth

u = Field("u", doc="phase, from -1 to 1")
epsilon = Param("epsilon", 1e-2, doc="diffusivity")
rho = Param("rho", 5.0, doc="growth rate")

SPHERE_ALLEN_CAHN = PDE(
    name="sphere-allen-cahn",
    summary="Allen-Cahn on the sphere",
    grid=Grid.sphere(32, t=Axis(0, 1, 16, time=True)),
    fields=[u],
    params=[epsilon, rho],
    equations={
        "balance": D(u, t) - epsilon * laplace(u, [lat, lon]) - rho * (u - u**3),
    },
    inputs={u.at(t=0): GaussianField(alpha=2.5, tau=4.0, scale=0.5)},
    order="spectral",
    simulate=Marching(diffusion_and_growth),
    source="Raissi et al., Physics-informed neural networks (arXiv 1711.10561), in the plane",
)
