r"""Normal equations of any rows, by conjugate gradients on derivatives along directions.

No matrix is made: :math:`J W^2 J^T p` is one backward derivative and one forward one. All samples
go side by side, each with step lengths of its own. The preconditioner M is the inverse of the
matrix at a mean state (:mod:`piddm.numerics.mode_preconditioner`), so that iterations are few. The
measure of the error is

.. math:: r^T M r \approx r^T K^{-1} r = |W J^T (m - m^*)|^2,

the squared error of the move itself, not of the rows, and it is what the tolerance bounds.

Soft rows are at single places, no Fourier mode knows them. They stand in a border around the hard
ones, :math:`K = \begin{pmatrix} A & B \\ B^T & D \end{pmatrix}`, and M is that matrix' inverse at
the mean state, by A's and the small matrix :math:`D - B^T A^{-1} B`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.mode_preconditioner import mean_state, preconditioner
from piddm.numerics.normal_equations import Linearised, NormalEquations, Solved
from piddm.residuals.residual import Fields, Residual
from piddm.residuals.wrappers import Part
from piddm.tools.devices import placed, sent, solved
from piddm.tools.errors import UsageError

LIMIT = 300
"""Iterations at most. What is reached by then is taken: where rows contradict one another the best
there is, which a strict projection refuses by itself."""


BORDER = 20_000_000
"""Entries of B at most, 160 MB; beyond, soft rows have a diagonal."""

TOGETHER = 16
"""Columns of B that are found at once."""

ROUGH = 0.1
"""Tolerance from which a device is asked once only how many iterations it takes, and by half and
one more are made from then on: the loss of a training step, for which the host is not to wait. On a
processor, where looking costs nothing, each solution takes as many as it needs.

Measured at 0.2, on states 1 to 100 % off: 1 to 3 iterations on two equations, 10 to 19 on another.
"""

FINEST = {torch.float32: (1e-3, 1e-12), torch.float64: (0.0, 1e-26)}
"""Least tolerance by precision, and the mean square of scaled rows below which nothing is gained.

Measured on two flows with three axes: in float32 moves are found to 7e-4, in half the time."""


class GradientNormal(NormalEquations):
    """Iterative solutions, in the precision of the fields.

    Args:
        residual: The residual.
        weights: W, see :func:`~piddm.numerics.normal_equations.move_weights`.
        row_scale: Row scale by name.
        slack: Sigma's diagonal, see :func:`~piddm.numerics.normal_equations.slack_vector`.
        own: What makes the preconditioner of given states; that of a mean state where left out.

    Attributes:
        iterations: Those of the last solution.
        counts: Those that are made on a device where nobody looks, by purpose and tolerance.

    Raises:
        UsageError: If nothing is left to move.
    """

    def __init__(
        self,
        residual: Residual,
        weights: np.ndarray,
        row_scale: Mapping[str, float],
        slack: np.ndarray,
        own: Callable[[Fields], Callable[[Tensor], Tensor]] | None = None,
    ) -> None:
        if not (weights > 0).any():
            raise UsageError("nothing is left to project: every value that a row touches is held")
        self.residual, self.row_scale = residual, row_scale
        self.weights, self.slack = torch.from_numpy(weights), torch.from_numpy(slack)
        self.iterations = 0
        self.counts: dict[tuple[str, float], int] = {}
        self._precondition: Callable[[Tensor], Tensor] | None = None
        self._own = own

    def at(self, fields: Fields) -> Linearised:
        """Linearise; the first states of all, averaged, or each its own, give a preconditioner."""
        if self._own is not None:
            return _Linearised(self, fields, self._own(fields))
        if self._precondition is None:
            exact = {k: v.detach().double() for k, v in fields.items()}
            self._precondition = self._preconditioner(exact)
        return _Linearised(self, fields, self._precondition)

    def _preconditioner(self, fields: Fields) -> Callable[[Tensor], Tensor]:
        soft = self.slack > 0
        if not bool(soft.any()):
            return preconditioner(self.residual, fields, self.weights, self.row_scale)
        count, hard = 0, []
        for name, rows in self.residual.rows.items():
            if not bool(soft[count : (count := count + len(rows.nodes))].any()):
                hard.append(name)
        part = Part(self.residual, hard)
        inner = preconditioner(part, fields, self.weights, self.row_scale)
        if int(soft.sum()) * len(soft) <= BORDER:
            return self._bordered(fields, soft, inner)
        beside = 1 / (1 + self.slack[soft])

        def apply(rows: Tensor) -> Tensor:
            found = torch.empty_like(rows)
            found[:, ~soft] = inner(rows[:, ~soft])
            found[:, soft] = rows[:, soft] * beside.to(rows)
            return found

        return apply

    def _bordered(
        self, fields: Fields, soft: Tensor, inner: Callable[[Tensor], Tensor]
    ) -> Callable[[Tensor], Tensor]:
        """Return the inverse at the mean state, A's given, on the fields' device."""
        mean, parts = mean_state(self.residual, fields), []
        soft = soft.to(mean[self.residual.field_names[0]].device)
        for chosen in soft.nonzero()[:, 0].split(TOGETHER):
            count = len(chosen)
            copies = {k: v.expand(count, *v.shape[1:]) for k, v in mean.items()}
            one = torch.zeros(count, len(soft)).to(copies[self.residual.field_names[0]])
            one[torch.arange(count), chosen] = 1.0
            here = _Linearised(self, copies, inner)
            parts.append(here.push(here.pull(one)))
        columns, slack = torch.cat(parts), self.slack.to(parts[0])[soft]
        solved = inner(columns[:, ~soft])
        small = columns[:, soft] + slack.diag() - columns[:, ~soft] @ solved.mT
        values, vectors = torch.linalg.eigh((small + small.mT) / 2)
        # Where A's inverse is a rough one, as of a diagonal, the difference may come out negative.
        inverse = vectors / values.clamp_min(float(slack.min())) @ vectors.mT

        def apply(rows: Tensor) -> Tensor:
            across, found = solved.to(rows), torch.empty_like(rows)
            own = (rows[:, soft] - rows[:, ~soft] @ across.mT) @ inverse.to(rows)
            found[:, ~soft], found[:, soft] = inner(rows[:, ~soft]) - own @ across, own
            return found

        return apply

    def flat(self, rows: Mapping[str, Tensor], lead: int = 1) -> Tensor:
        """Return rows ``(..., all rows)``, scaled, after so many leading dimensions."""
        return torch.cat([v.flatten(lead) / self.row_scale[k] for k, v in rows.items()], dim=lead)


class _Linearised(Linearised):
    """A residual's derivatives at some states."""

    def __init__(
        self,
        normal: GradientNormal,
        fields: Fields,
        precondition: Callable[[Tensor], Tensor],
    ) -> None:
        self._normal, self._fields = normal, {k: v.detach() for k, v in fields.items()}
        self._precondition = precondition
        self._names = normal.residual.field_names
        self._weights = placed(normal.weights, fields[self._names[0]])
        self._slack = placed(normal.slack, self._weights)
        with torch.inference_mode(False), torch.enable_grad():
            self._leaves = {k: fields[k].clone().requires_grad_() for k in self._names}
            others = {k: v.clone() for k, v in fields.items() if k not in self._leaves}
            self._rows = normal.flat(normal.residual({**others, **self._leaves}))
            self._pulled = self._transposed() if normal.residual.grid.spherical else None
        self.rows = self._rows.detach()
        self._moves = self._movable()

    def _transposed(self) -> tuple[Tensor, ...]:
        """Return J^T m as a function of m, whose derivative along a move w is J w.

        On a sphere forward differentiation evaluates all rows anew, in ways of torch that are slow
        beside a transform; this is one more walk backwards through what is there. Stencils have
        tangents of their own.
        """
        self._multiplier = torch.zeros_like(self._rows, requires_grad=True)
        return torch.autograd.grad(
            self._rows, list(self._leaves.values()), self._multiplier,
            create_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip

    def _movable(self) -> Tensor | None:
        """Return which rows anything may move, where something is held."""
        if bool((self._normal.weights > 0).all()):
            return None
        draw = torch.Generator().manual_seed(0)
        probe = torch.randn((len(self._rows), len(self._weights)), generator=draw)
        found = (self.push(sent(probe, self._rows)) != 0).any(0)
        if found.device.type == "cpu" and not bool(found.any()):
            raise UsageError("nothing is left to project: every value that a row touches is held")
        return found.to(self._rows)

    def push(self, move: Tensor) -> Tensor:
        parts = (self._weights * move).split(len(self._weights) // len(self._names), dim=1)
        moves = {k: p.view_as(self._fields[k]) for k, p in zip(self._names, parts, strict=True)}
        if self._pulled is None:
            return self._along(moves)
        (change,) = torch.autograd.grad(
            self._pulled, self._multiplier, [*moves.values()],
            retain_graph=True, materialize_grads=True,
        )  # fmt: skip
        return change

    def _along(self, direction: Fields) -> Tensor:
        normal = self._normal
        several = {k: v[None] for k, v in direction.items()}
        _, change = normal.residual.tangent(self._fields, several)
        return normal.flat(change, 2)[0]

    def _moving(self, rows: Tensor) -> Tensor:
        return rows if self._moves is None else rows * self._moves

    def pull(self, multipliers: Tensor) -> Tensor:
        """Return W J^T m as ``(batch, columns)``."""
        found = torch.autograd.grad(
            self._rows, list(self._leaves.values()), multipliers,
            retain_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        return self._weights * torch.cat([g.flatten(1) for g in found], dim=1)

    def solve(self, target: Tensor, tolerance: float, start: Tensor | None = None) -> Solved:
        what = "rows" if start is None else "rows again"
        moved, multipliers = self._conjugate(what, target, tolerance, start)
        params = self._normal.residual.free_params
        if not params:
            return Solved(moved, target[:, :0], multipliers)
        columns = [self._along({k: torch.ones_like(self._fields[k])}) for k in params]
        own = [self._conjugate(k, v, tolerance) for k, v in zip(params, columns, strict=True)]
        beside = torch.stack(columns, dim=2)
        gram = beside.mT @ torch.stack([m for _, m in own], dim=2)
        change = solved(gram, beside.mT @ multipliers[..., None])[..., 0]
        for k, (move, _) in enumerate(own):
            moved = moved - change[:, k : k + 1] * move
        return Solved(moved, change, multipliers)

    def _conjugate(
        self, what: str, target: Tensor, tolerance: float, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the move W J^T m, and m; ``what`` it is the solution of tells the number."""
        rest = self._moving(target)
        better = self._precondition(rest)
        least, nothing = FINEST[target.dtype]
        enough = max(tolerance, least) ** 2 * (rest * better).sum(1)
        if start is None:
            rest, multipliers = rest.clone(), torch.zeros_like(rest)
            moved = rest.new_zeros(len(rest), len(self._weights))
        else:
            multipliers, moved = start.clone(), self.pull(start)
            rest = rest - self._moving(self.push(moved)) - self._slack * start
            better = self._precondition(rest)
        direction, size = better.clone(), (rest * better).sum(1, keepdim=True)
        normal, made = self._normal, 0
        blind = target.device.type != "cpu" and tolerance >= ROUGH
        known = normal.counts.get((what, tolerance)) if blind else None
        while made < (LIMIT if known is None else known):
            if known is None:
                done = (size[:, 0] <= enough) | (rest.square().mean(1) <= nothing)
                if bool(done.all()):
                    break
            move = self.pull(direction)
            change = self._moving(self.push(move)) + self._slack * direction
            length = size / (direction * change).sum(1, keepdim=True).clamp_min(1e-30)
            multipliers.addcmul_(length, direction)
            moved.addcmul_(length, move)
            rest.addcmul_(length, change, value=-1.0)
            better = self._precondition(rest)
            last, size = size, (rest * better).sum(1, keepdim=True)
            direction = direction.mul_(size / last.clamp_min(1e-30)).add_(better)
            made += 1
        normal.iterations = made
        if blind and known is None:
            normal.counts[what, tolerance] = made + made // 2 + 1
        return moved, multipliers
