"""What instruments read of fields that see no points: rows of H, or functions with a derivative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.residuals.formulas import Formulas
from piddm.residuals.residual import Fields
from piddm.symbolic.operators import Field, Param
from piddm.tasks.observations import Observations
from piddm.tasks.quantities import Quantity
from piddm.tasks.readings import Reading
from piddm.tasks.regions import region_weights
from piddm.tools.errors import UsageError

STRAIGHT = 1e-9
"""Departure from a straight line, over the largest value, up to which a reading is linear."""

TOGETHER = 32
"""Readings that are differentiated together."""


class Instruments:
    """The readings among some observations.

    Args:
        observations: What was seen; its params are known.
        names: The fields, in order.
        interpolation: ``linear`` or ``cubic``: what regions integrate.

    Attributes:
        values: What was read, less what is read of fields that are zero, ``(n,)``, float64.
        sigma: Its noise, ``(n,)``.
        curved: Whether a reading is no linear function of the fields.
        defaults: Usual values of the params that readings depend on and that are not known.
    """

    def __init__(
        self, observations: Observations, names: tuple[str, ...], interpolation: str
    ) -> None:
        readings: Sequence[Reading] = observations.readings
        self._names, self._titles = names, [own.title for own in readings]
        quantities = [own.quantity for own in readings]
        self._fields = [q.fields for q in quantities]
        self._map = Evaluated(
            quantities, observations.grid, names, interpolation, observations.params
        )
        self.values = torch.tensor([own.value for own in readings], dtype=torch.float64)
        self.sigma = torch.tensor([own.sigma for own in readings], dtype=torch.float64)
        self.curved = bool(self._map.formulas)
        symbols = {s for q in quantities if q.expression is not None
                   for s in q.expression.free_symbols}  # fmt: skip
        self.defaults = {s.name: s.value for s in symbols
                         if isinstance(s, Param) and s.name not in observations.params}  # fmt: skip
        self.values = self.values - self._map.offset

    def __len__(self) -> int:
        return len(self.values)

    def __call__(self, fields: Fields, flat: Tensor) -> Tensor:
        """Return what is read of a state, ``(batch, n)``; ``flat`` are its fields in a row."""
        return self._map(fields, flat)

    def fields(self, k: int) -> tuple[str, ...]:
        """Return names of the fields that one reading depends on."""
        return self._fields[k]

    def matrix(self, columns: int, state: Fields | None, params: Sequence[str]) -> csr_matrix:
        """Return its derivative, ``(n, columns)``, at a state of one sample where it has one."""
        if self.curved and state is None:
            title = self._titles[self._map.formulas[0]]
            raise UsageError(
                f"{title} is no linear function of the fields, which this solver needs; take "
                "classical, ensemble-kalman, level-set or data-space"
            )
        return self._map.matrix(columns, state, params)


class Evaluated:
    """Some quantities as a map of states.

    Args:
        quantities: What is read or asked.
        grid: The grid.
        names: The fields, in order.
        interpolation: ``linear`` or ``cubic``.
        known: Values of params that are the same in all states.

    Attributes:
        formulas: Which of the quantities are no linear functions of the fields.
        offset: Values of the others where all fields are zero, ``(n,)``; they are left out.
    """

    def __init__(
        self, quantities: Sequence[Quantity], grid: Grid, names: tuple[str, ...],
        interpolation: str = "linear", known: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        self._grid, self._names, self._nodes = grid, names, int(np.prod(grid.shape))
        self._quantities, self._known = list(quantities), dict(known or {})
        self._place = [(np.zeros(0, dtype=np.int64), np.zeros(0)) for _ in quantities]
        self.offset = torch.zeros(len(quantities), dtype=torch.float64)
        rows, asked = [self._given(q) for q in quantities], []
        for k, q in enumerate(quantities):
            if q.weights is None:
                at, by = region_weights(grid, q.ends(grid), interpolation)
                self._place[k] = at, by * (q.measure(grid) if q.integral else 1.0)
            if rows[k] is None and isinstance(q.expression, Field):
                at, by = self._place[k]
                rows[k] = at + self._nodes * names.index(q.expression.name), by
            if rows[k] is None:
                asked.append(k)
        self.formulas: list[int] = []
        self._compile(asked)
        if asked:
            straight = self._straight(asked)
            linear = [k for k, s in zip(asked, straight, strict=True) if s]
            zero = {n: torch.zeros(1, *grid.shape, dtype=torch.float64) for n in names}
            if linear:
                self._compile(linear)
                self.offset[linear] = self._formula_values(zero)[0]
                found = self._slopes(zero, self._nodes * len(names), ())
                for k, row in zip(linear, found, strict=True):
                    at = np.flatnonzero(row)
                    rows[k] = at, row[at]
            self.formulas = [k for k in asked if k not in linear]
            self._compile(self.formulas)
        self._rows = [row if row is not None else (np.zeros(0, int), np.zeros(0)) for row in rows]
        counts = [len(at) for at, _ in self._rows]
        self._row = torch.from_numpy(np.repeat(np.arange(len(rows)), counts))
        none = [(np.zeros(0, dtype=np.int64), np.zeros(0))]
        self._column = torch.from_numpy(np.concatenate([r[0] for r in self._rows + none]))
        self._weight = torch.from_numpy(np.concatenate([r[1] for r in self._rows + none]))

    def _given(self, q: Quantity) -> tuple[np.ndarray, np.ndarray] | None:
        if q.weights is None:
            return None
        index, weight = [], []
        for name, own in q.weights.items():
            at = own.flatten().nonzero()[:, 0].numpy()
            index.append(at + self._nodes * self._names.index(name))
            weight.append(own.flatten().numpy()[at])
        return np.concatenate(index), np.concatenate(weight)

    def _compile(self, which: Sequence[int]) -> None:
        self._which = list(which)
        expressions = [self._quantities[k].expression for k in which]
        distinct = list(dict.fromkeys(expressions))
        self._position = [distinct.index(e) for e in expressions]
        used = {p for k in which for p in self._quantities[k].params}
        self._unknown = sorted(used - set(self._known))
        known = {k: v for k, v in self._known.items() if k in used}
        self._formulas = Formulas(self._grid, distinct, known) if distinct else None

    def _straight(self, which: Sequence[int]) -> list[bool]:
        """Return which formulas are affine in the fields: looked for in values."""
        draw = torch.Generator().manual_seed(0)
        shape = (2, *self._grid.shape)
        x = {k: 1 + torch.rand(shape, generator=draw, dtype=torch.float64) for k in self._names}
        x |= {k: 1 + torch.rand(2, generator=draw, dtype=torch.float64) for k in self._unknown}
        every = {k: torch.cat([v, (v[:1] + v[1:]) / 2, v[:1] * 0.75 + v[1:] * 0.25])
                 for k, v in x.items()}  # fmt: skip
        first, second, half, quarter = self._formula_values(every)
        size = torch.stack([first, second, half]).abs().amax(0).clamp_min(1e-300)
        off = (first + second - 2 * half).abs() + (3 * first + second - 4 * quarter).abs()
        params = {k for k in which if self._quantities[k].params and set(
            self._quantities[k].params) & set(self._unknown)}  # fmt: skip
        return [bool(o <= STRAIGHT * s) and k not in params
                for k, o, s in zip(which, off, size, strict=True)]  # fmt: skip

    def _formula_values(self, fields: Fields) -> Tensor:
        """Return the compiled formulas over their regions, ``(batch, count)``."""
        assert self._formulas is not None
        if missing := [k for k in self._unknown if k not in fields]:
            raise UsageError(
                f"a reading depends on the param {missing[0]}, which this solver does not look "
                "for: give its value, or take classical or ensemble-kalman"
            )
        given = (*self._names, *self._unknown)
        values, found = self._formulas({k: fields[k] for k in given}), []
        for k, p in zip(self._which, self._position, strict=True):
            at, by = (torch.from_numpy(v).to(values[p].device) for v in self._place[k])
            found.append(values[p].flatten(1)[:, at] @ by.to(values[p]))
        return torch.stack(found, dim=1)

    def __call__(self, fields: Fields, flat: Tensor | None = None) -> Tensor:
        """Return the quantities of states less their offsets, ``(batch, n)``."""
        if flat is None:
            flat = torch.cat([fields[k].flatten(1) for k in self._names], dim=1)
        row, column = self._row.to(flat.device), self._column.to(flat.device)
        parts = flat[:, column] * self._weight.to(flat)
        seen = flat.new_zeros(len(flat), len(self._quantities)).index_add(1, row, parts)
        if not self.formulas:
            return seen
        at = torch.tensor(self.formulas, device=flat.device)
        return seen.index_add(1, at, self._formula_values(fields).to(seen))

    def matrix(self, columns: int, state: Fields | None, params: Sequence[str]) -> csr_matrix:
        """Return the derivative by fields and params, ``(n, columns)``."""
        counts = np.cumsum([0, *(len(at) for at, _ in self._rows)])
        shape = len(self._quantities), columns
        entries = self._weight.numpy(), self._column.numpy(), counts
        found = csr_matrix(entries, shape)
        if not self.formulas or state is None:
            return found
        curved = csr_matrix(self._slopes(state, columns, params))
        order = np.zeros(len(self._quantities), dtype=int)
        order[self.formulas] = np.arange(len(self.formulas)) + 1
        none = csr_matrix((1, columns))
        return csr_matrix(found + csr_matrix(vstack([none, curved]))[order])

    def _slopes(self, state: Fields, columns: int, params: Sequence[str]) -> np.ndarray:
        """Return the compiled formulas' derivatives at one sample, ``(count, columns)``."""
        found = np.zeros((len(self._which), columns))
        start = self._nodes * len(self._names)
        wanted = [*self._names, *(p for p in params if p in self._unknown)]
        for first in range(0, len(found), TOGETHER):
            size = min(TOGETHER, len(found) - first)
            many = {k: v.detach().double().expand(size, *v.shape[1:]).clone()
                    for k, v in state.items()}  # fmt: skip
            with torch.enable_grad():
                moving = {k: many[k].requires_grad_() for k in wanted}
                values = self._formula_values(many | moving)
                own = values[torch.arange(size), torch.arange(first, first + size)].sum()
                slopes = torch.autograd.grad(own, list(moving.values()), allow_unused=True)
            for name, slope in zip(wanted, slopes, strict=True):
                if slope is None:
                    continue
                if name in self._names:
                    at = self._nodes * self._names.index(name)
                    found[first : first + size, at : at + self._nodes] = slope.flatten(1).numpy()
                else:
                    found[first : first + size, start + list(params).index(name)] = slope.numpy()
        return found
