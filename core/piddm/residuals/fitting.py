"""Free params that a state leaves out: the values that make the residual least."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch import Tensor
from torch.func import jvp

from piddm.residuals.residual import Rows
from piddm.symbolic.operators import D
from piddm.tools.devices import solved
from piddm.tools.errors import PiddmError

if TYPE_CHECKING:
    from piddm.residuals.separated import Separated
    from piddm.symbolic.specification import Specification

caught = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore

Compute = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]

Linear = Callable[[Tensor], tuple[Tensor, Tensor]]

STEPS, HALVINGS, SETTLED = 20, 5, 1e-4
"""Gauss-Newton steps where a param does not enter linearly, how often each may be halved, and the
relative step, squared by the last one, at which they end."""

STRAIGHT, LONGEST, NEAR = 0.95, 20, 0.1
"""Cosine between two steps from which on their sum is that of a geometric series, how many times a
step it may be, and the length of the first of them, over the param, at most."""


class Fit:
    r"""Least squares over the rows that depend on a param, sample by sample.

    The mean square of each equation and condition counts the same, however many rows it has.

    .. math:: p \leftarrow p - (J_p^T J_p)^{-1} J_p^T R(x, p), \qquad J_p = \partial R/\partial p,

    one step where the params enter linearly, which is then exact; else as many as it takes, each
    halved until it lowers the sum of squares, and one more that gradients pass through. Where no
    transform of torch looks on, all but that one are taken on few rows
    (:mod:`piddm.residuals.separated`).

    Attributes:
        labels: Names of the rows that depend on a free param.
        linear: Whether every row is of the first degree in them.
    """

    def __init__(self, pde: Specification, rows: Mapping[str, Rows]) -> None:
        self._defaults = {p.name: p.value for p in pde.params if p.free}
        self._known: dict[int, tuple[int, int]] = {}
        self.labels = [name for name, r in rows.items() if r.params & set(self._defaults)]
        free = {p for p in pde.params if p.free}
        conditions = [c.alpha * c.field + c.beta - c.value for c in pde.conditions.values()]
        integrals = [i.integrand - i.value for i in pde.integrals.values()]
        every = [*pde.equations.values(), *conditions, *integrals]
        self.linear = max((_degree(e, free) for e in every), default=0) <= 1

    def __call__(
        self, compute: Compute, fields: dict[str, Tensor], missing: list[str],
        small: Separated | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Return the fields with values for what is missing, ``(batch,)`` each.

        Args:
            compute: The rows of a state that lacks nothing, by name; what follows a line break in
                a name tells parts of one name apart.
            fields: The state.
            missing: Names of the params to find.
            small: What makes few rows of them.
        """
        like = next(iter(fields.values()))
        batch = like.shape[0]

        def rows(p: Tensor) -> Tensor:
            named = {name: p[:, k] for k, name in enumerate(missing)}
            out = compute(fields | named)
            wanted = sorted(k for k in out if k.split("\n")[0] in self.labels)
            parts = [out[k].flatten(1) for k in wanted]
            return torch.cat([v / v.shape[1] ** 0.5 for v in parts], dim=1)

        def linear(p: Tensor) -> tuple[Tensor, Tensor]:
            value, columns = rows(p), []
            seeds = torch.eye(p.shape[1], dtype=p.dtype, device=p.device)
            for seed in seeds[:, None].expand(-1, *p.shape):
                # A difference is exact where the params enter linearly, and cheaper.
                columns.append(
                    rows(p + seed) - value if self.linear else jvp(rows, (p,), (seed.clone(),))[1]
                )
            return value, torch.stack(columns, dim=-1)

        # Each is written by the device itself: what is copied there is waited for.
        defaults = [like.new_full((batch,), self._defaults[name]) for name in missing]
        p = torch.stack(defaults, dim=1)
        if not self.linear:
            with torch.no_grad():
                if small is None or any(caught(v) for v in fields.values()):
                    p = self._settled(linear, p)
                else:
                    few = small.of(fields, missing)
                    p = self._settled(few.linearised, p.double()).to(p)
                    if not any(v.requires_grad for v in fields.values()):
                        return fields | {name: p[:, k] for k, name in enumerate(missing)}
        step, value = self._step(linear, p)
        if not self.linear:
            with torch.no_grad():
                worse = ~(rows(p - step).square().sum(1) <= value.square().sum(1))
            step = torch.where(worse[:, None], 0.0, step)
        p = p - step
        return fields | {name: p[:, k] for k, name in enumerate(missing)}

    def _settled(self, linear: Linear, p: Tensor) -> Tensor:
        """Return the params after steps that lower the sum of squares of each sample."""
        going = torch.ones_like(p[:, 0], dtype=torch.bool)
        step, value = self._step(linear, p)
        size, last = value.square().sum(1), torch.zeros_like(step)
        # On a device the first fit of all is looked at, the others take somewhat more than it did.
        known = None if p.device.type == "cpu" else self._known.get(p.shape[1])
        most, halvings = known or (STEPS, HALVINGS)
        made = halved = 0
        while made < most:
            made += 1
            # A sample that has settled stays, whatever stands beside it.
            longer = _longer(step, last, p)
            move = torch.where(going[:, None], step * longer, 0.0)
            for k in range(halvings + 1):
                halved = max(halved, k)
                next_step, value = self._step(linear, p - move)
                worse = going & ~(value.square().sum(1) <= size)
                # What is under a transform of torch cannot be asked.
                if not (known or caught(worse)) and not bool(worse.any()):
                    break
                move = torch.where(worse[:, None], move / 2 if k < halvings else 0.0, move)
            else:
                next_step, value = self._step(linear, p - move)
            last = torch.where(longer != 1, 0.0, step)  # no series goes on after its sum
            p, step, size = p - move, next_step, value.square().sum(1)
            going = going & (move.abs() > SETTLED * p.abs()).any(1)
            if not (known or caught(p)) and not bool(going.any()):
                break
        if p.device.type != "cpu" and not known and not caught(p):
            self._known[p.shape[1]] = min(made + made // 2 + 1, STEPS), min(halved + 1, HALVINGS)
        # The step from there is known already, and squares what is left where rows can vanish.
        return torch.where((step.abs() <= SETTLED * p.abs()).all(1, keepdim=True), p - step, p)

    def _step(self, linear: Linear, p: Tensor) -> tuple[Tensor, Tensor]:
        """Return the step of Gauss and Newton, ``(batch, params)``, and the rows."""
        value, jacobian = linear(p)
        gram = jacobian.mT @ jacobian
        # A param on which no row depends keeps its value.
        lift = torch.diag_embed((gram.diagonal(dim1=-2, dim2=-1) == 0).to(gram))
        try:
            step = solved(gram + lift, jacobian.mT @ value[..., None])[..., 0]
        except RuntimeError as error:
            raise PiddmError(
                f"the params {', '.join(self._defaults)} cannot be told apart from these fields; "
                "give one of them"
            ) from error
        return step, value


def _longer(step: Tensor, last: Tensor, p: Tensor) -> Tensor:
    """Return how much longer a step should be where steps shrink by a constant ratio (Aitken)."""
    along, before = (step * last).sum(1, keepdim=True), last.square().sum(1, keepdim=True)
    own = step.square().sum(1, keepdim=True)
    near = (last.abs() < NEAR * p.abs()).all(1, keepdim=True)
    straight = near & (along.abs() > STRAIGHT * (own * before).sqrt())
    ratio = along / torch.where(straight, before, 1.0)
    return torch.where(straight & (ratio < 1 - 1 / LONGEST), 1 / (1 - ratio), 1.0)


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
