"""Equations with a fault each, of kinds that people have reported: what verify says of them.

They are wrong, ill-posed or beyond the limits of their schemes; `verified.py` runs all checks on
them and writes down which one says so.
"""

from __future__ import annotations

import sympy

from piddm import PDE, Axis, Dirichlet, Grid, Integral, Neumann, Robin
from piddm.priors import GaussianField, LogNormal, Sines, Uniform
from piddm.symbolic import D, Field, t, x, y

u, v, f = Field("u"), Field("v"), Field("f")
density = Field("u", positive=True)
SMOOTH = GaussianField(alpha=2.0, tau=3.0)
RING, LINE = Axis(0, 1, 32, periodic=True), Axis(0, 1, 33)
ROOT = sympy.sqrt(u**2 + v**2)


def _time(end: float, nodes: int) -> Axis:
    return Axis(0, end, nodes, time=True)


def _string(name: str, scheme: str) -> PDE:
    return PDE(name=name, summary="a string that is let go", grid=Grid(t=_time(1, 60), x=LINE),
               fields=[u], equations={"wave": D(u, t, 2) - 4 * D(u, x, 2)},
               conditions={"ends": Dirichlet(u), "still": Neumann(u.at(t=0))},
               inputs={u.at(t=0): Sines(count=2, waves=(1, 3))},
               time_scheme=scheme)  # pyright: ignore  # fmt: skip


def _layer(name: str, drift: object) -> PDE:
    return PDE(name=name, summary="a layer that no node resolves", grid=Grid(x=LINE),
               fields=[u, f], equations={"balance": drift - D(u, x, 2) / 1000 - f},  # pyright: ignore
               conditions={"walls": Dirichlet(u)}, inputs={f: SMOOTH})  # fmt: skip


def _gas(name: str, field: Field) -> PDE:
    return PDE(name=name, summary="gas in a porous medium", grid=Grid(t=_time(0.2, 17), x=LINE),
               fields=[field], conditions={"wall": Neumann(field)},
               equations={"mass": D(field, t) - 0.05 * D(field**1.5 * D(field, x), x)},
               inputs={field.at(t=0): LogNormal(SMOOTH)})  # fmt: skip


def _reaction(name: str, scheme: str) -> PDE:
    return PDE(name=name, summary="u is drawn to cos t", grid=Grid(t=_time(1, 17), x=RING),
               fields=[u], equations={"rate": D(u, t) + 2000 * (u - sympy.cos(t))},
               inputs={u.at(t=0): Uniform(0, 1)}, time_scheme=scheme)  # pyright: ignore  # fmt: skip


def _advection(name: str, place: float, velocity: int, upwind: int | None) -> PDE:
    return PDE(name=name, summary="advection", grid=Grid(t=_time(1, 17), x=LINE), fields=[u],
               equations={"rate": D(u, t) + velocity * D(u, x, upwind=upwind)},
               conditions={"end": Dirichlet(u.at(x=place))},
               inputs={u.at(t=0): Sines(count=2, waves=(1, 3))})  # fmt: skip


FAULTS: list[tuple[PDE, str]] = [
    (PDE(name="ring", summary="two materials", grid=Grid(t=_time(0.2, 65), x=RING), fields=[u],
         equations={"heat": D(u, t) - D((1 + 9 * sympy.Heaviside(x - 0.5)) * D(u, x), x)},
         inputs={u.at(t=0): SMOOTH}),
     "none any more: a coefficient that jumps at the seam of a periodic axis"),
    (_string("string", "centred"), "centred differences in time, the step twice too long"),
    (_string("string-newmark", "newmark"), "none: the same with a scheme for any step"),
    (PDE(name="phases", summary="phases that keep their mass",
         grid=Grid(t=_time(2, 33), x=Axis(0, 1, 33, periodic=True)), fields=[u, v],
         equations={"b": D(u, t) - 0.02 * D(u, x, 2) - (u - u**3) - v, "g": D(v, x, 2)},
         integrals={"mass": Integral(u, conserved=True)}, inputs={u.at(t=0): SMOOTH}),
     "none any more: a multiplier without an equation of its own at the first time"),
    (PDE(name="drag", summary="quadratic drag", grid=Grid(y=Axis(0, 1, 17)), fields=[u, v, f],
         equations={"u": D(u, y, 2) - ROOT * u + f, "v": D(v, y, 2) - ROOT * v + f / 2},
         conditions={"a": Dirichlet(u), "b": Dirichlet(v)}, inputs={f: Uniform(1, 2)}),
     "the solver starts where a root has no slope"),
    (_gas("porous", u), "none on its own data, which stay positive, as samples of it need not"),
    (_gas("porous-positive", density), "none: the same field with a range"),
    (PDE(name="sorption", summary="a sorbed substance", grid=Grid(t=_time(50, 26), x=LINE),
         fields=[u], inputs={u.at(t=0): Uniform(0.01, 0.2)},
         equations={"b": (1 + 2.16 * u**-0.126) * D(u, t) - 5e-4 * D(u, x, 2)},
         conditions={"in": Dirichlet(u.at(x=0), 1), "out": Robin(u.at(x=1), beta=5e-4)}),
     "a power of a field that may be negative"),
    (_layer("layer", D(u, x)), "central differences at a cell Péclet number of 31"),
    (_layer("layer-upwind", D(u, x, upwind=1)), "none: an upwind derivative"),
    (_reaction("reaction", "crank-nicolson"), "Crank-Nicolson on a stiff reaction"),
    (_reaction("reaction-bdf2", "bdf2"), "none: a stiffly stable scheme"),
    (_advection("outflow", 1.0, 1, None), "a condition at the end that characteristics leave"),
    (_advection("downwind", 0.0, 1, -1), "an upwind derivative that looks the wrong way"),
    (PDE(name="sources", summary="unbalanced fluxes", grid=Grid(x=LINE), fields=[u, f],
         equations={"b": D(u, x, 2) - f}, conditions={"walls": Neumann(u)},
         integrals={"mean": Integral(u)}, inputs={f: Uniform(1, 2)}),
     "sources that the walls do not let out: no solution"),
]  # fmt: skip
"""Each with what is wrong with it."""
