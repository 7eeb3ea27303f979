"""Free params that a state leaves out: the values that make the residual least."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch import Tensor

from piddm.interfaces import Rows
from piddm.symbolic.execution import run
from piddm.symbolic.operators import D
from piddm.symbolic.program import Program

if TYPE_CHECKING:
    from piddm.pde import PDE

STEPS = 5
"""Gauss-Newton steps where a param does not enter linearly."""


class Fit:
    r"""Least squares over the rows that depend on a param, sample by sample.

    .. math:: p \leftarrow p - (J_p^T J_p)^{-1} J_p^T R(x, p), \qquad J_p = \partial R/\partial p,

    one step where the params enter linearly, which is then exact.
    """

    def __init__(self, pde: PDE, rows: Mapping[str, Rows]) -> None:
        self._defaults = {p.name: p.value for p in pde.params if p.free}
        self._labels = [name for name, r in rows.items() if r.params & set(self._defaults)]
        free = {p for p in pde.params if p.free}
        powers = [_degree(e, free) for e in pde.equations.values()]
        self._steps = 1 if max(powers, default=0) <= 1 else STEPS

    def __call__(
        self, program: Program, fields: dict[str, Tensor], missing: list[str]
    ) -> dict[str, Tensor]:
        """Return the fields with values for what is missing, ``(batch,)`` each."""
        like = next(iter(fields.values()))
        batch = like.shape[0]
        wanted = {k for k in program.outputs if k.split("\n")[0] in self._labels}

        def rows(p: Tensor) -> Tensor:
            named = {name: p[:, k] for k, name in enumerate(missing)}
            out = run(program, fields | named)
            return torch.cat([out[k].flatten(1) for k in sorted(wanted)], dim=1)

        p = like.new_tensor([self._defaults[name] for name in missing]).repeat(batch, 1)
        for _ in range(self._steps):
            value, columns = rows(p), []
            for k in range(len(missing)):
                seed = torch.zeros_like(p)
                seed[:, k] = 1
                # A difference is exact where the params enter linearly, and cheaper.
                linear = self._steps == 1
                columns.append(
                    rows(p + seed) - value if linear else torch.func.jvp(rows, (p,), (seed,))[1]
                )
            jacobian = torch.stack(columns, dim=-1)
            gram = jacobian.mT @ jacobian
            # What no row feels stays where it is.
            lift = torch.diag_embed((gram.diagonal(dim1=-2, dim2=-1) == 0).to(gram))
            step = torch.linalg.solve(gram + lift, jacobian.mT @ value.unsqueeze(-1))
            p = p - step.squeeze(-1)
        return fields | {name: p[:, k] for k, name in enumerate(missing)}


def _degree(expression: Any, symbols: set[Any]) -> float:
    """Return the degree of an expression in some symbols; infinite where it is no polynomial."""
    if expression in symbols:
        return 1
    if not expression.free_symbols & symbols:
        return 0
    if isinstance(expression, D):
        return _degree(expression.parts[0], symbols)
    degrees = [_degree(argument, symbols) for argument in expression.args]
    if isinstance(expression, sympy.Add):
        return max(degrees)
    if isinstance(expression, sympy.Mul):
        return sum(degrees)
    return float("inf")
