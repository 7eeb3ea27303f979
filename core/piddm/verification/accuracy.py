"""Order of the time scheme, and accuracy of spectral derivatives, on manufactured fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Axis
from piddm.residuals.norms import term_scale
from piddm.residuals.residual import Residual
from piddm.residuals.row_places import steps_in_time
from piddm.symbolic.operators import strict
from piddm.symbolic.specification import Order
from piddm.symbolic.winds import accuracy, without_winds
from piddm.verification.coefficients import smooth
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
"""Numbers of times, ever finer."""

SPECTRAL = 1e-10
"""Largest error of a spectral derivative of a resolved field, relative."""

FIRST = ", first step"
"""End of the label of a row's first step."""

TIME_ORDERS = {"crank-nicolson": 2, "backward-euler": 1, "bdf2": 2, "newmark": 2, "centred": 2}
"""Nominal order of each time scheme."""


def order_in_time(pde: PDE) -> Check:
    """Check the order of the time scheme, on fields whose errors in space are far smaller."""
    time = next((k for k, a in pde.grid.axes.items() if a.time), None)
    if time is None:
        return Check("order_in_time", True, "there is no axis of time", applies=False)
    pde = _central(smooth(pde))
    made = [manufacture(pde, "smooth", gentle=True, variant=k) for k in range(2)]
    still = manufacture(pde, "linear", gentle=True)
    n = 32 if len(space_of(pde.grid)) < 3 and not pde.grid.spherical else 16
    grid = with_intervals(pde.grid, n)
    order = _finest(pde)
    steps, found = [], []
    round_off: dict[str, float] = {}
    for count in TIMES:
        residual = pde.bind(with_times(grid, count, 1.0), order)
        found.append([_by_step(pde, residual, errors(m, residual)) for m in made])
        steps.append(1 / (count - 1))
        round_off = rounding(made[0], residual)
    short = pde.bind(with_intervals(without_time_errors(still), n), order)
    floor = {k: float(e.max()) for k, e in errors(still, short).items()}
    lines = []
    for label in found[0][0]:
        name = label.removesuffix(FIRST)
        if name in pde.conditions and not _has(pde.conditions[name].ends(grid), time):
            continue
        largest = [max(float(e[label].nan_to_num(0.0).max()) for e in each) for each in found]
        rms = [
            float(np.mean([float(e[label].square().nanmean()) for e in each]) ** 0.5)
            for each in found
        ]
        below = [max(floor[name], round_off[name])] * len(steps)
        slope = observed(steps, largest, below)
        nominal = TIME_ORDERS[pde.time_scheme] if name in pde.equations else 2
        nominal = 1 if label != name else nominal
        method = pde.time_scheme + label.removeprefix(name)
        lines.append(Line(label, method, nominal, steps, largest, rms, below, slope))
    return checked("order_in_time", lines)


def spectral_accuracy(pde: PDE) -> Check:
    """Check that spectral derivatives are exact to 1e-10 of the largest term on smooth fields."""
    space = space_of(pde.grid)
    spherical = pde.grid.spherical
    if not space or not (spherical or all(is_spectral(pde.grid.axes[k]) for k in space)):
        detail = "not all axes of space are periodic, or have Chebyshev's nodes"
        return Check("spectral_accuracy", True, detail, applies=False)
    if any(accuracy(strict(e)) for e in pde.equations.values()):
        return Check("spectral_accuracy", True, "upwind derivatives have an order", applies=False)
    pde = smooth(pde)
    made = manufacture(pde, "quadratic" if twice_in_time(pde) else "linear")
    times = without_time_errors(made)
    best: dict[str, float] = {}
    curve: dict[str, list[float]] = {}
    sizes = (8, 12, 16, 24, 32, 48, 64)[: 7 if len(space) < 3 and not spherical else 5]
    for n in sizes:
        residual = pde.bind(with_intervals(times, n), "spectral")
        scale = term_scale(residual, made.fields(residual.grid))
        for name, error in errors(made, residual).items():
            relative = float(error.nan_to_num(0.0).max()) / (scale[name] or 1.0)
            curve.setdefault(name, []).append(relative)
            best[name] = min(best.get(name, np.inf), relative)
    passed = all(v <= SPECTRAL for v in best.values())
    detail = ", ".join(f"{k} {v:.1e}" for k, v in best.items())
    return Check("spectral_accuracy", passed, f"relative error: {detail}",
                 {"best": best, "sizes": list(sizes), "errors": curve})  # fmt: skip


def _by_step(pde: PDE, residual: Residual, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tell rows of the first step apart where it is of another order: BDF2 has but one past then.

    One step of the first order leaves an error of the second.
    """
    if pde.time_scheme != "bdf2":
        return found
    out = dict(found)
    for name, equation in pde.equations.items():
        if steps_in_time(equation, pde, residual.grid) is not None:
            first = torch.from_numpy(residual.rows[name].nodes[:, 0] == 1)
            out[name], out[name + FIRST] = found[name][~first], found[name][first]
    return out


def _central(pde: PDE) -> PDE:
    """Return the equation without upwind derivatives, whose errors are not small in space."""
    if not any(accuracy(strict(e)) for e in pde.equations.values()):
        return pde
    equations = {k: without_winds(strict(e)) for k, e in pde.equations.items()}
    return dataclasses.replace(pde, equations=equations, simulate=None)


def _has(ends: Sequence[tuple[str, int]], axis: str) -> bool:
    return any(name == axis for name, _ in ends)


def _finest(pde: PDE) -> Order | dict[str, Order]:
    if pde.grid.spherical:
        return "spectral"
    return {k: "spectral" if is_spectral(pde.grid.axes[k]) else 6 for k in space_of(pde.grid)}


def is_spectral(axis: Axis) -> bool:
    """Return whether an axis has spectral derivatives."""
    return axis.periodic or bool(axis.chebyshev_kind)
