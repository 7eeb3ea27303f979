r"""A preconditioner that knows no equation: what is factorised is a state that has no waves.

At a state that is the same all along the periodic axes :math:`K = J W^2 J^T` commutes with shifts
along these axes, and Fourier modes along them decouple. For each mode is left a
small matrix over the other axes, read off the responses to values of 1 at single nodes. Over the
lines of the first other axis, which is time where there is time, it is block tridiagonal and
factorised once,

.. math:: \hat K_{ll'} = \sum_k \hat J_{lk} \bar w_k^2 \hat J_{l'k}^H = (L L^H)_{ll'} .

An integral over space is a row of the mode zero only. Fixed values count by their share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from piddm.numerics.algebra.mode_factors import LIFT, LINES, ModeFactors
from piddm.residuals.residual import Fields, Residual

LARGEST = 60_000_000
"""Entries of all blocks at most, 1 GB; beyond, the preconditioner is a diagonal."""

DENSE = 4_000_000
"""Entries of all modes' inverses up to which these are multiplied with, 32 MB: a product at once is
faster than a sweep over lines, and half as fast to set up."""

PROBES, CHUNK = 16, 4_000_000
"""Probes of a diagonal, and values that are probed at once."""


def preconditioner(
    residual: Residual, fields: Fields, weights: Tensor, row_scale: Mapping[str, float]
) -> Callable[[Tensor], Tensor]:
    """Return an approximate inverse of J W^2 J^T on ``(batch, rows)``.

    Args:
        residual: The residual.
        fields: States, ``(batch, *grid.shape)`` and params ``(batch,)``, float64.
        weights: W, ``(columns,)``.
        row_scale: Row scale by name.
    """
    probe = _Probe(residual, fields, row_scale)
    layout = _Layout(residual)
    if layout.rings is None or layout.entries > LARGEST:
        return _diagonal(probe, residual.field_names, weights)
    return Modes(residual, probe, layout, weights)


def mean_state(residual: Residual, fields: Fields) -> dict[str, Tensor]:
    """Return the mean over states and periodic axes, ``(1, *grid.shape)``, and of params."""
    along = [d + 1 for d, periodic in enumerate(residual.grid.periodic) if periodic]
    found = {}
    for name, value in fields.items():
        axes = [0, *along] if name in residual.field_names else [0]
        found[name] = value.mean(axes, keepdim=True).expand(1, *value.shape[1:]).clone()
    return found


class _Probe:
    """The rows' change along directions, at the mean of some states."""

    def __init__(self, residual: Residual, fields: Fields, row_scale: Mapping[str, float]) -> None:
        self._residual, self._scale, self.grid = residual, row_scale, residual.grid
        self.mean = mean_state(residual, fields)

    def __call__(self, directions: Mapping[str, Tensor]) -> Tensor:
        """Return ``(count, rows)`` of directions ``(count, *grid.shape)``."""
        several = {k: v[:, None] for k, v in directions.items()}
        _, change = self._residual.tangent(self.mean, several)
        return torch.cat([v.flatten(2)[:, 0] / self._scale[k] for k, v in change.items()], dim=1)


def _diagonal(probe: _Probe, names: tuple[str, ...], weights: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the inverse of the diagonal, as the mean square response to random signs shows it."""
    like = probe.mean[names[0]]
    draw = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (PROBES, len(weights)), generator=draw).to(like) * 2 - 1
    parts = (signs * weights.to(like)).view(PROBES, len(names), *probe.grid.shape).unbind(1)
    found = probe(dict(zip(names, parts, strict=True))).square().mean(0)
    found = found.clamp_min(LIFT * float(found.mean()))
    return lambda rows: rows / found


class _Layout:
    """Rows in rings along the periodic axes, and rings in lines of the first other axis.

    Attributes:
        rings: ``(rings, *periodic axes)`` numbers of rows; None where rows do not close.
        ring_line: Line of each ring.
        integrals: Numbers of the rows that are integrals, with ``integral_line``.
    """

    def __init__(self, residual: Residual) -> None:
        grid = residual.grid
        self.periodic = [d for d, closed in enumerate(grid.periodic) if closed]
        self.other = [d for d, closed in enumerate(grid.periodic) if not closed]
        self.shape = tuple(grid.shape[d] for d in self.periodic) or (1,)  # else one mode
        self.around = math.prod(self.shape)
        self.lines = grid.shape[self.other[0]] if self.other else 1
        self.rest = math.prod(grid.shape[d] for d in self.other[1:])
        rings: list[np.ndarray] = []
        lines: list[np.ndarray] = []
        integrals: list[np.ndarray] = []
        integral_lines: list[np.ndarray] = []
        start, closed = 0, True
        for rows in residual.rows.values():
            nodes, number = rows.nodes, start + np.arange(len(rows.nodes))
            line = nodes[:, self.other[0]] if self.other else np.zeros(len(nodes), dtype=int)
            start += len(nodes)
            if rows.integral:
                integrals.append(number)
                integral_lines.append(line)
                continue
            # Rows of one ring differ only in their place along the periodic axes.
            order = np.lexsort(tuple(nodes[:, d] for d in reversed((*self.other, *self.periodic))))
            if len(order) % self.around:
                closed = False
                break
            found = order.reshape(-1, self.around)
            at = nodes[found]
            whole = np.array(list(np.ndindex(*self.shape)))[:, : len(self.periodic)]
            if (at[:, :, self.other] != at[:, :1, self.other]).any() or (
                at[:, :, self.periodic] != whole
            ).any():
                closed = False
                break
            rings.append(number[found].reshape(-1, *self.shape))
            lines.append(line[found[:, 0]])
        self.integrals, self.integral_line = _joined(integrals), _joined(integral_lines)
        self.rings = np.concatenate(rings) if closed and rings else None
        self.ring_line = _joined(lines)
        modes = math.prod((*self.shape[:-1], self.shape[-1] // 2 + 1))
        width = max(np.bincount(self.ring_line).max(initial=1), LINES)
        self.entries = 2 * modes * width * len(self.ring_line)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=int)


class Modes:
    """Normal equations at a mean state, factorised mode by mode.

    Args:
        residual: The residual.
        probe: Its linear part.
        layout: Its rows.
        weights: W, ``(columns,)``.
    """

    def __init__(self, residual: Residual, probe: _Probe, layout: _Layout, weights: Tensor) -> None:
        assert layout.rings is not None
        device = next(iter(probe.mean.values())).device
        self._shape, self._around = layout.shape, layout.around
        self._rings = torch.from_numpy(layout.rings).to(device)
        # Rows that are in the order of rings already need not be picked one by one.
        self._in_order = bool((layout.rings.ravel() == np.arange(layout.rings.size)).all())
        self._integrals = torch.from_numpy(layout.integrals).to(device)
        names, grid = residual.field_names, residual.grid
        reach = _reach(probe, names, layout)
        colour = _colours(reach)
        response, integral = self._responses(probe, names, layout, colour)
        order = (*layout.other, *layout.periodic)
        squares = weights.to(device).square().view(len(names), *grid.shape)
        squares = squares.permute(0, *(d + 1 for d in order))
        squares = squares.reshape(len(names), layout.lines, layout.rest, -1).mean(-1)
        squares = squares.permute(1, 2, 0).flatten(1)  # by line, as the responses are
        # The line of columns, by colour, on which a line of rows depends.
        felt = np.full((layout.lines, int(colour.max()) + 1), -1)
        for column, row in np.argwhere(reach):
            felt[row, colour[column]] = column
        self._most = ModeFactors(response[1:], layout.ring_line, felt, squares) if (
            len(response) > 1) else None  # fmt: skip
        first = torch.cat([response[:1], integral[None]], dim=1)
        lines = np.concatenate([layout.ring_line, layout.integral_line])
        self._first = ModeFactors(first, lines, felt, squares)
        self._dense = self._inverses(response.shape[0], response.shape[1])

    def _inverses(self, modes: int, rows: int) -> tuple[Tensor, Tensor] | None:
        """Return the inverses of the first mode and of the others, where they are small."""
        if self._most is None or modes * rows**2 > DENSE:
            return None
        return self._first.inverse(), self._most.inverse()

    def _responses(
        self, probe: _Probe, names: tuple[str, ...], layout: _Layout, colour: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Return J of each mode ``(modes, rings, columns)`` and of integrals in mode zero.

        Columns are by colour, node of the rest and field.
        """
        grid, like = probe.grid, next(iter(probe.mean.values()))
        nodes = np.array(list(np.ndindex(*(grid.shape[d] for d in layout.other[1:]))), dtype=int)
        columns = [
            (c, at, name) for c in range(int(colour.max()) + 1) for at in nodes for name in names
        ]
        chunk = max(1, CHUNK // (len(names) * math.prod(grid.shape)))
        rings, integrals = [], []
        axes = tuple(range(-len(self._shape), 0))
        for start in range(0, len(columns), chunk):
            some = columns[start : start + chunk]
            directions = {k: like.new_zeros(len(some), *grid.shape) for k in names}
            for k, (c, at, name) in enumerate(some):
                place: list = [0] * len(grid.shape)
                if layout.other:
                    place[layout.other[0]] = torch.from_numpy(np.flatnonzero(colour == c))
                for d, node in zip(layout.other[1:], at, strict=True):
                    place[d] = int(node)
                directions[name][(k, *place)] = 1.0
            change = probe(directions)
            found = change[:, self._rings]
            found = torch.fft.rfftn(found, dim=axes)
            rings.append(found.flatten(2).permute(2, 1, 0))
            integrals.append(change[:, self._integrals].mT * self._around**0.5)
        return torch.cat(rings, dim=2), torch.cat(integrals, dim=1).to(torch.complex128)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the approximate solution of ``(batch, rows)``."""
        axes = tuple(range(-len(self._shape), 0))
        rings = rows[:, self._rings] if not self._in_order else (
            rows[:, : self._rings.numel()].view(-1, *self._rings.shape)
        )  # fmt: skip
        values = torch.fft.rfftn(rings, dim=axes, norm="ortho")
        modes = values.flatten(2).permute(2, 1, 0)
        own = rows[:, self._integrals].mT.to(modes)
        first, count = torch.cat([modes[:1], own[None]], dim=1), modes.shape[1]
        if self._dense is not None:
            one, most = self._dense
            first = (one @ first.to(one)).to(modes)
            solved = torch.cat([first[:, :count], (most @ modes[1:].to(most)).to(modes)])
        else:
            first = self._first(first.to(torch.complex128)).to(modes)
            solved = first[:, :count]
            if self._most is not None:
                solved = torch.cat([solved, self._most(modes[1:]).to(solved)])
        solved = solved.permute(2, 1, 0).view(values.shape)
        back = torch.fft.irfftn(solved, s=self._shape, dim=axes, norm="ortho")
        if self._in_order and not len(self._integrals):
            return back.flatten(1)
        out = torch.empty_like(rows)
        out[:, self._rings] = back
        out[:, self._integrals] = first[0, count:].real.mT
        return out


def _reach(probe: _Probe, names: tuple[str, ...], layout: _Layout) -> np.ndarray:
    """Return which lines of rows depend on which lines of columns, ``(columns, rows)``."""
    grid, like = probe.grid, next(iter(probe.mean.values()))
    if not layout.other:
        return np.ones((1, 1), dtype=bool)
    draw = torch.Generator().manual_seed(0)
    shape = [grid.shape[d] if d == layout.other[0] else 1 for d in range(len(grid.shape))]
    only = torch.eye(layout.lines).view(layout.lines, *shape).to(like)
    noise = {k: torch.randn(grid.shape, generator=draw).to(like) for k in names}
    change = probe({k: only * v for k, v in noise.items()}).abs().cpu().numpy()
    assert layout.rings is not None
    reach = np.zeros((layout.lines, layout.lines), dtype=bool)
    rings = change[:, layout.rings.reshape(len(layout.rings), -1)].max(-1) > 0
    for lines, felt in (
        (layout.ring_line, rings),
        (layout.integral_line, change[:, layout.integrals] > 0),
    ):
        for ring, line in enumerate(lines):
            reach[:, line] |= felt[:, ring]
    return reach


def _colours(reach: np.ndarray) -> np.ndarray:
    """Colour lines of columns so that no line of rows depends on two of one colour."""
    colour = np.zeros(len(reach), dtype=int)
    taken: list[np.ndarray] = []
    for line, felt in enumerate(reach):
        free = [c for c, rows in enumerate(taken) if not (rows & felt).any()]
        if not free:
            taken.append(np.zeros_like(felt))
            free = [len(taken) - 1]
        colour[line] = free[0]
        taken[free[0]] |= felt
    return colour
