"""Order of the time scheme, and accuracy of spectral derivatives, on manufactured fields."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from piddm.pde import PDE, Order
from piddm.physics import term_scale
from piddm.verification.manufactured import manufacture
from piddm.verification.result import Check, Line
from piddm.verification.slopes import checked, observed
from piddm.verification.truncation import (
    errors,
    rounding,
    space_of,
    twice_in_time,
    with_intervals,
    with_times,
    without_time_errors,
)

TIMES = (9, 13, 17, 25, 33, 49)
SPECTRAL = 1e-10

TIME_ORDERS = {"crank-nicolson": 2, "backward-euler": 1, "centred": 2}


def order_in_time(pde: PDE) -> Check:
    """Check the order of the time scheme, on fields whose errors in space are far smaller."""
    time = next((k for k, a in pde.grid.axes.items() if a.time), None)
    if time is None:
        return Check("order_in_time", True, "there is no axis of time", applies=False)
    made = [manufacture(pde, "smooth", gentle=True, variant=k) for k in range(2)]
    still = manufacture(pde, "linear", gentle=True)
    n = 32 if len(space_of(pde.grid)) < 3 and not pde.grid.spherical else 16
    grid = with_intervals(pde.grid, n)
    order = _finest(pde)
    steps, found = [], []
    round_off: dict[str, float] = {}
    for count in TIMES:
        residual = pde.bind(with_times(grid, count, 1.0), order)
        found.append([errors(m, residual) for m in made])
        steps.append(1 / (count - 1))
        round_off = rounding(made[0], residual)
    short = pde.bind(with_intervals(without_time_errors(still), n), order)
    floor = {k: float(e.max()) for k, e in errors(still, short).items()}
    lines = []
    for name in round_off:
        if name in pde.conditions and not _has(pde.conditions[name].ends(grid), time):
            continue
        largest = [max(float(e[name].max()) for e in each) for each in found]
        rms = [
            float(np.mean([float(e[name].square().mean()) for e in each]) ** 0.5) for each in found
        ]
        below = [max(floor[name], round_off[name])] * len(steps)
        slope = observed(steps, largest, below)
        nominal = TIME_ORDERS[pde.time_scheme] if name in pde.equations else 2
        lines.append(Line(name, pde.time_scheme, nominal, steps, largest, rms, below, slope))
    return checked("order_in_time", lines)


def spectral_accuracy(pde: PDE) -> Check:
    """Check that spectral derivatives are exact to 1e-10 of the largest term on smooth fields."""
    space = space_of(pde.grid)
    spherical = pde.grid.spherical
    if not space or not (spherical or all(pde.grid.axes[k].periodic for k in space)):
        return Check("spectral_accuracy", True, "not all axes of space are periodic", applies=False)
    made = manufacture(pde, "quadratic" if twice_in_time(pde) else "linear")
    times = without_time_errors(made)
    best: dict[str, float] = {}
    curve: dict[str, list[float]] = {}
    sizes = (8, 12, 16, 24, 32, 48, 64)[: 7 if len(space) < 3 and not spherical else 5]
    for n in sizes:
        residual = pde.bind(with_intervals(times, n), "spectral")
        scale = term_scale(residual, made.fields(residual.grid))
        for name, error in errors(made, residual).items():
            relative = float(error.max()) / (scale[name] or 1.0)
            curve.setdefault(name, []).append(relative)
            best[name] = min(best.get(name, np.inf), relative)
    passed = all(v <= SPECTRAL for v in best.values())
    detail = ", ".join(f"{k} {v:.1e}" for k, v in best.items())
    return Check("spectral_accuracy", passed, f"relative error: {detail}",
                 {"best": best, "sizes": list(sizes), "errors": curve})  # fmt: skip


def _has(ends: Sequence[tuple[str, int]], axis: str) -> bool:
    return any(name == axis for name, _ in ends)


def _finest(pde: PDE) -> Order | dict[str, Order]:
    if pde.grid.spherical:
        return "spectral"
    return {k: "spectral" if pde.grid.axes[k].periodic else 6 for k in space_of(pde.grid)}
