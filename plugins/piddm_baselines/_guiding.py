"""What methods that follow a residual's gradient share: its square by sample, a sampler's step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from piddm.grids.means import node_weights
from piddm.teachers.teacher import Teacher
from piddm.tools.errors import UsageError
from piddm.training.context import TrainingContext

Squares = Callable[[Tensor], Tensor]
"""Packed samples ``(batch, channel, *image)`` to a number each, ``(batch,)``."""


class Rows:
    """All rows of a residual as a vector, whose squares add up to :attr:`TrainingContext.strong`.

    Args:
        context: What gives the residual, its scales and the packing.
    """

    def __init__(self, context: TrainingContext) -> None:
        self._context, every, parts = context, node_weights(context.residual.grid), []
        for name, rows in context.residual.rows.items():
            own = torch.ones(len(rows.nodes), dtype=torch.float64)
            if every is not None:
                own = every[tuple(torch.from_numpy(rows.nodes.T))]
            parts.append((own / own.sum()).sqrt() / context.projection.row_scale[name])
        self._weights = torch.cat(parts)

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``(batch, rows)`` of packed samples."""
        rows = self._context.residual(self._context.packing.unpack(x))
        return torch.cat([v.flatten(1) for v in rows.values()], dim=1) * self._weights.to(x)

    def along(self, x: Tensor, direction: Tensor) -> Tensor:
        """Return the rows' derivative ``(batch, rows)`` along a packed direction."""
        packing = self._context.packing
        moved = {k: v[None] for k, v in packing.push(x, direction).items()}
        change = self._context.residual.tangent(packing.unpack(x), moved)[1]
        return torch.cat([v[0].flatten(1) for v in change.values()], dim=1) * self._weights.to(x)


def squares(context: TrainingContext, norm: str) -> Squares:
    """Return a residual's square by sample, differentiable.

    Args:
        context: What gives the residual.
        norm: ``strong``, the mean square of normalised rows, or ``distance``, the squared distance
            to the nearest solution to first order, per value; that solution is held fixed.

    Raises:
        UsageError: If there is no such norm.
    """
    if norm == "strong":
        rows = Rows(context)
        return lambda x: rows(x).square().sum(1)
    if norm != "distance":
        raise UsageError(f"norm is strong or distance, not {norm}")

    def distance(x: Tensor) -> Tensor:
        nearest = x.detach() - context.away(x)
        return context.packing.weigh(x - nearest).square().flatten(1).mean(1)

    return distance


def heun(teacher: Teacher, x: Tensor, now: Tensor, then: Tensor) -> tuple[Tensor, Tensor]:
    """Take the step that the teacher's own sampler takes; return the state and the last E[x0|xt].

    Args:
        teacher: The model.
        x: The state at ``now``.
        now: A time, ``()``.
        then: The next one, which is 0 where this is the last step.
    """
    v, estimate = _velocity(teacher, x, now)
    if then > 0:
        ahead, estimate = _velocity(teacher, x + (then - now) * v, then)
        v = (v + ahead) / 2
    return x + (then - now) * v, estimate


def _velocity(teacher: Teacher, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """Return dx/dt and E[x0|xt] for one network call: both are linear in data and noise."""
    v, schedule = teacher.velocity(x, time.expand(len(x))), teacher.schedule
    a, s, (da, ds) = schedule.alpha(time), schedule.sigma(time), schedule.rates(time)
    return v, (ds * x - s * v) / (ds * a - s * da)
