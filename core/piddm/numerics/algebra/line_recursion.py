r"""The inverse at each state's own params, of a matrix whose lines follow from the ones before.

A matrix that is separable (:mod:`piddm.numerics.algebra.separable`) at all params, with the same
eigenvectors, and in which lines depend on lines before them only, as times do, is for each
eigenvector k a recursion with coefficients of the state's own,

.. math:: \lambda^0_{ik}\, x_{ik} = b_{ik} - \sum_{s \ge 1} \lambda^s_{ik}\, x_{i-s,\,k} .

They are read off the response to the sum of all eigenvectors on every line of one colour, one
product for each line that reaches another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from piddm.numerics.algebra.separable import SeparableInverse
from piddm.tools.devices import placed

MOST = 3
"""Lines back at most."""


class LineRecursion:
    """Makes such inverses.

    Args:
        base: The inverse at one choice of params.

    Raises:
        ValueError: If lines depend on later ones, or reach too far.
    """

    def __init__(self, base: SeparableInverse) -> None:
        lags = base.lags
        if int(lags.min()) < 0 or int(lags.max()) > MOST:
            raise ValueError("lines that depend on later ones")
        self._base, self._reach = base, int(lags.max())
        lines, _ = base.shape
        one = base.sum_of_modes()
        count = self._reach + 1
        at = torch.arange(lines) % count
        self._probes = torch.stack([(at == c)[:, None] * one for c in range(count)]).flatten(1)

    def at(self, push: Callable[[Tensor], Tensor], like: Tensor) -> Recursion:
        """Return the inverse of a matrix of states, given its product with ``(batch, nodes)``."""
        base, count, batch = self._base, self._reach + 1, len(like)
        lines = base.shape[0]
        found = torch.stack([
            base.modes(push(probe[None].expand(batch, -1))) for probe in placed(self._probes, like)
        ])  # fmt: skip
        at = torch.arange(lines, device=like.device)
        # Of the line i, the one s lines before has the colour (i - s) modulo their number.
        taps = [found[(at - s) % count, at] for s in range(count)]
        return Recursion(base, taps)


class Recursion:
    """Solves with the matrices of some states.

    Args:
        base: Whose eigenvectors they have.
        taps: Coefficient of the line itself and of those before it, ``(lines, batch, modes)``.
    """

    def __init__(self, base: SeparableInverse, taps: list[Tensor]) -> None:
        self._base = base
        self._own, self._before = taps[0].reciprocal(), taps[1:]

    def solve(self, rows: Tensor, transposed: bool = False) -> Tensor:
        """Return the solution of ``(batch, nodes)``."""
        solved = self._base.modes(rows, transposed)
        if transposed:
            solved = solved.flip(0)
        own = self._own.flip(0).conj() if transposed else self._own
        solved = (solved * own).contiguous()
        taps = []
        for s, tap in enumerate(self._before, 1):
            # Of the transpose, the line i has the coefficient of the later line i + s.
            taps.append(own * (tap.roll(-s, 0).flip(0).conj() if transposed else tap))
        for i in range(1, len(solved)):
            for s, tap in enumerate(taps[:i], 1):
                solved[i].addcmul_(tap[i], solved[i - s], value=-1)
        return self._base.back(solved.flip(0) if transposed else solved, transposed)
