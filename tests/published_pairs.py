"""States at two times that are far apart: what is known is how far the later one is off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import sympy

import layouts
import piddm
from piddm.data.placing import placed
from published import PI, Known, X, Y, apart, cole, values
from published_others import driven
from published_pdebench import PERIODIC, box

N, OFF = 48, 0.05
"""Nodes along an axis, and by how much of a wave later states are off."""

ENDS = np.array([0.0, 1.0])


def burgers(folder: Path) -> Known:
    """``a`` and ``u`` at t = 0 and 1, with the smoothed inputs that the published file has too."""
    own = piddm.get_pde("burgers")
    axes = {"t": ENDS, "x": np.arange(128) / 128}
    exact = values(cole(0.1, 0.0)[0], axes)
    stored = exact.copy()
    stored[:, 1] += OFF * np.abs(exact[:, 1]).max() * np.sin(2 * np.pi * axes["x"])
    smooth = (stored[:, 0] + np.roll(stored[:, 0], 1, -1)) / 2
    path = folder / "burgers_data_R10.mat"
    layouts.save_matlab5(
        path, a=stored[:, 0], a_smooth=smooth, a_smooth_x=np.gradient(smooth, axis=1),
        a_x=np.gradient(stored[:, 0], axis=1), u=stored[:, 1],
    )  # fmt: skip
    return Known(
        path, placed(own, own.grid, {"nu": 0.1}), box(axes, PERIODIC), {"u": "sample x"}, {},
        {"u": "a"}, distance={"u": apart(stored, exact)},
    )  # fmt: skip


def two_states() -> tuple[dict, np.ndarray, np.ndarray]:
    """Return axes, and a driven flow at two times as it is stored and as it is."""
    axes = {"t": ENDS, **{k: np.arange(N) / N for k in "xy"}}
    exact = values(driven(1e-3, 0.0)[0], axes)
    stored = exact.copy()
    wave = values(sympy.sin(2 * PI * X) * sympy.cos(2 * PI * Y), {k: axes[k] for k in "xy"})
    stored[:, 1] += OFF * np.abs(exact[:, 1]).max() * wave
    return axes, stored, exact


def known(path: Path, axes: dict, stored: np.ndarray, exact: np.ndarray, key: str) -> Known:
    return Known(
        path, piddm.get_pde("navier-stokes"), box(axes, PERIODIC), {"w": "sample x y"}, {},
        {"w": key}, distance={"w": apart(stored, exact)},
    )  # fmt: skip


def flow(folder: Path) -> Known:
    """DiffusionPDE's pairs w(0), w(1)."""
    axes, stored, exact = two_states()
    path = folder / "ns-nonbounded_0.mat"
    layouts.save_matlab5(path, a=stored[:, 0], u=stored[:, 1])
    return known(path, axes, stored, exact, "a")


def torch_flow(folder: Path) -> Known:
    """neuraloperator's ``x`` and ``y`` of one resolution."""
    axes, stored, exact = two_states()
    path = folder / "nsforcing_train_48.pt"
    layouts.neuraloperator(path, *(v.astype(np.float32) for v in stored.swapaxes(0, 1)))
    return known(path, axes, stored, exact, "x")
