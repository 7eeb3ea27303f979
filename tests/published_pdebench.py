"""Files of PDEBench, family by family, from fields that are known."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import sympy

import layouts
import piddm
from piddm import PDE, Axis, Dirichlet, Grid, Neumann, Robin
from piddm.symbolic import D, Field, Param, laplace, t, x, y, z
from published import (
    COUNT,
    PI,
    SAMPLE,
    Axes,
    Known,
    T,
    X,
    Y,
    Z,
    error,
    laplacian,
    marched,
    second_difference,
    seeped,
    values,
)

CELLS = 64
"""Cells of a line."""

PERIODIC, WALLS = True, False


def times(last: float, count: int) -> np.ndarray:
    return np.linspace(0, last, count)


def box(axes: Axes, periodic: bool, ends: tuple[float, float] = (0.0, 1.0)) -> dict:
    """Return what is known of axes: cells between ends, and times from the first to the last."""
    return {
        k: (v, (v[0], v[-1]), False) if k == "t" else (v, ends, periodic) for k, v in axes.items()
    }


def line(folder: Path, name: str, pde: str, u, terms: list, last: float, **attributes) -> Known:
    """Write ``tensor`` of one axis of space, with one time too many."""
    axes = {"t": times(last, 81), "x": layouts.centres(CELLS)}
    layouts.pdebench_line(folder / name, values(u, axes), axes["t"], axes["x"], **attributes)
    return Known(
        folder / name, piddm.get_pde(pde), box(axes, PERIODIC), {"u": "sample t x"},
        {next(iter(piddm.get_pde(pde).equations)): error(terms, axes)}, {"u": "tensor"},
    )  # fmt: skip


def advection(folder: Path) -> Known:
    """Two waves that travel, and a small one that travels the wrong way."""
    speed = 0.7
    u = sum(sympy.sin(2 * PI * k * (X - speed * T) + k + SAMPLE) for k in (1, 2))
    u += 0.01 * sympy.cos(2 * PI * (X + speed * T))
    terms = [sympy.diff(u, T), speed * sympy.diff(u, X)]
    name = "1D_Advection_Sols_beta0.7.hdf5"
    found = line(folder, name, "advection", u, terms, 1.0, beta=speed)
    found.params = {"beta": speed}
    return found


def burgers(folder: Path, said: str = "attribute") -> Known:
    """A solution by Hopf and Cole, and a small wave; the viscosity is stored without its 1/pi."""
    stored = 0.1
    nu = stored / PI
    theta = 1 + sum(
        (0.3 - 0.05 * SAMPLE) / k * sympy.exp(-nu * (2 * PI * k) ** 2 * T)
        * sympy.cos(2 * PI * k * X + k + SAMPLE)
        for k in (1, 2)
    )  # fmt: skip
    u = -2 * nu * sympy.diff(theta, X) / theta + 0.003 * sympy.sin(2 * PI * X)
    terms = [sympy.diff(u, T), sympy.diff(u**2 / 2, X), -nu * sympy.diff(u, X, 2)]
    attributes = {"Nu": stored} if said == "attribute" else {}
    found = line(folder, "1D_Burgers_Sols_Nu0.1.hdf5", "burgers", u, terms, 1.0, **attributes)
    found.params = {"nu": stored / np.pi}
    return found


def burgers_by_name(folder: Path) -> Known:
    return burgers(folder, "name")


def reaction(folder: Path) -> Known:
    """Logistic growth through 1/2, where a wave's own growth vanishes, and a wave that decays."""
    nu, rho = 0.02, 0.3
    wave = 0.05 * sympy.cos(2 * PI * X + SAMPLE) * sympy.exp(-nu * (2 * PI) ** 2 * T)
    u = 1 / (1 + sympy.exp(-rho * (T - 0.5))) + wave
    terms = [sympy.diff(u, T), -nu * sympy.diff(u, X, 2), -rho * u * (1 - u)]
    name = "ReacDiff_Nu0.02_Rho0.3.hdf5"
    found = line(folder, name, "fisher-kpp", u, terms, 1.0, Nu=nu, rho=rho)
    found.params = {"nu": nu, "rho": rho}
    return found


GAMMA = 5.0 / 3.0


def compressible(dimensions: int, size: int, count: int) -> PDE:
    """Compressible flow as the files have it: density, pressure and velocity."""
    along = [x, y, z][:dimensions]
    rho, p = Field("density"), Field("pressure")
    v = [Field(f"V{k}") for k in "xyz"[:dimensions]]
    eta, zeta = Param("eta", 0.1), Param("zeta", 0.1)
    div = sum(D(w, k) for w, k in zip(v, along, strict=True))

    def carried(f: Field):
        return sum(w * D(f, k) for w, k in zip(v, along, strict=True))

    momentum = {
        f"momentum {k.name}": rho * (D(w, t) + carried(w)) + D(p, k) - eta * laplace(w, along)
        - (zeta + eta / 3) * sum(D(D(o, j), k) for o, j in zip(v, along, strict=True))
        for w, k in zip(v, along, strict=True)
    }  # fmt: skip
    space = {k.name: Axis(0, 1, size, periodic=True) for k in along}
    return PDE(
        "compressible", "", Grid(t=Axis(0, 1, count, time=True), **space), fields=[rho, p, *v],
        params=[eta, zeta],
        equations={"mass": D(rho, t) + sum(D(rho * w, k) for w, k in zip(v, along, strict=True)),
                   **momentum, "energy": D(p, t) + carried(p) + GAMMA * p * div},
        inputs={f.at(t=0): None for f in (rho, p, *v)},  # pyright: ignore
    )  # fmt: skip


def flow(folder: Path, dimensions: int) -> Known:
    """A sound wave that viscosity damps; what is left is of the order of its amplitude.

    Linear theory: u ~ Re(a e^i(kx - wt)) with w^2 = k^2 - i nu k^2 w, nu = 4 eta / 3 + zeta, where
    the speed of sound is 1.
    """
    size, count = {1: (64, 41), 2: (24, 21), 3: (12, 21)}[dimensions]
    symbols, names = [X, Y, Z][:dimensions], "xyz"[:dimensions]
    direction = np.ones(dimensions)
    length = float(np.linalg.norm(direction))
    eta, zeta = 1e-2, 2e-2
    k = 2 * np.pi * length
    damping = (4 * eta / 3 + zeta) * k**2 / 2
    turning = np.sqrt(k**2 - damping**2)
    phase = 2 * PI * sum(d * s for d, s in zip(direction, symbols, strict=True)) - turning * T
    decay = (0.02 + 0.005 * SAMPLE) * sympy.exp(-damping * T)
    wave = decay * sympy.cos(phase + SAMPLE)
    speed = decay * (turning * sympy.cos(phase + SAMPLE) + damping * sympy.sin(phase + SAMPLE)) / k
    rho, p = 1 + wave, 1 / GAMMA + wave
    v = [speed * d / length for d in direction]
    axes = {"t": times(0.3, count), **{k: layouts.centres(size) for k in names}}
    div = sum(sympy.diff(w, s) for w, s in zip(v, symbols, strict=True))

    def carried(f):
        return [w * sympy.diff(f, s) for w, s in zip(v, symbols, strict=True)]

    known = {
        "mass": error([sympy.diff(rho, T), *(sympy.diff(rho * w, s)
                                             for w, s in zip(v, symbols, strict=True))], axes),
        "energy": error([sympy.diff(p, T), *carried(p), GAMMA * p * div], axes),
    }  # fmt: skip
    for k, w, s in zip(names, v, symbols, strict=True):
        own = [rho * sympy.diff(w, T), *(rho * c for c in carried(w)), sympy.diff(p, s),
               -eta * laplacian(w, *symbols), -(zeta + eta / 3) * sympy.diff(div, s)]  # fmt: skip
        known[f"momentum {k}"] = error(own, axes)
    fields = {"density": rho, "pressure": p, **{f"V{k}": w for k, w in zip(names, v, strict=True)}}
    path = folder / f"{dimensions}D_CFD_Rand_Eta0.01_Zeta0.02_periodic_Train.hdf5"
    with h5py.File(path, "w") as file:
        for name, expression in fields.items():
            file[name] = values(expression, axes).astype(np.float32)
        for name in names:
            file[f"{name}-coordinate"] = axes[name].astype(np.float32)
        step = axes["t"][1]
        file["t-coordinate"] = np.append(axes["t"], axes["t"][-1] + step).astype(np.float32)
        file.attrs.update({"eta": eta, "zeta": zeta, **({"M": 0.1} if dimensions > 1 else {})})
    order = f"sample t {' '.join(names)}"
    pde = compressible(dimensions, size, count)
    return Known(
        path, pde, box(axes, PERIODIC), dict.fromkeys(fields, order), known,
        {k: k for k in fields}, params={"eta": eta, "zeta": zeta},
    )  # fmt: skip


def flow_1d(folder: Path) -> Known:
    return flow(folder, 1)


def flow_2d(folder: Path) -> Known:
    return flow(folder, 2)


def flow_3d(folder: Path) -> Known:
    return flow(folder, 3)


def darcy(folder: Path) -> Known:
    """Media of two phases, solved by finite volumes of our own, with a source a little off."""
    n, beta = 32, 10.0
    a, u = Field("a", bounds=(0, None)), Field("u")
    source = Param("beta", 1.0)
    pde = PDE(
        "darcy-beta", "", Grid(x=Axis(0, 1, n), y=Axis(0, 1, n)), fields=[a, u], params=[source],
        equations={"mass": D(a * D(u, x), x) + D(a * D(u, y), y) + source},
        conditions={"wall": Dirichlet(u)}, inputs={a: None},  # pyright: ignore
    )  # fmt: skip
    axes = {"x": layouts.centres(n), "y": layouts.centres(n)}
    pattern = values(sympy.sin(5 * X + 2 * SAMPLE) + sympy.cos(7 * Y - 3 * X), axes)
    medium = np.where(pattern > 0, 1.0, 0.1)
    off = 0.02 * values(sympy.cos(2 * PI * X) * sympy.cos(PI * Y), axes)
    pressure, known = seeped(medium, beta * (1 + off), "centre")
    path = folder / "2D_DarcyFlow_beta10.0_Train.hdf5"
    with h5py.File(path, "w") as file:
        file["nu"] = medium.astype(np.float32)
        file["tensor"] = pressure[:, None].astype(np.float32)
        file["x-coordinate"] = file["y-coordinate"] = axes["x"].astype(np.float32)
        file.attrs["beta"] = beta
    return Known(
        path, pde, box(axes, WALLS), {"a": "sample x y", "u": "sample - x y"},
        {"mass": known}, {"a": "nu", "u": "tensor"}, params={"beta": beta},
    )  # fmt: skip


def reaction_2d(folder: Path, name: str = "2D_diff-react_NA_NA.h5", **params: float) -> Known:
    """FitzHugh and Nagumo's reaction on cells, marched with a source that the equation lacks."""
    du, dv, k = (params.get(p, v) for p, v in (("Du", 1e-3), ("Dv", 5e-3), ("k", 5e-3)))
    n, h = 20, 2 / 20
    u, v = Field("u"), Field("v")
    p = [Param(name, 1e-2 if params else value)
         for name, value in (("Du", du), ("Dv", dv), ("k", k))]  # fmt: skip
    pde = PDE(
        "fitzhugh-nagumo", "",
        Grid(t=Axis(0, 1, 21, time=True), x=Axis(-1, 1, n), y=Axis(-1, 1, n)),
        fields=[u, v], params=p,
        equations={"activator": D(u, t) - p[0] * laplace(u, [x, y]) - u + u**3 + p[2] + v,
                   "inhibitor": D(v, t) - p[1] * laplace(v, [x, y]) - u + v},
        conditions={"wall u": Neumann(u), "wall v": Neumann(v)},
        inputs={u.at(t=0): None, v.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(1.0, 41), "x": layouts.centres(n, -1, 1), "y": layouts.centres(n, -1, 1)}
    space = {k: axes[k] for k in "xy"}
    mode = sympy.cos(PI * (X + 1) / 2) * sympy.cos(PI * (Y + 1))
    source = 0.02 * values(sympy.cos(PI * (X + 1)), space, 1)[0]
    first = np.stack(
        [values(0.6 * mode - 0.1 * SAMPLE, space), values(0.3 + 0.2 * mode, space)], -1
    )

    def rate(at: float, w: np.ndarray) -> np.ndarray:
        a, b = w[..., 0], w[..., 1]
        spread = [second_difference(f, h, 0) + second_difference(f, h, 1) for f in (a, b)]
        return np.stack([du * spread[0] + a - a**3 - k - b + source,
                         dv * spread[1] + a - b + source], -1)  # fmt: skip

    data = np.stack([marched(rate, own, axes["t"]) for own in first])
    a, b = data[..., 0], data[..., 1]
    slope = [np.gradient(f, axes["t"], axis=1, edge_order=2) for f in (a, b)]
    spread = [[second_difference(f, h, d) for d in (2, 3)] for f in (a, b)]
    largest = [max((p**2).mean() for p in parts) for parts in (
        [slope[0], *(du * s for s in spread[0]), a, a**3, b],
        [slope[1], *(dv * s for s in spread[1]), a, b],
    )]  # fmt: skip
    layouts.pdebench_groups(folder / name, data, axes["t"], x=axes["x"], y=axes["y"])
    size = float((source**2).mean())
    return Known(
        folder / name, pde, box(axes, WALLS, (-1.0, 1.0)),
        dict.fromkeys("uv", "sample t x y channel"),
        {"activator": size / largest[0], "inhibitor": size / largest[1]},
        dict.fromkeys("uv", "*/data"), {"u": 0, "v": 1}, params=params,
    )  # fmt: skip


def sorption(folder: Path) -> Known:
    """Diffusion with sorption on cells: u = 1 at the left, u = -D u_x at the right."""
    n, h, d = CELLS, 1 / CELLS, 5e-4
    u, diffusivity = Field("u", bounds=(0, None)), Param("D", d)
    retardation = 1 + (1 - 0.29) / 0.29 * 2880 * 3.5e-4 * 0.874 * (u + 1e-6) ** (0.874 - 1)
    pde = PDE(
        "sorption", "", Grid(t=Axis(0, 500, 101, time=True), x=Axis(0, 1, n)), fields=[u],
        params=[diffusivity],
        equations={"balance": retardation * D(u, t) - diffusivity * D(u, x, 2)},
        conditions={"left": Dirichlet(u.at(x=0), 1),
                    "right": Robin(u.at(x=1), alpha=1, beta=diffusivity)},
        inputs={u.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(500.0, 51), "x": layouts.centres(n)}
    at = axes["x"]
    steady = 1 - at / (1 + d)
    source = 2e-5 * np.cos(2 * np.pi * at)

    def held(w: np.ndarray) -> np.ndarray:
        return 1 + (1 - 0.29) / 0.29 * 2880 * 3.5e-4 * 0.874 * (w + 1e-6) ** (0.874 - 1)

    def rate(_: float, w: np.ndarray) -> np.ndarray:
        left = 2 - w[0]  # beyond the wall, half a cell away
        right = w[-1] * (2 * d / h - 1) / (2 * d / h + 1)
        return (d * np.diff(np.concatenate([[left], w, [right]]), 2) / h**2 + source) / held(w)

    first = [steady + (0.3 - 0.1 * i) * np.sin(np.pi * at) ** 2 for i in range(COUNT)]
    data = np.stack([marched(rate, own, axes["t"]) for own in first])
    slope = held(data) * np.gradient(data, axes["t"], axis=1, edge_order=2)
    path = folder / "1D_diff-sorp_NA_NA.h5"
    layouts.pdebench_groups(path, data[..., None], axes["t"], x=at)
    return Known(
        path, pde, box(axes, WALLS), {"u": "sample t x channel"},
        {"balance": float((source**2).mean() / (slope**2).mean())}, {"u": "*/data"},
    )  # fmt: skip


def shallow_water(folder: Path) -> Known:
    """Long waves of the height, which alone is stored: h_tt = g H (h_xx + h_yy), walls around."""
    n = 24
    h, g = Field("h"), Param("g", 1.0, doc="gravity")
    pde = PDE(
        "long-waves", "",
        Grid(t=Axis(0, 1, 21, time=True), x=Axis(-2.5, 2.5, n), y=Axis(-2.5, 2.5, n)),
        fields=[h], params=[g], equations={"wave": D(h, t, 2) - g * laplace(h, [x, y])},
        conditions={"wall": Neumann(h)}, inputs={h.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(1.0, 41), **{k: layouts.centres(n, -2.5, 2.5) for k in "xy"}}
    first = sympy.cos(PI * (X + 2.5) / 5) * sympy.cos(2 * PI * (Y + 2.5) / 5)
    speed = PI * sympy.sqrt(5) / 5
    height = 1 + 0.1 * first * sympy.cos(speed * T + SAMPLE)
    height += 0.004 * sympy.cos(PI * (X + 2.5) / 5) * T**2
    terms = [sympy.diff(height, T, 2), -sympy.diff(height, X, 2), -sympy.diff(height, Y, 2)]
    path = folder / "2D_rdb_NA_NA.h5"
    layouts.pdebench_groups(
        path, values(height, axes)[..., None], axes["t"], x=axes["x"], y=axes["y"]
    )
    return Known(
        path, pde, box(axes, WALLS, (-2.5, 2.5)), {"h": "sample t x y channel"},
        {"wave": error(terms, axes)}, {"h": "*/data"},
    )  # fmt: skip


def incompressible(folder: Path) -> Known:
    """A vortex in a box that dies away, and smoke on its stream lines, none of it quite so."""
    n = 24
    u, v, s = Field("vx"), Field("vy"), Field("particles")
    drag = Param("drag", 1.0)
    pde = PDE(
        "smoke", "", Grid(t=Axis(0, 1, 21, time=True), x=Axis(0, 1, n), y=Axis(0, 1, n)),
        fields=[u, v, s], params=[drag],
        equations={"continuity": D(u, x) + D(v, y), "smoke": D(s, t) + u * D(s, x) + v * D(s, y),
                   "vortex": D(D(v, x) - D(u, y), t) + drag * (D(v, x) - D(u, y))},
        conditions={"wall u": Dirichlet(u), "wall v": Dirichlet(v)},
        inputs={u.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(1.0, 21), **{k: layouts.centres(n) for k in "xy"}}
    stream = sympy.sin(PI * X) ** 2 * sympy.sin(PI * Y) ** 2 * sympy.exp(-T)
    vx = sympy.diff(stream, Y) + 0.03 * sympy.sin(PI * X) ** 2 * sympy.sin(PI * Y) ** 2
    vy = -sympy.diff(stream, X)
    smoke = 1 + sympy.cos(PI * stream * sympy.exp(T) + SAMPLE) + 0.03 * T * sympy.cos(PI * X)
    curl = sympy.diff(vy, X) - sympy.diff(vx, Y)
    known = {
        "continuity": error([sympy.diff(vx, X), sympy.diff(vy, Y)], axes),
        "smoke": error([sympy.diff(smoke, T), vx * sympy.diff(smoke, X),
                        vy * sympy.diff(smoke, Y)], axes),
        "vortex": error([sympy.diff(curl, T), curl], axes),
    }  # fmt: skip
    path = folder / "ns_incom_inhom_2d_512-0.h5"
    with h5py.File(path, "w") as file:
        velocity = np.stack([values(vx, axes), values(vy, axes)], -1)
        file["velocity"] = velocity.astype(np.float32)
        file["particles"] = values(smoke, axes)[..., None].astype(np.float32)
        file["force"] = np.zeros((COUNT, n, n, 2), np.float32)
        file["t"] = np.tile(axes["t"], (COUNT, 1)).astype(np.float32)
        file.attrs["config"] = "NU: 0.01\ngrid_size: [24, 24]\n"
    return Known(
        path, pde, box(axes, WALLS),
        dict.fromkeys(("vx", "vy", "particles"), "sample t x y channel"),
        known, {"vx": "velocity", "vy": "velocity", "particles": "particles"},
        {"vx": 0, "vy": 1, "particles": 0},
    )  # fmt: skip
