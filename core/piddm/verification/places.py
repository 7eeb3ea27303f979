"""The rows of every equation, condition and integral: how many, where, and what they touch."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.grids.grid import Grid, NodeCounts
from piddm.numerics.derived_solver import DerivedSolver
from piddm.residuals.residual import Residual, Rows
from piddm.symbolic.operators import strict
from piddm.symbolic.text import equation_text
from piddm.tools.errors import PiddmError
from piddm.verification.data import data_of
from piddm.verification.result import Check
from piddm.verification.structure import tiny

NAME = "rows"
"""Name of the check."""


def rows(pde: PDE, seed: int = 0, size: NodeCounts | None = None) -> Check:
    """Check that there is a row for every unknown, and that rows touch what they declare.

    The arguments are those of ``verify``.
    """
    residual, fields = tiny(pde, 1)
    table: list[dict[str, Any]] = []
    wrong = []
    for name, dependence in _dependence(residual, fields).items():
        at = residual.rows[name]
        declared = _declared(at, residual, len(dependence))
        undeclared = dependence & ~declared
        found = {
            "name": name,
            "rows": len(at.nodes),
            "where": _where(at, residual.grid),
            "says": statement(pde, name),
            "unused": int((declared & ~dependence).sum()),
        }
        if len(at.nodes) != len(dependence):
            wrong.append(f"{name} declares {len(at.nodes)} rows and has {len(dependence)}")
        elif undeclared.any():
            row = int(np.flatnonzero(undeclared.any(1))[0])
            node = tuple(int(i) for i in at.nodes[row])
            wrong.append(
                f"{name}: the row at node {node} depends on {int(undeclared[row].sum())} values "
                "that it does not declare"
            )
        table.append(found)
    posed = _posed(pde, residual.grid)
    if posed:
        wrong.append(posed)
    _add_values(pde, table, seed, size)
    total = sum(r["rows"] for r in table)
    detail = f"{total} rows on a grid of {' x '.join(map(str, residual.grid.shape))}: " + ", ".join(
        f"{r['name']} {r['rows']}" for r in table
    )
    if pde.simulate is not None and posed and wrong == [posed]:
        return Check(NAME, True, f"{detail}; no derived solver: {posed}", {"rows": table})
    return Check(NAME, not wrong, "; ".join(wrong) or detail, {"rows": table})


def statement(pde: PDE, name: str) -> str:
    """Return what a row says, as people write it."""
    if name in pde.equations:
        return equation_text(pde.equations[name])
    if name in pde.integrals:
        integral = pde.integrals[name]
        value = "its first value" if integral.conserved else str(integral.value)
        return f"∫ {integral.integrand} = {value}"
    if name not in pde.conditions:
        return ""
    condition = pde.conditions[name]
    axis, end = condition.ends(pde.grid)[0]
    left = sympy.Add(*condition.parts(axis, end, pde.grid)) - strict(condition.value)
    count = len(condition.ends(pde.grid))
    return equation_text(left) + (f", at each of {count} ends" if count > 1 else "")


def _dependence(residual: Residual, fields: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return which values each row truly depends on: ``(rows, fields * nodes)``."""
    names = residual.field_names
    rest = {k: v for k, v in fields.items() if k not in names}
    flat = torch.stack([fields[k][0] for k in names])

    def of(x: Tensor) -> dict[str, Tensor]:
        named = {k: x[i][None] for i, k in enumerate(names)}
        return {k: v[0].flatten() for k, v in residual(rest | named).items()}

    jacobian = torch.func.jacrev(of)(flat)
    return {k: (v.flatten(1) != 0).numpy() for k, v in jacobian.items()}


def _declared(rows: Rows, residual: Residual, count: int) -> np.ndarray:
    """Return which values each row says that it touches."""
    shape = residual.grid.shape
    found = np.zeros((count, len(residual.field_names), *shape), dtype=bool)
    for reach in rows.reaches:
        for k, name in enumerate(residual.field_names):
            if name not in reach.offsets:
                continue
            for row in (r for r in reach.rows if r < min(count, len(rows.nodes))):
                if rows.integral or rows.dense:
                    found[row, k] |= _at_time(rows, row, residual.grid)
                    continue
                for offset in reach.offsets[name]:
                    node = rows.nodes[row] + np.asarray(offset)
                    found[(row, k, *(int(i) % n for i, n in zip(node, shape, strict=True)))] = True
    return found.reshape(count, -1)


def _at_time(rows: Rows, row: int, grid: Grid) -> np.ndarray:
    where = np.ones(grid.shape, dtype=bool)
    for d, axis in enumerate(grid.axes.values()):
        if axis.time:
            now = int(rows.nodes[row, d])
            times = [now - 1, now] if rows.lag else [now]
            keep = np.isin(np.arange(axis.size), times)
            where &= keep.reshape([-1 if k == d else 1 for k in range(len(grid.shape))])
    return where


def _where(rows: Rows, grid: Grid) -> str:
    """Say where rows are: ranges of nodes along each axis, or the ends they are at."""
    nodes = rows.nodes
    if rows.integral:
        return "the whole domain" + (", at each time" if len(nodes) > 1 else "")
    on_end = np.zeros(len(nodes), dtype=bool)
    ends = []
    for d, (name, axis) in enumerate(grid.axes.items()):
        if axis.periodic or axis.time:
            continue
        for node, value in ((0, axis.lower), (axis.size - 1, axis.upper)):
            here = nodes[:, d] == node
            # A corner is on two ends; an end with rows has more than its corners.
            if here.sum() > 0.5 * len(nodes) / (2 * len(grid.axes)):
                ends.append(f"{name}={value:g}")
            on_end |= here
    if on_end.all():
        return ", ".join(ends)
    parts = []
    for d, (name, axis) in enumerate(grid.axes.items()):
        low, high = int(nodes[:, d].min()), int(nodes[:, d].max())
        parts.append(f"{name}: {low}..{high} of 0..{axis.size - 1}")
    return ", ".join(parts)


def _posed(pde: PDE, grid: Grid) -> str:
    """Return why the equation does not determine what is not an input; nothing where it does."""
    try:
        DerivedSolver(pde, grid, pde.inputs)
    except PiddmError as error:
        return str(error)
    return ""


def _add_values(pde: PDE, table: list[dict[str, Any]], seed: int, size: NodeCounts | None) -> None:
    try:
        data = data_of(pde, seed, size)
    except PiddmError:
        return
    with torch.no_grad():
        values = data.residual(data.fields)
    for found in table:
        found["rms on data"] = float(values[found["name"]].square().mean().sqrt())
