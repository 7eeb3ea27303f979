r"""L-BFGS on a batch of independent problems, without a wasted evaluation.

.. math:: x \leftarrow x - t\,H g, \qquad H \approx (\nabla^2 f)^{-1}
    \text{ from the last few } (s, y) = (\Delta x, \Delta g).

Every evaluation is one of the whole batch, and each sample makes of it what it needs: where the
value fell enough (Armijo) it moves on, elsewhere its step gets shorter. So no sample waits for
another's line search, and none depends on what stands beside it. Source: Nocedal and Wright,
Numerical Optimization, 2006, algorithms 3.1 and 7.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]
"""``(batch, n)`` to ``(batch,)``."""

DECREASE = 1e-4
"""Share of the decrease that the slope promises, which a step must keep."""

SHORTEST = 1e-8
"""Step length, of the direction's, below which it is given up."""


def minimise(
    function: Function,
    x: Tensor,
    steps: int,
    precondition: Callable[[Tensor], Tensor] | None = None,
    memory: int = 10,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the best ``x`` so far and its values ``(batch,)``, after each evaluation.

    It ends early where no sample can be improved. A value or gradient that is not finite is no
    improvement; a sample that starts with one stays there.

    Args:
        function: Values of a batch; a sample's value must depend only on that sample.
        x: Where to start, ``(batch, n)``.
        steps: Evaluations of the function and its gradient, the one at the start included.
        precondition: Initial inverse Hessian up to a factor, ``(batch, n)`` to ``(batch, n)``,
            symmetric and positive; the identity where none is given.
        memory: How many pairs (s, y) are kept.
    """
    x = x.detach().clone()
    value, gradient = _evaluate(function, x)
    going = value.isfinite() & gradient.isfinite().all(1)
    pairs = _Pairs(x, memory, precondition)
    direction, length = pairs.first(gradient), x.new_ones(len(x))
    yield x.clone(), value.clone()
    for _ in range(steps - 1):
        going = going & (direction != 0).any(1)
        if not bool(going.any()):
            return
        trial = torch.where(going[:, None], x + length[:, None] * direction, x)
        new, slope = _evaluate(function, trial)
        promised = (gradient * direction).sum(1)
        fell = new <= value + DECREASE * length * promised
        better = going & fell & slope.isfinite().all(1)
        pairs.add(better, trial - x, slope - gradient)
        # The least of the parabola through value, slope and new value, within bounds.
        least = -length.square() * promised / (2 * (new - value - length * promised))
        shorter = least.nan_to_num(0.0).clamp(0.1 * length, 0.5 * length)
        length = torch.where(better, torch.ones_like(length), shorter)
        x = torch.where(better[:, None], trial, x)
        value = torch.where(better, new, value)
        gradient = torch.where(better[:, None], slope, gradient)
        stuck = going & ~better & (length < SHORTEST)
        # A direction that leads nowhere may be its memory's fault: once more, down the slope.
        going = going & ~(stuck & pairs.empty)
        pairs.forget(stuck)
        length = torch.where(stuck, torch.ones_like(length), length)
        fresh = torch.where(pairs.empty[:, None], pairs.first(gradient), pairs.direction(gradient))
        direction = torch.where((better | stuck)[:, None], fresh, direction)
        yield x.clone(), value.clone()


def _evaluate(function: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = function(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


class _Pairs:
    """The last pairs (s, y) of each sample; an empty place has a reciprocal of zero."""

    def __init__(
        self, x: Tensor, memory: int, precondition: Callable[[Tensor], Tensor] | None
    ) -> None:
        self._s, self._y = (x.new_zeros(memory, *x.shape) for _ in range(2))
        self._reciprocal = x.new_zeros(memory, len(x))
        self._factor = x.new_ones(len(x))
        self._given, self._precondition = precondition is not None, precondition or (lambda v: v)

    @property
    def empty(self) -> Tensor:
        """Which samples have none, ``(batch,)``."""
        return self._reciprocal[-1] == 0

    def add(self, chosen: Tensor, s: Tensor, y: Tensor) -> None:
        """Keep the pairs of chosen samples, where the curvature along them is positive."""
        curvature, size = (s * y).sum(1), (y * self._precondition(y)).sum(1)
        floor = torch.finfo(s.dtype).eps * s.norm(dim=1) * y.norm(dim=1)
        kept = chosen & (curvature > floor) & (size > 0)
        if not bool(kept.any()):
            return
        self._factor = torch.where(kept, curvature / size, self._factor)
        new = (s, y, 1 / curvature)
        for name, value in zip(("_s", "_y", "_reciprocal"), new, strict=True):
            old = getattr(self, name)
            flag = kept.view(1, -1, *[1] * (old.ndim - 2))
            setattr(self, name, torch.where(flag, torch.cat([old[1:], value[None]]), old))

    def forget(self, chosen: Tensor) -> None:
        """Drop all pairs of chosen samples."""
        self._reciprocal = torch.where(chosen, 0.0, self._reciprocal)

    def first(self, gradient: Tensor) -> Tensor:
        """Return the direction without pairs: of a length of 1 at most, where nothing is known."""
        downhill = -self._precondition(gradient)
        if self._given:
            return downhill
        return downhill / downhill.norm(dim=1, keepdim=True).clamp_min(1.0)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return -H g, by the two loops over the pairs."""
        q, weights = gradient, []
        for s, y, r in zip(self._s.flip(0), self._y.flip(0), self._reciprocal.flip(0), strict=True):
            weights.append(r * (s * q).sum(1))
            q = q - weights[-1][:, None] * y
        q = self._factor[:, None] * self._precondition(q)
        for s, y, r in zip(self._s, self._y, self._reciprocal, strict=True):
            q = q + (weights.pop() - r * (y * q).sum(1))[:, None] * s
        return -q
