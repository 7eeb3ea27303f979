r"""Fisher's equation on an interval that nothing leaves, the whole space-time as one field.

.. math:: \partial_t u = D\,\partial_{xx} u + r\,u\,(1-u), \quad x, t \in [0, 1],
    \qquad \partial_x u = 0 \text{ at } x = 0 \text{ and } x = 1,

with D = 0.005. Fronts run at the speed :math:`2\sqrt{rD}`, 0.28 where r = 4, and are a few times
:math:`\sqrt{D/r} = 0.035` wide, which is a few nodes of a grid of 64.

Source: Fisher, The wave of advance of advantageous genes, Annals of Eugenics 7 (1937).
"""

import dataclasses

from piddm import PDE, Axis, Grid, Neumann
from piddm.priors import GaussianField, Uniform
from piddm.symbolic import D, Field, Param, t, x
from piddm_fisher.habitat import Share

u = Field("u", doc="share of the habitat that is taken")
diffusivity = Param("D", 0.005, doc="diffusivity")
growth = Param("r", 4.0, doc="growth rate")
r = Param("r", 4.0, doc="growth rate, one for each sample", free=True)

FISHER = PDE(
    name="fisher-walls",
    summary="1-D Fisher-KPP between walls that nothing crosses",
    grid=Grid(t=Axis(0, 1, 64, time=True), x=Axis(0, 1, 64)),
    fields=[u],
    params=[diffusivity, growth],
    equations={"balance": D(u, t) - diffusivity * D(u, x, 2) - growth * u * (1 - u)},
    conditions={"walls": Neumann(u)},
    inputs={u.at(t=0): Share(GaussianField(alpha=2.5, tau=7.0), steepness=4.0)},
    source="Fisher, Annals of Eugenics 7 (1937)",
)

FISHER_RATE = dataclasses.replace(
    FISHER,
    name="fisher-walls-rate",
    summary="1-D Fisher-KPP between walls, each sample with a growth rate of its own",
    params=[diffusivity, r],
    equations={"balance": D(u, t) - diffusivity * D(u, x, 2) - r * u * (1 - u)},
    inputs={**FISHER.inputs, r: Uniform(2.0, 6.0)},
)
