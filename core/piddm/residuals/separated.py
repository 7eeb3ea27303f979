r"""Rows by which params are fitted, made small: their sum of squares is that of the rows.

Where an equation depends on the params through few functions g of them alone,

.. math:: R(x, p) = \sum_j g_j(p)\, f_j(x), \qquad F = (f_1, f_2, \dots) = Q T
    \quad\Rightarrow\quad \lVert R \rVert = \lVert T\, g(p) \rVert,

its thousands of rows are as many as there are functions. Conditions keep their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy
import torch
from torch import Tensor

from piddm.residuals.compiler import Builder
from piddm.residuals.programs import Executable, Place, Span
from piddm.symbolic.operators import Param

MOST = 6
"""Functions of the params in an equation at most."""


class Separated:
    """The small rows of states that lack params.

    Args:
        equations: Expression and place of each equation that depends on what is missing.
        params: All params.
        missing: Those to be found.
        builder: Makes a builder for the params that are given sample by sample.
        others: Adds the rows of these names, and returns their positions.
        wanted: Names of all rows that depend on what is missing.

    Attributes:
        names: The equations that are made small; none where nothing is gained.
    """

    def __init__(
        self, equations: Mapping[str, tuple[Any, Place]], params: set[Param], missing: list[Param],
        builder: Callable[[], Builder],
        others: Callable[[Builder, list[str]], dict[str, int]], wanted: list[str],
    ) -> None:  # fmt: skip
        parts = {k: _factors(e, params, set(missing)) for k, (e, _) in equations.items()}
        kept = {k: v for k, v in parts.items() if v is not None and len(v) <= MOST}
        self.names = list(kept)
        large, small, outputs = builder(), builder(), dict[str, int]()
        for name, terms in kept.items():
            place = equations[name][1]
            one = tuple(Span(0, 1) for _ in place)
            for j, (function, of) in enumerate(terms):
                outputs[f"{name}\n{j}"] = large.value(of, place)
                terms[j] = function, small.value(function, one)
        self._counts = {k: len(v) for k, v in kept.items()}
        self._fields = large.program(outputs)
        functions = {f"{k}\n{j}": at for k, v in kept.items() for j, (_, at) in enumerate(v)}
        rest = others(small, [k for k in wanted if k not in kept])
        self._params: Executable = small.program(functions | rest)
        self._rest = sorted(rest)

    def of(self, fields: Mapping[str, Tensor], missing: list[str]) -> SmallRows:
        """Return the rows of states ``(batch, *grid.shape)`` as functions of the params."""
        values = self._fields.evaluate(fields, fresh=True) if self.names else {}
        triangles, batch = {}, len(next(iter(fields.values())))
        for k, count in self._counts.items():
            each = [values[f"{k}\n{j}"].double().flatten(1) for j in range(count)]
            triangles[k] = _triangle(each, batch)
        return SmallRows(self._params, fields, triangles, self._rest, missing)


class SmallRows:
    """Rows of some states as functions of their params.

    Args:
        program: Functions of the params, and rows that were not made small.
        fields: The states.
        triangles: T by equation, ``(batch, functions, functions)``.
        rest: Names of the rows that were not made small.
        missing: Names of the params, in their order.
    """

    def __init__(
        self, program: Executable, fields: Mapping[str, Tensor], triangles: Mapping[str, Tensor],
        rest: list[str], missing: list[str],
    ) -> None:  # fmt: skip
        self._program, self._triangles, self._rest = program, triangles, rest
        self._missing = missing
        self._fields = {k: v.detach().double() for k, v in fields.items()}

    def linearised(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Return them and their derivatives by the params, ``(batch, rows, params)``."""
        eye = torch.eye(p.shape[1], dtype=p.dtype, device=p.device)
        along = {k: eye[:, i, None].expand(-1, len(p)) for i, k in enumerate(self._missing)}
        rows, change = self._program.tangent(self._fields | self._named(p), along)
        return self._joined(rows), self._joined(change).movedim(0, -1)

    def _named(self, p: Tensor) -> dict[str, Tensor]:
        return {k: p[:, i] for i, k in enumerate(self._missing)}

    def _joined(self, values: Mapping[str, Tensor]) -> Tensor:
        parts = []
        for k, triangle in self._triangles.items():
            count = triangle.shape[-1]
            each = [values[f"{k}\n{j}"].flatten(-self._dims) for j in range(count)]
            each = torch.cat([v.expand(*v.shape[:-2], len(triangle), 1) for v in each], -1)
            parts.append((triangle @ each[..., None])[..., 0])
        for k in self._rest:
            rows = values[k].flatten(-self._dims)
            parts.append(rows / rows.shape[-1] ** 0.5)
        return torch.cat(parts, -1)

    @property
    def _dims(self) -> int:
        return len(self._program.shape)


def _triangle(columns: list[Tensor], batch: int) -> Tensor:
    """Return T of columns ``(batch, rows)`` over the root of their number, by Gram and Schmidt.

    Squares first would lose a small difference of two columns.
    """
    size = max(v.shape[1] for v in columns)
    columns = [v.expand(batch, size) for v in columns]
    found = columns[0].new_zeros(batch, len(columns), len(columns))
    for j, own in enumerate(columns):
        found[:, j, j] = length = own.norm(dim=1)
        unit = own / length.clamp_min(torch.finfo(own.dtype).tiny)[:, None]
        for k in range(j + 1, len(columns)):
            found[:, j, k] = along = torch.linalg.vecdot(unit, columns[k])
            columns[k] = columns[k] - along[:, None] * unit
    return found / size**0.5


def _factors(
    expression: Any, params: set[Param], missing: set[Param]
) -> list[tuple[Any, Any]] | None:
    """Return pairs of a function of the params and one of fields, whose products' sum it is."""
    terms: dict[Any, Any] = {}
    for term in sympy.Add.make_args(expression):
        own = [f for f in sympy.Mul.make_args(term) if f.free_symbols <= params and f.free_symbols]
        rest = [f for f in sympy.Mul.make_args(term) if f not in own]
        function, of = sympy.Mul(*own), sympy.Mul(*rest)
        if of.free_symbols & missing:
            return None
        terms[function] = terms.get(function, sympy.S.Zero) + of
    return list(terms.items())
