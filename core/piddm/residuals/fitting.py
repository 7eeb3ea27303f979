"""Free params that a state leaves out: the values that make the residual least."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch import Tensor

from piddm.residuals.residual import Rows
from piddm.symbolic.operators import D
from piddm.tools.errors import PiddmError

if TYPE_CHECKING:
    from piddm.symbolic.specification import Specification

caught = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore

Compute = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]

STEPS, HALVINGS, SETTLED = 20, 5, 1e-4
"""Gauss-Newton steps where a param does not enter linearly, how often each may be halved, and the
relative step, squared by the last one, at which they end."""


class Fit:
    r"""Least squares over the rows that depend on a param, sample by sample.

    The mean square of each equation and condition counts the same, however many rows it has.

    .. math:: p \leftarrow p - (J_p^T J_p)^{-1} J_p^T R(x, p), \qquad J_p = \partial R/\partial p,

    one step where the params enter linearly, which is then exact; else as many as it takes, each
    halved until it lowers the sum of squares, and one more that gradients pass through.
    """

    def __init__(self, pde: Specification, rows: Mapping[str, Rows]) -> None:
        self._defaults = {p.name: p.value for p in pde.params if p.free}
        self._labels = [name for name, r in rows.items() if r.params & set(self._defaults)]
        free = {p for p in pde.params if p.free}
        conditions = [c.alpha * c.field + c.beta - c.value for c in pde.conditions.values()]
        integrals = [i.integrand - i.value for i in pde.integrals.values()]
        every = [*pde.equations.values(), *conditions, *integrals]
        self._linear = max((_degree(e, free) for e in every), default=0) <= 1

    def __call__(
        self, compute: Compute, fields: dict[str, Tensor], missing: list[str]
    ) -> dict[str, Tensor]:
        """Return the fields with values for what is missing, ``(batch,)`` each.

        Args:
            compute: The rows of a state that lacks nothing, by name; what follows a line break in
                a name tells parts of one name apart.
            fields: The state.
            missing: Names of the params to find.
        """
        like = next(iter(fields.values()))
        batch = like.shape[0]

        def rows(p: Tensor) -> Tensor:
            named = {name: p[:, k] for k, name in enumerate(missing)}
            out = compute(fields | named)
            wanted = sorted(k for k in out if k.split("\n")[0] in self._labels)
            parts = [out[k].flatten(1) for k in wanted]
            return torch.cat([v / v.shape[1] ** 0.5 for v in parts], dim=1)

        p = like.new_tensor([self._defaults[name] for name in missing]).repeat(batch, 1)
        if not self._linear:
            going = torch.ones_like(p[:, :1], dtype=torch.bool)
            with torch.no_grad():
                for _ in range(STEPS):
                    # A sample that has settled stays, whatever stands beside it.
                    last, p = p, torch.where(going, self._damped(rows, p), p)
                    going = going & ((p - last).abs() > SETTLED * p.abs()).any(1, keepdim=True)
                    # What is under a transform of torch cannot be asked.
                    if not caught(p) and not bool(going.any()):
                        break
        step, value = self._step(rows, p)
        if not self._linear:
            with torch.no_grad():
                worse = ~(rows(p - step).square().sum(1) <= value.square().sum(1))
            step = torch.where(worse[:, None], 0.0, step)
        p = p - step
        return fields | {name: p[:, k] for k, name in enumerate(missing)}

    def _step(self, rows: Callable[[Tensor], Tensor], p: Tensor) -> tuple[Tensor, Tensor]:
        """Return the step of Gauss and Newton, ``(batch, params)``, and the rows."""
        value, columns = rows(p), []
        for k in range(p.shape[1]):
            seed = torch.zeros_like(p)
            seed[:, k] = 1
            # A difference is exact where the params enter linearly, and cheaper.
            columns.append(
                rows(p + seed) - value if self._linear else torch.func.jvp(rows, (p,), (seed,))[1]
            )
        jacobian = torch.stack(columns, dim=-1)
        gram = jacobian.mT @ jacobian
        # A param on which no row depends keeps its value.
        lift = torch.diag_embed((gram.diagonal(dim1=-2, dim2=-1) == 0).to(gram))
        try:
            step = torch.linalg.solve(gram + lift, jacobian.mT @ value[..., None])[..., 0]
        except RuntimeError as error:
            raise PiddmError(
                f"the params {', '.join(self._defaults)} cannot be told apart from these fields; "
                "give one of them"
            ) from error
        return step, value

    def _damped(self, rows: Callable[[Tensor], Tensor], p: Tensor) -> Tensor:
        step, value = self._step(rows, p)
        before = value.square().sum(1)
        for _ in range(HALVINGS):
            worse = ~(rows(p - step).square().sum(1) <= before)
            if not caught(worse) and not bool(worse.any()):
                return p - step
            step = torch.where(worse[:, None], step / 2, step)
        worse = ~(rows(p - step).square().sum(1) <= before)
        return torch.where(worse[:, None], p, p - step)


def _degree(expression: Any, symbols: set[Any]) -> float:
    """Return the degree of an expression in some symbols; infinite where it is no polynomial."""
    expression = sympy.sympify(expression, strict=True)
    if expression in symbols:
        return 1
    if not expression.free_symbols & symbols:
        return 0
    if isinstance(expression, D):
        if expression.wind and expression.wind[0].free_symbols & symbols:
            return float("inf")  # it changes sides
        return _degree(expression.parts[0], symbols)
    degrees = [_degree(argument, symbols) for argument in expression.args]
    if isinstance(expression, sympy.Add):
        return max(degrees)
    if isinstance(expression, sympy.Mul):
        return sum(degrees)
    return float("inf")
