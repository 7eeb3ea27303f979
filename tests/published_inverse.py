"""Files of PDEInvBench, one a parameter, from fields that are known."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import sympy

import layouts
import piddm
from piddm import PDE, Axis, Grid, Integral
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from published import PI, SAMPLE, Known, T, X, Y, error, laplacian, seeped, values
from published_pdebench import CELLS, PERIODIC, WALLS, box, reaction_2d, times


def reaction(folder: Path) -> Known:
    """The same of PDEInvBench, whose params are in the file's name alone."""
    name = "2D_diff-react_Du=0.0816335_Dv=0.1512121_k=0.02190137.h5"
    return reaction_2d(folder, name, Du=0.0816335, Dv=0.1512121, k=0.02190137)


def flow(folder: Path) -> Known:
    """PDEInvBench's unforced flow: ``solutions``, and the Reynolds number alone as the name."""
    n, number = 24, 83.0
    w, psi, re = Field("w"), Field("psi"), Param("Re", 100.0, doc="Reynolds number")
    axis = Axis(0, 1, n, periodic=True)
    pde = PDE(
        "vorticity", "", Grid(t=Axis(0, 3, 21, time=True), x=axis, y=axis), fields=[w, psi],
        params=[re],
        equations={"transport": D(w, t) + D(psi, y) * D(w, x) - D(psi, x) * D(w, y)
                   - laplace(w, [x, y]) / re, "stream": laplace(psi, [x, y]) + w},
        integrals={"mean": Integral(psi)}, inputs={w.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(0.5, 41), **{k: np.arange(n) / n for k in "xy"}}
    rate = 8 * PI**2 / number
    stream = sympy.sin(2 * PI * X + SAMPLE) * sympy.sin(2 * PI * Y) * sympy.exp(-rate * T)
    stream += 0.005 * sympy.cos(2 * PI * X)
    vorticity = -laplacian(stream, X, Y)
    terms = [sympy.diff(vorticity, T), sympy.diff(stream, Y) * sympy.diff(vorticity, X),
             -sympy.diff(stream, X) * sympy.diff(vorticity, Y),
             *(-sympy.diff(vorticity, s, 2) / number for s in (X, Y))]  # fmt: skip
    path = folder / "83.0.h5"
    with h5py.File(path, "w") as file:
        file["solutions"] = values(vorticity, axes)[..., None].astype(np.float32)
        for name, at in axes.items():
            file[f"{name}-coordinate"] = at.astype(np.float32)
    return Known(
        path, pde, box(axes, PERIODIC), {"w": "sample t x y channel"},
        {"transport": error(terms, axes)}, {"w": "solutions"}, params={"Re": number},
    )  # fmt: skip


def turbulence(folder: Path) -> Known:
    """PDEInvBench's forced flow: groups, on a torus, with its viscosity in the name."""
    n, nu = 24, 0.02
    w, psi, own = Field("w"), Field("psi"), Param("nu", 0.01)
    axis = Axis(0, 2 * np.pi, n, periodic=True)
    pde = PDE(
        "forced", "", Grid(t=Axis(0, 1, 21, time=True), x=axis, y=axis), fields=[w, psi],
        params=[own],
        equations={"transport": D(w, t) + D(psi, y) * D(w, x) - D(psi, x) * D(w, y)
                   - own * laplace(w, [x, y]) + 2 * sympy.cos(2 * y) + 0.1 * w,
                   "stream": laplace(psi, [x, y]) + w},
        integrals={"mean": Integral(psi)}, inputs={w.at(t=0): None},  # pyright: ignore
    )  # fmt: skip
    axes = {"t": times(1.0, 41), **{k: np.arange(n) * 2 * np.pi / n for k in "xy"}}
    rate = 4 * nu + 0.1
    size = (3 + SAMPLE) * sympy.exp(-rate * T) - 2 / rate
    vorticity = size * sympy.cos(2 * Y) + 0.004 * sympy.cos(X)
    stream = size / 4 * sympy.cos(2 * Y) + 0.004 * sympy.cos(X)
    terms = [sympy.diff(vorticity, T), sympy.diff(stream, Y) * sympy.diff(vorticity, X),
             -sympy.diff(stream, X) * sympy.diff(vorticity, Y),
             -nu * laplacian(vorticity, X, Y), 2 * sympy.cos(2 * Y), 0.1 * vorticity]  # fmt: skip
    path = folder / "nu=0.02.h5"
    data = values(vorticity, axes)[..., None]
    layouts.pdebench_groups(path, data, axes["t"], x=axes["x"], y=axes["y"])
    return Known(
        path, pde, box(axes, PERIODIC, (0.0, 2 * np.pi)), {"w": "sample t x y channel"},
        {"transport": error(terms, axes)}, {"w": "*/data"}, params={"nu": nu},
    )  # fmt: skip


def kdv(folder: Path) -> Known:
    """PDEInvBench's Korteweg-de Vries: one trajectory, the dispersion is delta squared."""
    delta = 0.05
    wave = 0.002 * sympy.cos(2 * PI * (X + (2 * PI * delta) ** 2 * T))
    terms = [sympy.diff(wave, T), sympy.diff(wave**2 / 2, X), delta**2 * sympy.diff(wave, X, 3)]
    axes = {"t": times(1.0, 41), "x": np.arange(CELLS) / CELLS}
    path = folder / "delta=0.05_ic=42.h5"
    with h5py.File(path, "w") as file:
        file["tensor"] = values(wave, axes, 1)[0]
        for name, at in axes.items():
            file[f"{name}-coordinate"] = at
    return Known(
        path, piddm.get_pde("kdv"), box(axes, PERIODIC), {"u": "t x"},
        {"momentum": error(terms, axes, 1)}, {"u": "tensor"}, params={"delta": delta**2},
    )  # fmt: skip


def darcy(folder: Path) -> Known:
    """PDEInvBench's Darcy flow: one sample a file, on vertices."""
    n = 33
    axes = {"x": np.linspace(0, 1, n), "y": np.linspace(0, 1, n)}
    pattern = values(sympy.sin(5 * X) + sympy.cos(7 * Y - 3 * X), axes, 1)
    off = 0.02 * values(sympy.cos(2 * PI * X) * sympy.cos(PI * Y), axes, 1)
    medium = np.where(pattern > 0, 12.0, 3.0)
    pressure, known = seeped(medium, 1 + off, "vertex")
    path = folder / "sample_1024.h5"
    with h5py.File(path, "w") as file:
        file["coeff"], file["sol"] = medium[0, ..., None], pressure[0, ..., None]
    return Known(
        path, piddm.get_pde("darcy"), box(axes, WALLS), dict.fromkeys("au", "x y -"),
        {"mass": known}, {"a": "coeff", "u": "sol"},
    )  # fmt: skip
