"""Files of The Well, from fields that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import sympy
from sympy import sin

import layouts
from piddm import PDE, Axis, Dirichlet, Grid, Integral
from piddm.symbolic import Coordinate, D, Field, Param, laplace, t, x, y
from published import COUNT, PI, SAMPLE, Known, T, X, Y, apart, error, laplacian, marched, values
from published_pdebench import PERIODIC, WALLS, box, times


def shear(folder: Path) -> Known:
    """The Well's shear flow: a vector, a pressure, and the Reynolds number, whose inverse is nu."""
    n, number = 24, 50.0
    u, v, p, nu = Field("u"), Field("v"), Field("pressure"), Param("nu", 0.01, doc="1/Reynolds")
    axis = Axis(0, 1, n, periodic=True)
    pde = PDE(
        "shear", "", Grid(t=Axis(0, 1, 21, time=True), x=axis, y=axis), fields=[u, v, p],
        params=[nu],
        equations={
            "x": D(u, t) + u * D(u, x) + v * D(u, y) + D(p, x) - nu * laplace(u, [x, y]),
            "y": D(v, t) + u * D(v, x) + v * D(v, y) + D(p, y) - nu * laplace(v, [x, y]),
            "continuity": D(u, x) + D(v, y),
        },
        integrals={"mean": Integral(p)}, inputs={u.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(0.5, 41), **{k: np.arange(n) / n for k in "xy"}}
    decay = sympy.exp(-8 * PI**2 / number * T)
    a, b = 2 * PI * X + SAMPLE, 2 * PI * Y
    fields = [sympy.sin(a) * sympy.cos(b) * decay + 0.01 * sympy.cos(2 * PI * X) * sympy.sin(b),
              -sympy.cos(a) * sympy.sin(b) * decay,
              (sympy.cos(2 * a) + sympy.cos(2 * b)) * decay**2 / 4]  # fmt: skip
    known = {"continuity": error([sympy.diff(fields[0], X), sympy.diff(fields[1], Y)], axes)}
    for name, own, symbol in (("x", fields[0], X), ("y", fields[1], Y)):
        known[name] = error(
            [sympy.diff(own, T), fields[0] * sympy.diff(own, X), fields[1] * sympy.diff(own, Y),
             sympy.diff(fields[2], symbol), -laplacian(own, X, Y) / number], axes,
        )  # fmt: skip
    stored = [values(f, axes) for f in fields]
    path = folder / "shear_flow_Reynolds_5e1.hdf5"
    layouts.the_well(
        path, {"pressure": stored[2], "velocity": np.stack(stored[:2], -1)}, axes["t"],
        {"Reynolds": number}, ("x", "y"), x=axes["x"], y=axes["y"],
    )  # fmt: skip
    return Known(
        path, pde, box(axes, PERIODIC),
        {"u": "sample t x y channel", "v": "sample t x y channel", "pressure": "sample t x y"},
        known, {"u": "t1_fields/velocity", "v": "t1_fields/velocity",
                "pressure": "t0_fields/pressure"}, {"u": 0, "v": 1}, params={"nu": 1 / number},
    )  # fmt: skip


def convection(folder: Path) -> Known:
    """The Well's convection: Chebyshev nodes between walls, periodic along."""
    u, kappa = Field("buoyancy"), Param("kappa", 0.01)
    n = 32
    pde = PDE(
        "conduction", "", Grid(t=Axis(0, 1, 21, time=True), x=Axis(0, 4, n, periodic=True),
                               y=Axis(0, 1, n)), fields=[u], params=[kappa],
        equations={"balance": D(u, t) - kappa * laplace(u, [x, y])},
        conditions={"bottom": Dirichlet(u.at(y=0), 1), "top": Dirichlet(u.at(y=1), 0)},
        inputs={u.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    cells = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    axes = {"t": times(1.0, 41), "x": 4 * np.arange(n) / n, "y": cells}
    rate = 0.02 * (PI**2 / 4 + PI**2)
    wave = sympy.cos(PI * X / 2 + SAMPLE) * sympy.sin(PI * Y)
    own = 1 - Y + wave * sympy.exp(-rate * T) + 0.004 * T * sympy.sin(2 * PI * Y)
    terms = [sympy.diff(own, T), -0.02 * sympy.diff(own, X, 2), -0.02 * sympy.diff(own, Y, 2)]
    path = folder / "rayleigh_benard_Rayleigh_1e6_Prandtl_1.hdf5"
    layouts.the_well(path, {"buoyancy": values(own, axes)}, axes["t"], {"kappa": 0.02}, ("x",),
                     x=axes["x"], y=axes["y"])  # fmt: skip
    return Known(
        path, pde, {**box({"t": axes["t"], "y": cells}, WALLS),
                    "x": (axes["x"], (0.0, 4.0), PERIODIC)},
        {"buoyancy": "sample t x y"}, {"balance": error(terms, axes)},
        {"buoyancy": "t0_fields/buoyancy"}, params={"kappa": 0.02},
    )  # fmt: skip


def gray_scott(folder: Path) -> Known:
    """Frames ten steps apart, between which the reaction runs: what is known is a distance."""
    n, feed, kill, da, db, off = 16, 0.03, 0.06, 2e-5, 1e-5, 0.05
    a, b = Field("A"), Field("B")
    own = [Param("F", 0.05), Param("k", 0.05), Param("DA", da), Param("DB", db)]
    axis = Axis(-1, 1, n, periodic=True)
    pde = PDE(
        "gray-scott", "", Grid(t=Axis(0, 30, 4, time=True), x=axis, y=axis), fields=[a, b],
        params=own,
        equations={
            "A": D(a, t) - own[2] * laplace(a, [x, y]) + a * b**2 - own[0] * (1 - a),
            "B": D(b, t) - own[3] * laplace(b, [x, y]) - a * b**2 + (own[0] + own[1]) * b,
        },
        inputs={a.at(t=0): None, b.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(30.0, 4), **{k: -1 + 2 * np.arange(n) / n for k in "xy"}}
    wave = sympy.sin(PI * X + SAMPLE) * sympy.cos(PI * Y)
    still = {k: axes[k] for k in "xy"}
    first = np.stack([values(0.6 + 0.2 * wave, still), values(0.2 - 0.1 * wave, still)], 1)

    def rate(_: float, u: np.ndarray) -> np.ndarray:
        spread = sum(np.roll(u, k, d) - u for k in (1, -1) for d in (-1, -2)) / (2 / n) ** 2
        grown = u[0] * u[1] ** 2
        return np.stack([da * spread[0] - grown + feed * (1 - u[0]),
                         db * spread[1] + grown - (feed + kill) * u[1]])  # fmt: skip

    exact = np.stack([marched(rate, one, axes["t"]) for one in first])
    stored = exact.copy()
    stored[:, 1:] *= 1 + off * values(wave, still, COUNT)[:, None, None]
    path = folder / "gray_scott_reaction_diffusion_gliders_F_0.03_k_0.06.hdf5"
    layouts.the_well(
        path, {"A": stored[:, :, 0], "B": stored[:, :, 1]}, axes["t"], {"F": feed, "k": kill},
        ("x", "y"), x=axes["x"], y=axes["y"],
    )  # fmt: skip
    return Known(
        path, pde, box(axes, PERIODIC, (-1.0, 1.0)), dict.fromkeys("AB", "sample t x y"), {},
        {k: f"t0_fields/{k}" for k in "AB"}, params={"F": feed, "k": kill},
        distance={k: apart(stored[:, :, i], exact[:, :, i]) for i, k in enumerate("AB")},
    )  # fmt: skip


def planet(folder: Path) -> Known:
    """Equiangular latitudes and longitudes, of which the colatitude ends half a step from poles."""
    n, turn = 24, 0.6
    theta, phi = Coordinate("theta"), Coordinate("phi")
    h, south, east = Field("height"), Field("velocity_theta"), Field("velocity_phi")
    grid = Grid(
        t=Axis(0, 1, 21, time=True), theta=Axis(0, np.pi, n, location="centre"),
        phi=Axis(0, 2 * np.pi, 2 * n, periodic=True),
    )  # fmt: skip
    pde = PDE(
        "planet", "", grid, fields=[h, south, east],
        equations={"mass": sin(theta) * D(h, t) + D(sin(theta) * h * south, theta)
                   + D(h * east, phi)},
        inputs={h.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(1.0, 41), "theta": layouts.centres(n, 0, np.pi),
            "phi": 2 * np.pi * np.arange(2 * n) / (2 * n)}  # fmt: skip
    # A stream that turns with the planet carries what is a function of it.
    stream = sympy.cos(X) + sympy.sin(X) ** 2 * sympy.cos(2 * (Y - turn * T) + SAMPLE) / 4
    depth = 2 + stream / 2
    flow = [sympy.diff(stream, Y) / sympy.sin(X), -sympy.diff(stream, X) + turn * sympy.sin(X)]
    depth += 0.02 * T * sympy.sin(X) * sympy.cos(Y)
    terms = [sympy.sin(X) * sympy.diff(depth, T), sympy.diff(sympy.sin(X) * depth * flow[0], X),
             sympy.diff(depth * flow[1], Y)]  # fmt: skip
    named = {"t": axes["t"], "x": axes["theta"], "y": axes["phi"]}
    stored = [values(f, named) for f in (depth, *flow)]
    layouts.the_well(
        folder / "planetswe_IC00_s1.hdf5",
        {"height": stored[0], "velocity": np.stack(stored[1:], -1)}, axes["t"], None, ("phi",),
        theta=axes["theta"], phi=axes["phi"],
    )  # fmt: skip
    velocity = "t1_fields/velocity"
    return Known(
        folder / "planetswe_IC00_s1.hdf5", pde,
        {"t": (axes["t"], (0.0, 1.0), False), "theta": (axes["theta"], (0.0, np.pi), WALLS),
         "phi": (axes["phi"], (0.0, 2 * np.pi), PERIODIC)},
        {"height": "sample t theta phi", "velocity_theta": "sample t theta phi channel",
         "velocity_phi": "sample t theta phi channel"},
        {"mass": error(terms, named)},
        {"height": "t0_fields/height", "velocity_theta": velocity, "velocity_phi": velocity},
        {"velocity_theta": 0, "velocity_phi": 1},
    )  # fmt: skip
