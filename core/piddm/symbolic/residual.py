"""A specification's compiled residual on a grid: equations, conditions and integrals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy
import torch
from torch import Tensor

from piddm.conditions import Integral
from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.interfaces import Fields, Reach, Residual, Rows
from piddm.pde import labelled, sympy_of
from piddm.symbolic.compiler import Builder
from piddm.symbolic.fitting import Fit
from piddm.symbolic.operators import Coordinate
from piddm.symbolic.placement import faces, interior, nodes, orders, reaches
from piddm.symbolic.program import Apply, Place, Span
from piddm.symbolic.stencils import quadrature

if TYPE_CHECKING:
    from piddm.pde import PDE, Order


class StencilResidual(Residual):
    """Residual of finite differences or spectral ones, compiled from a :class:`~piddm.pde.PDE`.

    An equation has a row at each node that no condition is meant to determine: everywhere along
    periodic axes, inside the rim along the others. Conditions have rows of their own,
    ``(batch, nodes)``, a corner counted once. An integral has one row at each time.

    Args:
        pde: The specification.
        grid: The grid to discretise on.
        order: Accuracy in space: see :meth:`~piddm.pde.PDE.bind`.

    Raises:
        UsageError: If the grid is too small for the stencil, or the order cannot be had.
    """

    def __init__(self, pde: PDE, grid: Grid, order: Order | Mapping[str, Order] = 2) -> None:
        self.grid, self.field_names, self.order = grid, pde.field_names, order
        self._pde, self._orders = pde, orders(grid, order)
        self._whole = Builder(grid, pde.time_scheme)
        self._parted = Builder(grid, pde.time_scheme)
        self._outputs: dict[str, list[int]] = {}
        self._parts: dict[str, dict[str, int]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        rows: dict[str, Rows] = {}
        for name, expression in pde.equations.items():
            with labelled(name):
                rows[name] = self._equation(name, expression)
        for name in pde.conditions:
            with labelled(name):
                rows[name] = self._condition(name)
        for name, integral in pde.integrals.items():
            with labelled(name):
                rows[name] = self._integral(name, integral)
        self.rows = rows
        self._program = self._whole.program(_flat(self._outputs))
        self._terms = self._parted.program(_flat(self._parts))
        self.free_params = pde.free_params
        self._fit = Fit(pde, rows)

    def _equation(self, name: str, expression: sympy.Expr) -> Rows:
        place = interior(expression, self._pde, self.grid, self._orders)
        self._outputs[name] = [self._whole.value(expression, place)]
        self._parts[name] = {
            str(part): self._parted.value(part, place) for part in sympy.Add.make_args(expression)
        }
        self._shapes[name] = tuple(s.length for s in place)
        found, params = reaches(expression, place, self._pde, self.grid)
        return Rows(nodes(place), found, params=params)

    def _condition(self, name: str) -> Rows:
        condition = self._pde.conditions[name]
        found: list[Reach] = []
        at, params, start = [], frozenset(), 0
        self._outputs[name], self._parts[name] = [], {}
        everywhere = self._everywhere()
        for (axis, end), place in faces(name, self._pde, self.grid, self._orders):
            left = condition.parts(axis, end, self.grid)
            expression = sympy.Add(*left) - sympy_of(condition.value)
            self._outputs[name].append(self._whole.value(expression, place))
            here, used = reaches(expression, place, self._pde, self.grid)
            found += [Reach(r.rows + start, r.offsets) for r in here]
            at.append(nodes(place))
            start, params = start + len(at[-1]), params | used
            # On the ends themselves a term may vanish: its size is that over the whole grid.
            for part in (p for p in left if p != 0):
                self._parts[name][str(part)] = self._parted.value(part, everywhere)
        self._shapes[name] = self.grid.shape
        return Rows(np.concatenate(at), found, boundary=True, params=params)

    def _integral(self, name: str, integral: Integral) -> Rows:
        grid, place = self.grid, self._everywhere()
        space = [(d, a) for d, a in enumerate(grid.axes.values()) if not a.time]
        timed = len(space) < len(grid.axes)
        weight = np.ones((1,) * len(grid.axes))
        for d, axis in space:
            try:
                along = quadrature(axis.size, self._orders[d] or 2, axis.periodic) * axis.spacing
            except ValueError as error:
                raise UsageError(
                    f"the integral needs {error.args[0]} nodes along {grid.names[d]}, "
                    f"the grid has {axis.size}"
                ) from error
            weight = weight * along.reshape([-1 if k == d else 1 for k in range(weight.ndim)])
        integrand, value = sympy_of(integral.integrand), sympy_of(integral.value)
        if any(not isinstance(s, Coordinate) or not grid.axes[s.name].time
               for s in value.free_symbols if s not in self._pde.params):  # fmt: skip
            raise UsageError("the value of an integral may depend on time and params only")
        if integral.conserved and (not timed or value != 0):
            raise UsageError("a conserved integral needs an axis of time and takes no value")
        constant = torch.from_numpy(weight)
        dims = tuple(d + 1 for d, _ in space)

        def total(v: Tensor) -> Tensor:
            sums = (v * constant.to(v)).sum(dims)
            return sums if timed else sums[:, None]

        # A value spread evenly over the domain has that integral.
        spread = integrand - value / float(weight.sum())
        source = self._whole.value(spread, place)
        position = self._whole.emit(Apply(total, (source,)))
        if integral.conserved:
            position = self._whole.emit(Apply(lambda s: s[:, 1:] - s[:, :-1], (position,)))
        self._outputs[name] = [position]
        size = self._parted.value(integrand, place)
        self._parts[name] = {
            str(integrand): self._parted.emit(Apply(lambda v: total(v.abs()), (size,)))
        }
        times = np.arange(grid.shape[0] if timed else 1)
        self._shapes[name] = (len(times),)
        times = times[1:] if integral.conserved else times
        at = np.zeros((len(times), len(grid.axes)), dtype=int)
        at[:, 0] = times if timed else 0
        touched, params = reaches(integrand, tuple(Span(s.start, s.start + 1) for s in place),
                                  self._pde, grid)  # fmt: skip
        names = {k: [(0,) * len(place)] for reach in touched for k in reach.offsets}
        params |= {s.name for s in value.free_symbols if s in self._pde.params}
        return Rows(
            at, [Reach(np.arange(len(times)), names)], boundary=True, integral=True,
            lag=integral.conserved, params=params,
        )  # fmt: skip

    def _everywhere(self) -> Place:
        return tuple(
            Span(0, n, order=o) for n, o in zip(self.grid.shape, self._orders, strict=True)
        )

    def __call__(self, fields: Fields) -> dict[str, Tensor]:
        """Return ``{name: (batch, ...)}``.

        Fields are ``(batch, *grid.shape)``, params, where they are given per sample, ``(batch,)``;
        any float dtype. Free params that are missing are fitted.
        """
        values = self._program.run(self.fit(fields))
        out = {}
        for name, positions in self._outputs.items():
            parts = [values[f"{name}\n{k}"] for k in range(len(positions))]
            if name in self._pde.conditions:
                parts = [part.flatten(1) for part in parts]
            out[name] = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return out

    def terms(self, fields: Fields) -> dict[str, dict[str, Tensor]]:
        """Return the terms of each equation; of a condition or integral, of its left side."""
        out: dict[str, dict[str, Tensor]] = {name: {} for name in self.rows}
        batch = fields[self.field_names[0]].shape[0]
        for label, value in self._terms.run(self.fit(fields)).items():
            name, term = label.split("\n")
            out[name][term] = torch.as_tensor(value).expand(batch, *self._shapes[name])
        return out

    def fit(self, fields: Fields) -> dict[str, Tensor]:
        """Return the fields with the free params that they lack, fitted by least squares."""
        missing = [name for name in self.free_params if name not in fields]
        return self._fit(self._program, dict(fields), missing) if missing else dict(fields)


def _flat(nested: Mapping[str, Any]) -> dict[str, int]:
    """Return positions by ``name\\npart``."""
    return {
        f"{name}\n{key}": position
        for name, parts in nested.items()
        for key, position in (parts.items() if isinstance(parts, dict) else enumerate(parts))
    }
