"""A specification's compiled residual on a grid: equations inside, conditions on the boundary."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.interfaces import Fields, Residual, Rows
from piddm.symbolic.compiler import Builder
from piddm.symbolic.operators import Coordinate, D
from piddm.symbolic.program import Load, Place, Program, Span

if TYPE_CHECKING:
    from piddm.pde import PDE, Dirichlet


class StencilResidual(Residual):
    """Residual of finite differences, compiled from a :class:`~piddm.pde.PDE`.

    An equation is defined where its stencil fits: everywhere along periodic axes, inside the rim
    along the others. Conditions have rows of their own, ``(batch, nodes)``, a corner counted once.

    Args:
        pde: The specification.
        grid: The grid to discretise on.
        order: Order of accuracy in space.

    Raises:
        UsageError: If the grid is too small for the stencil.
    """

    def __init__(self, pde: PDE, grid: Grid, order: int = 2) -> None:
        self.grid, self.field_names = grid, pde.field_names
        rows: dict[str, Rows] = {}
        self.rows = rows
        self._shapes: dict[str, tuple[int, ...]] = {}
        whole = Builder(grid, order, pde.time_scheme)
        parted = Builder(grid, order, pde.time_scheme)
        equations: dict[str, int] = {}
        terms: dict[str, int] = {}
        for name, expression in pde.equations.items():
            half = _steps_in_time(expression, pde, grid)
            reach = self._reach(expression, half, order, pde)
            place = _interior(grid, half, reach, f"{pde.name}, {name}")
            equations[name] = whole.value(expression, place)
            for part in sympy.Add.make_args(expression):
                terms[f"{name}\n{part}"] = parted.value(part, place)
            self._shapes[name] = tuple(s.length for s in place)
            nodes = np.indices(self._shapes[name]).reshape(len(place), -1).T
            rows[name] = Rows(nodes + np.array([s.start for s in place]), reach)
        self._program = whole.program(equations)
        self._terms = parted.program(terms)
        self._conditions: list[tuple[str, str, Program, Tensor]] = []
        for name, condition in pde.conditions.items():
            rows[name] = self._add_condition(name, condition, order)

    def _reach(self, expression: sympy.Expr, half: int | None, order: int, pde: PDE) -> dict:
        """Find which nodes of each field a row touches, by compiling the equation at one place."""
        probe = Builder(self.grid, order, pde.time_scheme)
        probe.value(
            expression, tuple(Span(0, 1, half=d == half) for d in range(len(self.grid.axes)))
        )
        reach: dict[str, set[tuple[int, ...]]] = {}
        for load in (s for s in probe.steps if isinstance(s, Load)):
            spans = (range(s.start, s.stop) for s in load.place)
            reach.setdefault(load.name, set()).update(itertools.product(*spans))
        return {name: sorted(offsets) for name, offsets in reach.items()}

    def _add_condition(self, name: str, condition: Dirichlet, order: int) -> Rows:
        grid = self.grid
        bounded = [k for k, a in grid.axes.items() if not a.periodic and not a.time]
        on = condition.on or tuple(bounded)
        if wrong := [axis for axis in on if grid.axes[axis].periodic]:
            raise UsageError(f"{name}: the axis {wrong[0]} is periodic and has no ends")
        nodes = np.indices(grid.shape).reshape(len(grid.shape), -1).T
        ends = [np.isin(nodes[:, grid.index(k)], (0, grid.axes[k].size - 1)) for k in on]
        at_start = [nodes[:, d] == (0 if a.time else -1) for d, a in enumerate(grid.axes.values())]
        # The initial state is an input, which the condition must not determine a second time.
        nodes = nodes[np.any(ends, axis=0) & ~np.any(at_start, axis=0)]
        value = sympy.sympify(condition.value, strict=True)
        if any(not isinstance(s, Coordinate) for s in value.free_symbols):
            raise UsageError(f"{name}: a boundary value may depend on coordinates only")
        builder = Builder(grid, order)
        everywhere = tuple(Span(0, n) for n in grid.shape)
        program = builder.program({name: builder.value(condition.field - value, everywhere)})
        flat = torch.from_numpy(np.ravel_multi_index(tuple(nodes.T), grid.shape))
        self._conditions.append((name, condition.field.name, program, flat))
        here = [(0,) * len(grid.shape)]
        return Rows(nodes, {condition.field.name: here}, boundary=True)

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return ``{name: (batch, ...)}``; fields are ``(batch, *grid.shape)``, any float dtype."""
        out = self._program.run(fields)
        for name, _, program, flat in self._conditions:
            values = program.run(fields)[name].flatten(1)
            out[name] = values.index_select(1, flat.to(values.device))
        return out

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms of each equation; of a condition, the field it holds, everywhere."""
        out: dict[str, dict[str, Tensor]] = {}
        for label, value in self._terms.run(fields).items():
            name, term = label.split("\n")
            batch = next(iter(fields.values())).shape[0]
            shape = (batch, *self._shapes[name])
            out.setdefault(name, {})[term] = torch.as_tensor(value).expand(shape)
        for name, field, _, _ in self._conditions:
            out[name] = {field: fields[field]}
        return out


def _steps_in_time(expression: sympy.Expr, pde: PDE, grid: Grid) -> int | None:
    """Return the dimension of time where the equation is a one-step relation between two times."""
    if pde.time_scheme == "centred":
        return None
    for d in expression.atoms(D):
        _, axis, order = d.parts
        if grid.axes[axis.name].time and order == 1:
            return grid.index(axis.name)
    return None


def _interior(grid: Grid, half: int | None, reach: dict, label: str) -> Place:
    """Return where a stencil fits."""
    spans = []
    for d, (name, axis) in enumerate(grid.axes.items()):
        along = [offset[d] for offsets in reach.values() for offset in offsets] or [0]
        low, high = min(along), max(along)
        if high - low >= axis.size:
            raise UsageError(
                f"{label}: the stencil needs {high - low + 1} nodes along {name}, "
                f"the grid has {axis.size}"
            )
        span = (0, axis.size) if axis.periodic else (-low, axis.size - high)
        spans.append(Span(*span, half=d == half))
    return tuple(spans)
