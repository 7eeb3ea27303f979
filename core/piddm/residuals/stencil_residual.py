"""A specification's compiled residual on a grid: equations, conditions and integrals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.residuals.compiler import Builder
from piddm.residuals.fitting import Fit
from piddm.residuals.programs import (
    Executable,
    Integrate,
    Pick,
    Place,
    Span,
    Sum,
    Tap,
    run,
)
from piddm.residuals.quadratures import weights_of_space
from piddm.residuals.residual import Fields, Reach, Residual, Rows
from piddm.residuals.row_places import faces, interior, nodes, orders, reaches
from piddm.residuals.separated import Separated
from piddm.symbolic.conditions import Integral
from piddm.symbolic.operators import Coordinate, strict
from piddm.symbolic.winds import split
from piddm.tools.errors import UsageError, labelled, nearest

if TYPE_CHECKING:
    from piddm.symbolic.specification import Order, Specification


class StencilResidual(Residual):
    """Residual of finite differences or spectral ones, compiled from a specification.

    An equation has a row at each node that no condition is meant to determine: everywhere along
    periodic axes, inside the rim along the others. Conditions have rows of their own,
    ``(batch, nodes)``, a corner counted once. An integral has one row at each time.

    Args:
        pde: The specification.
        grid: The grid to discretise on.
        order: Accuracy in space: see :func:`~piddm.residuals.binding.bind`.

    Raises:
        UsageError: If the grid is too small for the stencil, or the order cannot be had.
    """

    def __init__(
        self, pde: Specification, grid: Grid, order: Order | Mapping[str, Order] = 2
    ) -> None:
        self.grid, self.field_names, self.order = grid, pde.field_names, order
        self._pde, self._orders = pde, orders(grid, order)
        self.free_params = pde.free_params
        self._params = frozenset(p.name for p in pde.params)
        # Programs by the params that are given per sample: the others are numbers, which cost none.
        self._programs: dict[frozenset[str], Executable] = {}
        self._terms: dict[frozenset[str], Executable] = {}
        self._parts: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        rows: dict[str, Rows] = {}
        self._equations = {k: split(strict(e)) for k, e in pde.equations.items()}
        for name, expression in self._equations.items():
            with labelled(name):
                place = interior(expression, pde, grid, self._orders)
                found, params = reaches(expression, place, pde, grid)
                rows[name] = Rows(nodes(place), found, params=params)
                self._shapes[name] = tuple(s.length for s in place)
        for name in pde.conditions:
            with labelled(name):
                rows[name] = self._condition_rows(name)
        for name, integral in pde.integrals.items():
            with labelled(name):
                rows[name] = self._integral_rows(integral)
        self.rows, self._names = rows, list(rows)
        self._separated: dict[frozenset[str], Separated] = {}
        self._program(frozenset())
        self._fit = Fit(pde, rows)

    def _program(self, given: frozenset[str]) -> Executable:
        """Return what computes all rows, for params given per sample."""
        if given not in self._programs:
            builder = self._builder(given)
            outputs = self._outputs(builder, self._names)
            self._programs[given] = builder.program(outputs)
        return self._programs[given]

    def _builder(self, given: frozenset[str]) -> Builder:
        return Builder(self.grid, self._pde.time_scheme, given)

    def _outputs(self, builder: Builder, names: Collection[str]) -> dict[str, int]:
        """Return the position of the rows of some names, by name and end."""
        outputs, pde = dict[str, int](), self._pde
        for name in names:
            with labelled(name):
                if name in pde.equations:
                    outputs[name] = builder.value(*self._placed(name))
                elif name in pde.integrals:
                    outputs[name] = self._integral(builder, pde.integrals[name])
                else:
                    outputs |= self._condition(builder, name)
        return outputs

    def _placed(self, name: str) -> tuple[sympy.Expr, Place]:
        """Return an equation's expression and place."""
        expression = self._equations[name]
        return expression, interior(expression, self._pde, self.grid, self._orders)

    def _condition(self, builder: Builder, name: str) -> dict[str, int]:
        ends, field = self._faces(name), self._pde.conditions[name].field
        if all(e == field and not any(s.wall for s in at) for e, _, at in ends):
            self._parts[name] = 1
            return {f"{name}\n0": self._pick(builder, name)}
        self._parts[name] = len(ends)
        return {f"{name}\n{k}": builder.value(e, at) for k, (e, _, at) in enumerate(ends)}

    def _term_program(self, given: frozenset[str]) -> Executable:
        """Return what computes the terms of all rows."""
        if given not in self._terms:
            builder, pde = self._builder(given), self._pde
            outputs: dict[str, int] = {}
            for name, expression in pde.equations.items():
                place = interior(expression, pde, self.grid, self._orders)
                for part in sympy.Add.make_args(expression):
                    outputs[f"{name}\n{part}"] = builder.value(split(part), place)
            for name in pde.conditions:
                # On the ends themselves a term may vanish: its size is that over the whole grid.
                for _, left, _ in self._faces(name):
                    for part in (p for p in left if p != 0):
                        outputs[f"{name}\n{part}"] = builder.value(part, self._everywhere())
            for name, integral in pde.integrals.items():
                size = sympy.Abs(strict(integral.integrand), evaluate=False)
                outputs[f"{name}\n{integral.integrand}"] = self._total(builder, size)
            self._terms[given] = builder.program(outputs)
        return self._terms[given]

    def _faces(self, name: str) -> list[tuple[sympy.Expr, tuple[sympy.Expr, ...], Place]]:
        """Return a condition's expression, the terms of its left side and its place, by end."""
        condition = self._pde.conditions[name]
        found = []
        for (axis, end), place in faces(name, self._pde, self.grid, self._orders):
            left = condition.parts(axis, end, self.grid)
            found.append((sympy.Add(*left) - strict(condition.value), left, place))
        return found

    def _pick(self, builder: Builder, name: str) -> int:
        """Return a field at the ends of its axes, which a value of zero asks for."""
        nodes, shape = self.rows[name].nodes, self.grid.shape
        flat = torch.from_numpy(np.ravel_multi_index(tuple(nodes.T), shape))
        lengths = (*[1] * (len(shape) - 1), len(flat))
        return builder.emit(Pick(self._pde.conditions[name].field.name, flat), lengths)

    def _condition_rows(self, name: str) -> Rows:
        found: list[Reach] = []
        at, params, start = [], frozenset(), 0
        for expression, _, place in self._faces(name):
            here, used = reaches(expression, place, self._pde, self.grid)
            found += [Reach(r.rows + start, r.offsets) for r in here]
            at.append(nodes(place))
            start, params = start + len(at[-1]), params | used
        return Rows(np.concatenate(at), found, boundary=True, params=params)

    def _integral_rows(self, integral: Integral) -> Rows:
        grid, axes = self.grid, list(self.grid.axes.values())
        integrand, value = strict(integral.integrand), strict(integral.value)
        strange = [
            s for s in value.free_symbols - set(self._pde.params)
            if not isinstance(s, Coordinate) or not grid.axes[s.name].time
        ]  # fmt: skip
        if strange:
            raise UsageError("the value of an integral may depend on time and params only")
        if integral.conserved and (not axes[0].time or value != 0):
            raise UsageError("a conserved integral needs an axis of time and takes no value")
        times = np.arange(axes[0].size if axes[0].time else 1)[int(integral.conserved) :]
        at = np.zeros((len(times), len(axes)), dtype=int)
        at[:, 0] = times
        corner = tuple(Span(s.start, s.start + 1, order=s.order) for s in self._everywhere())
        touched, params = reaches(integrand, corner, self._pde, grid)
        names = {k: [(0,) * len(axes)] for reach in touched for k in reach.offsets}
        params |= {s.name for s in value.free_symbols & set(self._pde.params)}  # pyright: ignore
        return Rows(
            at, [Reach(np.arange(len(times)), names)], boundary=True, integral=True,
            lag=integral.conserved, params=params,
        )  # fmt: skip

    def _integral(self, builder: Builder, integral: Integral) -> int:
        integrand, value = strict(integral.integrand), strict(integral.value)
        # A value spread evenly over the domain has that integral.
        volume = float(
            np.prod([w.sum() for w in weights_of_space(self.grid, self._orders).values()])
        )
        position = self._total(builder, integrand - value / volume)
        if not integral.conserved:
            return position
        lengths = builder.lengths[position]
        less = (lengths[0] - 1, *lengths[1:])
        nowhere = (None,) * (len(lengths) - 1)
        taps = (Tap(position, (1, *nowhere), 1.0), Tap(position, (0, *nowhere), -1.0))
        return builder.emit(Sum(taps, less), less)

    def _total(self, builder: Builder, integrand: sympy.Expr) -> int:
        """Return the integral over space."""
        weights = weights_of_space(self.grid, self._orders)
        total = np.ones((1,) * len(self.grid.axes))
        for d, along in weights.items():
            total = total * along.reshape([-1 if k == d else 1 for k in range(total.ndim)])
        everywhere = self._everywhere()
        source = builder.value(integrand, everywhere)
        lengths = tuple(1 if d in weights else s.length for d, s in enumerate(everywhere))
        constant = torch.from_numpy(np.ascontiguousarray(total))
        return builder.emit(Integrate(source, constant, tuple(weights)), lengths)

    def _everywhere(self) -> Place:
        return tuple(
            Span(0, n, order=o) for n, o in zip(self.grid.shape, self._orders, strict=True)
        )

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return ``{name: (batch, ...)}``.

        Fields are ``(batch, *grid.shape)``, params, where they are given per sample, ``(batch,)``;
        any float dtype. Free params that are missing are fitted.
        """
        fields = self.fit(fields)
        return self._gathered(run(self._program(self._given(fields)), fields))

    def tangent(
        self, fields: Fields, directions: Fields
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the rows, and their derivatives along directions ``(count, batch, ...)``."""
        rows, change = self._program(self._given(fields)).tangent(fields, directions)
        return self._gathered(rows), self._gathered(change)

    def _given(self, fields: Fields) -> frozenset[str]:
        return frozenset(self._params & fields.keys())

    def _gathered(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        dims, out = len(self.grid.shape), {}
        for name, rows in self.rows.items():
            if name in self._parts:
                parts = [values[f"{name}\n{k}"].flatten(-dims) for k in range(self._parts[name])]
                out[name] = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
            else:
                out[name] = values[name].flatten(-dims) if rows.integral else values[name]
        return out

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms of each equation; of a condition or integral, of its left side."""
        fields = self.fit(fields)
        out: dict[str, dict[str, Tensor]] = {name: {} for name in self.rows}
        batch = fields[self.field_names[0]].shape[0]
        program = self._term_program(self._given(fields))
        for label, value in run(program, fields).items():
            name, term = label.split("\n")
            position, _ = program.outputs[label]
            shape = self.grid.shape if name in self._parts else program.lengths[position]
            if name in self._pde.equations:
                shape = self._shapes[name]
            out[name][term] = value.expand(batch, *shape)
        return out

    def _check_names(self, fields: Fields) -> None:
        known = (*self.field_names, *self._params)
        for name in fields:
            if name not in known:
                raise UsageError(f"{self._pde.name} has no {name}{nearest(name, known)}")
        for name in self.field_names:
            if name not in fields:
                raise UsageError(f"{self._pde.name}: the field {name} is missing")

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack, fitted by least squares."""
        self._check_names(fields)
        missing = [name for name in self.free_params if name not in fields]
        if not missing:
            return dict(fields)
        given = self._given(fields).union(missing)
        program = self._program(given)
        by = None if self._fit.linear else self._small(given, missing)
        return self._fit(lambda state: run(program, state), dict(fields), missing, by)

    def _small(self, given: frozenset[str], missing: list[str]) -> Separated:
        """Return what makes few rows of those that depend on what is missing."""
        if given not in self._separated:
            wanted = self._fit.labels
            equations = {k: self._placed(k) for k in wanted if k in self._equations}
            params = {p.name: p for p in self._pde.params}
            self._separated[given] = Separated(
                equations, set(params.values()), [params[k] for k in missing],
                lambda: self._builder(given), self._outputs, wanted,
            )  # fmt: skip
        return self._separated[given]
