"""Files of DiffusionPDE, FNO, PINO, neuraloperator, APEBench, The Well and others, from known
fields."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import scipy.io
import sympy

import layouts
import piddm
from piddm import PDE, Axis, Grid
from piddm.data.placing import placed
from piddm.symbolic import D, Field, Param, t, x
from published import PI, SAMPLE, Known, T, X, Y, cole, error, laplacian, marched, seeped, values
from published_pdebench import CELLS, PERIODIC, WALLS, box, times

N = 24
"""Nodes along an axis of a plane."""


def plane(location: str, n: int = N) -> dict[str, np.ndarray]:
    at = {"vertex": layouts.vertices(n), "centre": layouts.centres(n),
          "outside": np.arange(n) / n}[location]  # fmt: skip
    return {"x": at, "y": at}


def sources(axes: dict, shift: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return phi, its source, a little off, and how far off: phi + phi'' of sums of sines."""
    phi = sum(
        sympy.sin(PI * p * X) * sympy.sin(PI * q * Y) * sympy.cos(p + 2 * q + SAMPLE) / (p * q)
        for p in (1, 2) for q in (1, 2)
    )  # fmt: skip
    off = 0.3 * sympy.sin(PI * X) * sympy.sin(2 * PI * Y)
    source = laplacian(phi, X, Y) + shift * phi + off
    terms = [sympy.diff(phi, X, 2), sympy.diff(phi, Y, 2), shift * phi, -source]
    return values(phi, axes), values(source, axes), error(terms, axes)


def sourced(folder: Path, equation: str, field: str, shift: float) -> Known:
    axes = plane("vertex")
    phi, f, known = sources(axes, shift)
    path = folder / f"{equation}_0.mat"
    layouts.save_matlab5(path, **{"f_data": f, f"{field}_data": phi})
    return Known(
        path, piddm.get_pde(equation), box(axes, WALLS), dict.fromkeys("au", "sample x y"),
        {"balance": known}, {"a": "f_data", "u": f"{field}_data"},
    )  # fmt: skip


def poisson(folder: Path) -> Known:
    return sourced(folder, "poisson", "phi", 0.0)


def helmholtz(folder: Path) -> Known:
    return sourced(folder, "helmholtz", "psi", 1.0)


def media(location: str, n: int = 32) -> tuple[np.ndarray, np.ndarray, float]:
    """Media of 3 and 12, with pressures of a source that is 1 but for a little."""
    axes = plane(location, n)
    pattern = values(sympy.sin(5 * X + 2 * SAMPLE) + sympy.cos(7 * Y - 3 * X), axes)
    off = 0.02 * values(sympy.cos(2 * PI * X) * sympy.cos(PI * Y), axes)
    medium = np.where(pattern > 0, 12.0, 3.0)
    pressure, known = seeped(medium, 1 + off, location)
    return medium, pressure, known


def darcy(folder: Path) -> Known:
    medium, pressure, known = media("centre")
    path = folder / "darcy_0.mat"
    layouts.matlab73(path, thresh_a_data=medium, thresh_p_data=pressure)
    return Known(
        path, piddm.get_pde("darcy"), box(plane("centre", 32), WALLS),
        dict.fromkeys("au", "sample x y"), {"mass": known},
        {"a": "thresh_a_data", "u": "thresh_p_data"},
    )  # fmt: skip


def fno_darcy(folder: Path) -> Known:
    """With the smoothed media and their slopes that the published files have beside."""
    medium, pressure, known = media("vertex")
    smooth = (medium + np.roll(medium, 1, 1) + np.roll(medium, 1, 2)) / 3
    path = folder / "piececonst_r32_N1024_smooth1.mat"
    layouts.save_matlab5(
        path, Kcoeff=smooth, Kcoeff_x=np.gradient(smooth, axis=1),
        Kcoeff_y=np.gradient(smooth, axis=2), coeff=medium, sol=pressure,
    )  # fmt: skip
    return Known(
        path, piddm.get_pde("darcy"), box(plane("vertex", 32), WALLS),
        dict.fromkeys("au", "sample x y"), {"mass": known}, {"a": "coeff", "u": "sol"},
    )  # fmt: skip


def film(name: str, nu: float, n: int = CELLS) -> tuple:
    """Return axes, values and the known error of such a solution from t = 0 to 1."""
    axes = {"t": times(1.0, 65), "x": np.arange(n) / n}
    u, terms = cole(nu)
    return axes, values(u, axes), {name: error(terms, axes)}


def diffusion_burgers(folder: Path) -> Known:
    axes, u, known = film("momentum", 0.01)
    layouts.save_matlab5(folder / "burger.mat", input=u[:, 0], output=u)
    return Known(
        folder / "burger.mat", piddm.get_pde("burgers"), box(axes, PERIODIC),
        {"u": "sample t x"}, known, {"u": "output"},
    )  # fmt: skip


def pino_burgers(folder: Path) -> Known:
    axes, u, known = film("momentum", 0.02)
    layouts.save_matlab5(
        folder / "burgers_pino.mat", input=u[:, 0], output=u, tspan=axes["t"], visc=0.02
    )
    return Known(
        folder / "burgers_pino.mat", piddm.get_pde("burgers"), box(axes, PERIODIC),
        {"u": "sample t x"}, known, {"u": "output"}, params={"nu": 0.02},
    )  # fmt: skip


def pino_kolmogorov(folder: Path) -> Known:
    """f = -4 cos 4y along the last axis, without drag: one wave of the flow's own, and another."""
    number, n = 500, 24
    own = piddm.get_pde("kolmogorov")
    pde = placed(own, own.grid, {"mu": 0.0})
    axes = {"t": times(1.0, 17), **{k: np.arange(n) * 2 * np.pi / n for k in "xy"}}
    rate = sympy.Rational(16, number)
    size = (200 + 10 * SAMPLE) * sympy.exp(-rate * T) - 4 / rate
    w = size * sympy.cos(4 * Y) + 2e-3 * sympy.cos(X)
    psi = size / 16 * sympy.cos(4 * Y) + 2e-3 * sympy.cos(X)
    terms = [sympy.diff(w, T), sympy.diff(psi, Y) * sympy.diff(w, X),
             -sympy.diff(psi, X) * sympy.diff(w, Y), -sympy.diff(w, X, 2) / number,
             -sympy.diff(w, Y, 2) / number, 4 * sympy.cos(4 * Y)]  # fmt: skip
    path = folder / "NS_fine_Re500_T128_part0.npy"
    np.save(path, values(w, axes))
    return Known(
        path, pde, box(axes, PERIODIC, (0.0, 2 * np.pi)), {"w": "sample t x y"},
        {"transport": error(terms, axes)}, {"w": path.stem}, params={"Re": number},
    )  # fmt: skip


def pino_kolmogorov_transposed(folder: Path) -> Known:
    """The same with the axes of space the other way round, which nothing but the equation tells."""
    found = pino_kolmogorov(folder)
    np.save(found.path, np.load(found.path).swapaxes(2, 3))
    found.orders = {"w": "sample t y x"}
    return found


def driven(nu: float, off: float = 0.02) -> tuple:
    """Return the flow that Li et al.'s forcing drives, one wave of its own, and another; terms."""
    rate = 8 * PI**2 * nu
    force = (sympy.sin(2 * PI * (X + Y)) + sympy.cos(2 * PI * (X + Y))) / 10
    size = (1 + (3 + SAMPLE) * sympy.exp(-rate * T)) / rate
    w = size * force + off * sympy.cos(2 * PI * X)
    psi = w / (8 * PI**2) + off * sympy.cos(2 * PI * X) / (8 * PI**2)
    terms = [sympy.diff(w, T), sympy.diff(psi, Y) * sympy.diff(w, X),
             -sympy.diff(psi, X) * sympy.diff(w, Y), -nu * sympy.diff(w, X, 2),
             -nu * sympy.diff(w, Y, 2), -force]  # fmt: skip
    return w, terms


def fno_flow(folder: Path) -> Known:
    """Version 7.3 with the time last, a first state beside, and times from 1 on."""
    axes = {"t": np.arange(1.0, 11.0), **{k: np.arange(N) / N for k in "xy"}}
    flow, terms = driven(1e-3)
    w, known = values(flow, axes), error(terms, axes)
    first = values(flow, {"t": np.zeros(1), "x": axes["x"], "y": axes["y"]})
    path = folder / "ns_V1e-3_N5000_T50.mat"
    layouts.matlab73(path, a=first[:, 0], u=np.moveaxis(w, 1, -1), t=axes["t"][None])
    return Known(
        path, piddm.get_pde("navier-stokes"), box(axes, PERIODIC), {"w": "sample x y t"},
        {"transport": known}, {"w": "u"},
    )  # fmt: skip


def bare_contrast(folder: Path) -> Known:
    """neuraloperator's Darcy flow: media of true and false, nodes i/n, the upper walls outside."""
    n = 24
    at = np.arange(n) / n
    axes = {"x": at, "y": at}
    # On the vertices of n cells, of which the last line and column are left out of the file.
    whole = {k: np.linspace(0, 1, n + 1) for k in axes}
    pattern = values(sympy.sin(5 * X + 2 * SAMPLE) + sympy.cos(7 * Y - 3 * X), whole)
    off = 0.02 * values(sympy.cos(2 * PI * X) * sympy.cos(PI * Y), whole)
    medium = np.where(pattern > 0, 12.0, 3.0)
    pressure, known = seeped(medium, 1 + off, "vertex")
    layouts.neuraloperator(
        folder / "darcy_train_24.pt", pattern[:, :-1, :-1] > 0,
        pressure[:, :-1, :-1].astype(np.float32),
    )  # fmt: skip
    return Known(
        folder / "darcy_train_24.pt", piddm.get_pde("darcy"), box(axes, WALLS),
        dict.fromkeys("au", "sample x y"), {"mass": known}, {"a": "x", "u": "y"},
        factors={"a": 9.0},
    )  # fmt: skip


def apebench(folder: Path) -> Known:
    """Burgers in APEBench's units, with its channel, one axis of space."""
    axes, u, known = film("momentum", 0.03)
    np.save(folder / "phy_burgers_train.npy", u[:, :, None].astype(np.float32))
    said = {"info": {"num_spatial_dims": 1, "dt": float(axes["t"][1]), "domain_extent": 1.0,
                     "nu": 0.03}}  # fmt: skip
    (folder / "phy_burgers.json").write_text(json.dumps(said))
    return Known(
        folder / "phy_burgers_train.npy", piddm.get_pde("burgers"), box(axes, PERIODIC),
        {"u": "sample t channel x"}, known, {"u": "phy_burgers_train"}, params={"nu": 0.03},
    )  # fmt: skip


def suite_burgers(folder: Path) -> Known:
    """``x, t, usol`` of one trajectory, ``usol`` by place and time, the seam stored twice."""
    axes, u, _ = film("momentum", 0.01)
    u, terms = cole(0.01)
    stored = {"t": axes["t"], "x": np.linspace(0, 1, CELLS + 1)}
    usol = values(u, stored, 1)[0].T
    np.savez(folder / "Burgers.npz", x=stored["x"][:, None], t=stored["t"][:, None], usol=usol)
    return Known(
        folder / "Burgers.npz", piddm.get_pde("burgers"), box(axes, PERIODIC), {"u": "x t"},
        {"momentum": error(terms, axes, 1)}, {"u": "usol"},
    )  # fmt: skip


def suite_allen_cahn(folder: Path) -> Known:
    """Growth from a wave, which diffusion hardly moves, and a small wave beside."""
    decay = (6 + 2 * sympy.cos(PI * X)) * sympy.exp(-10 * T)
    u = 1 / sympy.sqrt(1 + decay) + 0.004 * sympy.sin(PI * X)
    terms = [sympy.diff(u, T), -1e-4 * sympy.diff(u, X, 2), -5 * (u - u**3)]
    axes = {"t": times(1.0, 101), "x": -1 + 2 * np.arange(CELLS) / CELLS}
    scipy.io.savemat(folder / "Allen_Cahn.mat",
                     {"x": axes["x"], "t": axes["t"], "u": values(u, axes, 1)[0]})  # fmt: skip
    return Known(
        folder / "Allen_Cahn.mat", piddm.get_pde("allen-cahn"), box(axes, PERIODIC, (-1.0, 1.0)),
        {"u": "t x"}, {"balance": error(terms, axes, 1)}, {"u": "u"},
    )  # fmt: skip


def suite_kdv(folder: Path) -> Known:
    """``x, tt, uu``: a small wave, which its dispersion moves, and steepens hardly."""
    speed = 0.0025 * (2 * PI) ** 2
    u = 0.002 * sympy.cos(2 * PI * (X + speed * T))
    terms = [sympy.diff(u, T), sympy.diff(u**2 / 2, X), 0.0025 * sympy.diff(u, X, 3)]
    axes = {"t": times(1.0, 41), "x": -1 + 2 * np.arange(CELLS) / CELLS}
    scipy.io.savemat(folder / "KdV.mat",
                     {"x": axes["x"], "tt": axes["t"], "uu": values(u, axes, 1)[0].T})  # fmt: skip
    return Known(
        folder / "KdV.mat", piddm.get_pde("kdv"), box(axes, PERIODIC, (-1.0, 1.0)), {"u": "x t"},
        {"momentum": error(terms, axes, 1)}, {"u": "uu"},
    )  # fmt: skip


def suite_reaction(folder: Path) -> Known:
    """``x, t, Ca, Cb``: two species that diffuse between walls and react."""
    ca, cb = Field("ca"), Field("cb")
    d, k = Param("D", 2e-3), Param("kf", 0.1)
    pde = PDE(
        "two-species", "", Grid(t=Axis(0, 10, 41, time=True), x=Axis(0, 1, 41)), fields=[ca, cb],
        params=[d, k],
        equations={"a": D(ca, t) - d * D(ca, x, 2) + k * ca * cb**2,
                   "b": D(cb, t) - d * D(cb, x, 2) + 2 * k * ca * cb**2},
        inputs={ca.at(t=0): None, cb.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(10.0, 61), "x": np.linspace(0, 1, 41)}
    at = axes["x"]
    first = np.stack([1 - at + np.sin(np.pi * at) / 2, at + np.sin(np.pi * at)])
    source = 0.003 * np.sin(np.pi * at)

    def rate(_: float, c: np.ndarray) -> np.ndarray:
        sink = 0.1 * c[0] * c[1] ** 2
        found = np.zeros_like(c)  # the ends keep what they have
        spread = 2e-3 * np.diff(c, 2, axis=1) * 40**2
        found[:, 1:-1] = spread - np.stack([sink, 2 * sink])[:, 1:-1] + source[1:-1]
        return found

    one = list(marched(rate, first, axes["t"]).swapaxes(0, 1))
    known = {}
    for name, own, factor in (("a", one[0], 1), ("b", one[1], 2)):
        inside = own[:, 1:-1]
        sink = (factor * 0.1 * one[0] * one[1] ** 2)[:, 1:-1]
        parts = [np.gradient(inside, axes["t"], axis=0), 2e-3 * np.diff(own, 2, axis=1) * 40**2]
        largest = max(float((p**2).mean()) for p in (*parts, sink))
        known[name] = float((source[1:-1] ** 2).mean()) / largest
    np.savez(folder / "reaction.npz", x=axes["x"], t=axes["t"], Ca=one[0], Cb=one[1])
    return Known(
        folder / "reaction.npz", pde, box(axes, WALLS), dict.fromkeys(("ca", "cb"), "t x"), known,
        {"ca": "Ca", "cb": "Cb"},
    )  # fmt: skip


def climate(folder: Path) -> Known:
    """Any CF netCDF: axes by units and attributes, cells by bounds, packed numbers."""
    import xarray

    axes = {"t": times(1.0, 41), "x": layouts.centres(CELLS, -1, 1)}
    u = sum(sympy.cos(PI * k * (X + 1) / 2) * sympy.exp(-0.05 * (PI * k / 2) ** 2 * T) / k
            for k in (1, 2)) + 0.01 * T * sympy.cos(PI * (X + 1))  # fmt: skip
    terms = [sympy.diff(u, T), -0.05 * sympy.diff(u, X, 2)]
    own, nu = Field("temperature"), Param("nu", 0.05)
    pde = PDE(
        "cooling", "", Grid(t=Axis(0, 1, 21, time=True), x=Axis(-1, 1, CELLS)), fields=[own],
        params=[nu], equations={"balance": D(own, t) - nu * D(own, x, 2)},
        conditions={"walls": piddm.Neumann(own)}, inputs={own.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    edges = np.linspace(-1, 1, CELLS + 1)
    made = xarray.Dataset(
        {"temp": (("distance", "time"), values(u, axes, 1)[0].T),
         "distance_bnds": (("distance", "two"), np.stack([edges[:-1], edges[1:]], 1))},
        coords={"distance": ("distance", axes["x"],
                             {"units": "m", "axis": "X", "bounds": "distance_bnds"}),
                "time": ("time", axes["t"], {"standard_name": "time", "units": "s"})},
        attrs={"Conventions": "CF-1.8"},
    )  # fmt: skip
    packed = {
        "temp": {"dtype": "int32", "scale_factor": 1e-9, "add_offset": 0.5, "_FillValue": -999}
    }
    made.to_netcdf(folder / "cooling.nc", engine="h5netcdf", encoding=packed)
    return Known(
        folder / "cooling.nc", pde, box(axes, WALLS, (-1.0, 1.0)), {"temperature": "x t"},
        {"balance": error(terms, axes, 1)}, {"temperature": "temp"},
    )  # fmt: skip
