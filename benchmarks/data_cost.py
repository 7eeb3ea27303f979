"""What training data cost: solving an equation's own residual, and how that grows with the grid.

    python benchmarks/data_cost.py [--pdes burgers darcy] [--count 1000] [--sizes 32 64 128 256]
        [--seconds 30] [--out docs/data_cost.png] [--json docs/data_cost.json]

Times are wall-clock, and count all that ``piddm`` does for a data set but writing it: priors,
building the solver, Newton's method, the residual of the result. The floor is the worst sample's
mean-square residual in float64, over the largest term, whichever row it is of.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from machine import describe
from matplotlib.figure import Figure

from piddm import get_pde
from piddm.data.simulate import CHUNK, simulate
from piddm.equation import PDE
from piddm.figures.style import BLUE, GREEN, GREY, INK, NORMAL, SMALL, VERMILLION, plain, save
from piddm.grids.grid import Grid
from piddm.interfaces import Fields, Residual
from piddm.residuals.norms import term_scale
from piddm.tools.randomness import generator

GOAL = 60.0
"""Seconds for a thousand samples of 64 nodes a side, on two cores."""

FEW = 4
"""Samples that tell how many there is time for."""

LOOKS = ((BLUE, "o"), (VERMILLION, "s"), (GREEN, "^"), (INK, "D"))


def made(pde: PDE, grid: Grid, count: int, seed: int = 0) -> tuple[float, float]:
    """Make samples in chunks, as a data set is; return the seconds and the floor."""
    start = time.perf_counter()
    residual, scale, floor = pde.bind(grid), {}, 0.0
    for first in range(0, count, CHUNK):
        size = min(CHUNK, count - first)
        (fields,) = simulate(pde, grid, size, generator(seed, "data", first), chunk=size)
        scale = scale or term_scale(residual, fields)
        floor = max(floor, worst(residual, fields, scale))
    return time.perf_counter() - start, floor


def worst(residual: Residual, fields: Fields, scale: dict[str, float]) -> float:
    """Return the largest mean square of a sample's rows over their scale."""
    rows = residual(fields)
    return max(float((r / scale[k]).flatten(1).square().mean(1).max()) for k, r in rows.items())


def affordable(pde: PDE, grid: Grid, seconds: float) -> int:
    """Return how many samples take about so long, whole chunks where there is time for one."""
    count = FEW
    # Few samples cost more each: the solver is built for them alone.
    while (spent := made(pde, grid, count, seed=1)[0]) < seconds / 8:
        count *= 4
    count = max(FEW, int(seconds * count / spent))
    return count if count < CHUNK else count // CHUNK * CHUNK


def measure(name: str, options: argparse.Namespace) -> dict:
    pde = get_pde(name)
    made(pde, pde.grid.resized(min(options.sizes)), FEW)  # the first call of all pays for imports
    seconds, floor = made(pde, pde.grid.resized(64), options.count)
    print(f"{name}: {options.count} samples of 64 nodes a side in {seconds:.1f} s "
          f"(goal {GOAL * options.count / 1000:.0f} s), floor {floor:.1e}", flush=True)  # fmt: skip
    result = {"pde": name, "count": options.count, "seconds": seconds, "floor": floor}
    result["sizes"] = []
    for size in options.sizes:
        grid = pde.grid.resized(size)
        count = affordable(pde, grid, options.seconds)
        spent, floor = made(pde, grid, count)
        row = {"size": size, "count": count, "seconds_per_sample": spent / count, "floor": floor}
        result["sizes"].append(row)
        print(f"    {size:>4} nodes a side  {spent / count:.2e} s a sample  "
              f"({count} samples in {spent:.1f} s, floor {floor:.1e})", flush=True)  # fmt: skip
    result["exponent"] = exponent(result["sizes"])
    result["exponent_of_last"] = exponent(result["sizes"][-2:])
    print(
        f"    cost ~ n^{result['exponent']:.2f} in the nodes n along an axis; "
        f"n^{result['exponent_of_last']:.2f} from {options.sizes[-2]} to {options.sizes[-1]}"
    )
    return result


def exponent(rows: list[dict]) -> float:
    """Return the slope of cost over nodes along an axis, both logarithmic, by least squares."""
    n, cost = ([row[key] for row in rows] for key in ("size", "seconds_per_sample"))
    return float(np.polyfit(np.log(n), np.log(cost), 1)[0])


def draw(results: list[dict]) -> Figure:
    """Draw seconds for a sample over nodes along an axis, both logarithmic."""
    figure = Figure(figsize=(5.4, 3.9), layout="constrained")
    axes = figure.add_subplot()
    ends = []
    for result, (colour, marker) in zip(results, LOOKS, strict=False):
        n, cost = ([r[key] for r in result["sizes"]] for key in ("size", "seconds_per_sample"))
        axes.plot(n, cost, color=colour, marker=marker, markersize=5, linewidth=1.2)
        label = f"{result['pde']}, $n^{{{result['exponent']:.1f}}}$"
        ends.append((cost[-1], n[-1], label, colour))
    # A thousand samples in a minute, where the goal has its grid.
    axes.plot(64, GOAL / 1000, color=GREY, marker="_", markersize=16, markeredgewidth=1.2)
    axes.annotate("goal: 1,000 in 60 s", (64, GOAL / 1000), xytext=(-12, 0), ha="right",
                  va="center", textcoords="offset points", fontsize=SMALL, color=GREY)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    sizes = sorted({r["size"] for result in results for r in result["sizes"]})
    axes.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
    axes.set_xticks(sizes, [str(n) for n in sizes])
    for (cost, n, label, colour), lift in zip(ends, lifts([e[0] for e in ends]), strict=True):
        axes.annotate(label, (n, cost), xytext=(8, lift), textcoords="offset points", va="center",
                      fontsize=NORMAL, color=colour, annotation_clip=False)  # fmt: skip
    axes.set_xlabel("nodes n along each axis", fontsize=SMALL, color=INK)
    axes.set_ylabel("seconds for a sample", fontsize=SMALL, color=INK)
    plain(axes)
    return figure


def lifts(values: list[float], apart: float = 12.0, decade: float = 70.0) -> list[float]:
    """Return by how many points each label goes up, so that neighbours do not cover each other."""
    order = np.argsort(values)
    places = decade * np.log10(np.array(values)[order])
    free = places.copy()
    for k in range(1, len(free)):
        free[k] = max(free[k], free[k - 1] + apart)
    moved = free - places
    moved -= moved.mean()
    return [float(moved[list(order).index(k)]) for k in range(len(values))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pdes", nargs="+", default=["burgers", "darcy"])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--sizes", nargs="+", type=int, default=[32, 64, 128, 256])
    parser.add_argument("--seconds", type=float, default=30.0, help="about as long for each size")
    parser.add_argument("--out", type=Path, default=Path("docs/data_cost.png"))
    parser.add_argument("--json", type=Path, default=Path("docs/data_cost.json"))
    options = parser.parse_args()
    if len(options.sizes) < 2 or len(options.pdes) > len(LOOKS):
        parser.error(f"an exponent needs two sizes, and there are {len(LOOKS)} colours")
    print(describe(), flush=True)
    with torch.no_grad():
        results = [measure(name, options) for name in options.pdes]
    for path in (options.out, options.json):
        path.parent.mkdir(parents=True, exist_ok=True)
    save(draw(results), options.out)
    report = {"machine": describe(), "chunk": CHUNK, "equations": results}
    options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
