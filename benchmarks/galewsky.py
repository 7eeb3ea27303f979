"""The barotropic instability of a jet: shallow water on the sphere, against the known picture.

python benchmarks/galewsky.py             # 64 x 128 nodes, six days, minutes on one core
python benchmarks/galewsky.py --size 96   # T95: finer filaments, some times as long

The perturbed jet of J. Galewsky, R. K. Scott and L. M. Polvani, An initial-value problem for
testing numerical models of the global shallow-water equations, Tellus A 56 (2004), marched by the
equation's own solver on its own residual. The jet is balanced on the grid itself: with the
perturbation left out, it would stand still but for hyperdiffusion.
"""

import argparse
import dataclasses
import math
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from piddm import PDE, Axis, Grid
from piddm.grids.harmonics import Harmonics, harmonics_of
from piddm.plugins import get_pde
from piddm.symbolic import Param
from piddm_pdes._sphere import State, gravity_waves, march

HOUR, RADIUS, GRAVITY = 3600.0, 6.37122e6, 9.80616
PIECE = 6.0
"""Hours marched at a time."""

DAYS = (4, 5, 6)
ENOUGH = 1e-12
"""Last correction of a step over the field's size."""


def with_damping(pde: PDE, top: int, hours: float) -> PDE:
    """Return the equations with hyperdiffusion that damps the last degree by e in some hours."""
    old = next(p for p in pde.params if p.name == "nu")
    new = Param("nu", 1 / (hours * (top * (top + 1.0)) ** 4))
    return dataclasses.replace(
        pde,
        params=[new if p == old else p for p in pde.params],
        equations={k: e.xreplace({old: new}) for k, e in pde.equations.items()},
    )


def jet(lat: torch.Tensor) -> torch.Tensor:
    """Return the eastward wind in radii an hour: 80 m/s at 45 degrees north, zero off a band."""
    low, high = math.pi / 7, math.pi / 2 - math.pi / 7
    inside = (lat > low) & (lat < high)
    shape = torch.where(inside, (lat - low) * (lat - high), -1.0)
    wind = 80.0 * torch.exp(1 / shape + 4 / (high - low) ** 2)
    return torch.where(inside, wind, 0.0) * HOUR / RADIUS


def first_state(pde: PDE, grid: Grid, space: Harmonics) -> State:
    """Return the balanced jet with a bump of 120 m, ``(1, lat, lon)``, without its mean."""
    omega = next(p.value for p in pde.params if p.name == "Omega")
    lat = torch.from_numpy(grid.axes["lat"].coordinates())[:, None].expand(grid.shape)
    lon = torch.from_numpy(grid.axes["lon"].coordinates()).expand(grid.shape)
    lon = torch.where(lon > math.pi, lon - 2 * math.pi, lon)
    zeta = space.curl(torch.zeros_like(lat), jet(lat))
    north, east = space.grad(-1)
    wind = east(zeta), -north(zeta)  # what the equations make of the vorticity
    push = [(zeta + 2 * omega * torch.sin(lat)) * v for v in wind]
    phi = space.laplace(-1)(space.curl(*push)) - (wind[0] ** 2 + wind[1] ** 2) / 2
    bump = 120 * torch.cos(lat) * torch.exp(-((3 * lon) ** 2) - (15 * (math.pi / 4 - lat)) ** 2)
    phi = phi + GRAVITY * (HOUR / RADIUS) ** 2 * bump
    resolved = space.diagonal(torch.ones(space.count, dtype=torch.float64))
    return {"phi": resolved(phi)[None], "zeta": zeta[None], "delta": torch.zeros_like(zeta)[None]}


def draw(found: dict[int, torch.Tensor], grid: Grid, title: str, path: Path) -> None:
    """Draw the vorticity of the northern hemisphere, a day a row."""
    lat = np.degrees(grid.axes["lat"].coordinates())
    lon = np.degrees(grid.axes["lon"].coordinates())
    figure, panels = plt.subplots(len(found), 1, figsize=(9, 6), sharex=True, layout="constrained")
    for axes, (day, zeta) in zip(panels, found.items(), strict=True):
        values = np.roll(zeta.numpy() / HOUR * 1e5, len(lon) // 2, axis=1)
        drawn = axes.contourf(lon - 180, lat, values, np.arange(-17, 18, 2), cmap="RdBu_r",
                              extend="both")  # fmt: skip
        axes.set(ylim=(10, 80), ylabel="latitude", title=f"day {day}", yticks=[20, 40, 60, 80])
    panels[-1].set(xlabel="longitude", xticks=range(-180, 181, 60))
    figure.colorbar(drawn, ax=panels, label="vorticity, 1e-5/s")  # pyright: ignore
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=64, help="latitudes")
    parser.add_argument("--step", type=float, default=0.25, help="hours")
    parser.add_argument("--damping", type=float, default=2.0, help="hours, of the last degree")
    parser.add_argument("--out", type=Path, default=Path("docs/galewsky.png"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    sphere = Grid.sphere(options.size)
    space = harmonics_of(sphere)
    pde = with_damping(get_pde("shallow-water"), space.count - 1, options.damping)
    times = Axis(0, PIECE, 1 + round(PIECE / options.step), time=True)
    grid = Grid.sphere(options.size, t=times)
    state, found = first_state(pde, sphere, space), {}
    weights = torch.from_numpy(sphere.weights())
    depth = 1e4 / next(p.value for p in pde.params if p.name == "Phi")
    mean = float((state["phi"] * weights).mean())
    drift, began = 0.0, time.perf_counter()
    with torch.no_grad():
        for piece in range(1, round(24 * DAYS[-1] / PIECE) + 1):
            states = march(pde, grid, state, gravity_waves, ENOUGH)
            state = {k: v[:, -1] for k, v in states.items()}
            now = float((state["phi"] * weights).mean())
            drift = max(drift, abs(now - mean) * depth)
            print(
                f"hour {piece * PIECE:4.0f}: largest vorticity "
                f"{float(state['zeta'].max()) / HOUR * 1e5:.2f}e-5/s, mean depth off by "
                f"{(now - mean) * depth:+.1e} m of 1e4, {time.perf_counter() - began:.0f} s",
                flush=True,
            )
            if piece * PIECE / 24 in DAYS:
                found[round(piece * PIECE / 24)] = state["zeta"][0]
    print(f"mass drift over {DAYS[-1]} days: {drift / 1e4:.1e} of the whole")
    title = f"Perturbed jet of Galewsky et al. on {options.size} x {2 * options.size} nodes"
    draw(found, sphere, title, options.out)


if __name__ == "__main__":
    main()
