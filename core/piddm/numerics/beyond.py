"""Solutions that show what a scheme cannot do: wiggles in space, and from step to step.

A number such as the cell Péclet number says that wiggles are possible; a smooth solution has none.
So the solution is looked at first, and the number is worked out where there is something to
explain.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.numerics.recursion import TIMES
from piddm.numerics.scheme_limits import PECLET, Limits, asked, limits_of, nodes, upwind
from piddm.numerics.stiffness import stiffness
from piddm.symbolic.analysis import derivative_order
from piddm.symbolic.operators import D, Field, strict
from piddm.tools.errors import SCHEMES, PiddmError, SchemeWarning

if TYPE_CHECKING:
    from piddm.symbolic.specification import Order, Specification

SEEN = 0.01
"""Share of a field's range from which three differences in a row of changing sign are wiggles."""


@dataclasses.dataclass(frozen=True)
class Wiggle:
    """The largest wiggle along an axis: its share of the field's range, and where it is."""

    share: float
    sample: int
    time: int


class Beyond:
    """Looks at solutions, and says once what they show of a scheme's limits.

    Args:
        pde: The equation.
        grid: The grid.
        given: What is given.
        order: Accuracy in space.
    """

    def __init__(
        self,
        pde: Specification,
        grid: Grid,
        given: Iterable[object],
        order: Order | Mapping[str, Order] | None,
    ) -> None:
        self.pde, self.grid = pde, grid
        self.order: Order | Mapping[str, Order] | None = order
        self.known = {str(g) for g in given if isinstance(g, Field)}
        self._asked = [a for a in asked(pde) if a[2] not in self.known]
        # Directions do not hang on wiggles: they are looked at once.
        self._directed = any(
            upwind(pde, name, axis)
            or (
                grid.axes[axis].bounded and derivative_order(strict(pde.equations[name]), axis) == 1
            )
            for name, axis, _ in self._asked
        )
        self._said: set[str] = set()

    def look(self, solved: Mapping[str, Tensor]) -> None:
        """Warn of what a solution shows, by one line for each thing."""
        if self.pde.residual is not None or self.grid.spherical:
            return
        try:
            self._look(solved)
        except PiddmError:  # rows that touch every node have no limits that can be read off
            return

    def _look(self, solved: Mapping[str, Tensor]) -> None:
        if self._directed:
            self._directed = False
            found = self._limits(solved, Wiggle(0.0, 0, 0))
            for text in (*found.wind, *found.outflow):
                self._warn(text, text)
        for name, axis, of in self._asked:
            if f"{name} {axis}" in self._said or upwind(self.pde, name, axis):
                continue
            seen = wiggle(solved[of], self.grid, axis)
            if seen is None:
                continue
            number = self._limits(solved, seen).peclet.get((name, axis, of), 0.0)
            if number > PECLET:
                self._warn(
                    f"{name} {axis}",
                    f"{of} has wiggles of {seen.share:.0%} of its range along {axis}, where the "
                    f"cell Péclet number of {name} is {number:.3g}: above 2, central differences "
                    f"make them; take {nodes(self.grid.axes[axis], number)} nodes along {axis}, "
                    f"or an upwind derivative, D(..., {axis}, upwind=...)",
                )
        self._look_in_time(solved)

    def _look_in_time(self, solved: Mapping[str, Tensor]) -> None:
        time, axis = next(iter(self.grid.axes.items()))
        stepped = not axis.time or self.pde.time_scheme != "crank-nicolson"
        if stepped or axis.size < TIMES or "stiff" in self._said:
            return
        for of in self._stepped(time):
            seen = wiggle(solved[of], self.grid, time)
            if seen is None:
                continue
            grid, state = self._window(solved, seen, TIMES)
            found = stiffness(self.pde, grid, state, self.known, self.order)
            if found is not None and found.stiff:
                self._warn(
                    "stiff",
                    f"{of} swings from step to step by {seen.share:.0%} of its range: the fastest "
                    f"mode's rate times the step is {found.number:.3g}, and Crank-Nicolson keeps "
                    f"{-found.factor:.0%} of it at every step, its sign changed; take "
                    f"time_scheme='bdf2', or {found.times(axis)} times",
                )
                return

    def _stepped(self, time: str) -> list[str]:
        derivatives = {d for e in self.pde.equations.values() for d in strict(e).atoms(D)}
        found = {
            s.name for d in derivatives if d.parts[1].name == time  # pyright: ignore
            for s in d.parts[0].free_symbols if isinstance(s, Field)  # pyright: ignore
        }  # fmt: skip
        return sorted(found - self.known)

    def _limits(self, solved: Mapping[str, Tensor], seen: Wiggle) -> Limits:
        # Of the second order: one-sided rows of higher ones lean, and carry nothing.
        return limits_of(self.pde, *self._window(solved, seen, 3), 2)

    def _window(
        self, solved: Mapping[str, Tensor], seen: Wiggle, count: int
    ) -> tuple[Grid, dict[str, Tensor]]:
        """Return one sample at a few times about a place, and their grid."""
        state = {k: v[seen.sample : seen.sample + 1] for k, v in solved.items()}
        name, axis = next(iter(self.grid.axes.items()))
        if not axis.time or axis.size <= count:
            return self.grid, state
        first = min(max(seen.time - 1, 0), axis.size - count)
        lower = axis.lower + first * axis.spacing
        few = dataclasses.replace(
            axis, lower=lower, upper=lower + (count - 1) * axis.spacing, size=count
        )
        state = {k: v[:, first : first + count] if v.ndim > 1 else v for k, v in state.items()}
        return Grid(**{n: few if n == name else a for n, a in self.grid.axes.items()}), state

    def _warn(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            warnings.warn(f"{self.pde.name}: {text} ({SCHEMES})", SchemeWarning, stacklevel=2)


def wiggle(values: Tensor, grid: Grid, axis: str) -> Wiggle | None:
    """Return the largest wiggle of a field along an axis; none where it has none.

    Args:
        values: ``(batch, *grid.shape)``.
        grid: The grid.
        axis: Name of the axis.
    """
    dim = grid.index(axis) + 1
    if values.shape[dim] < 4:
        return None
    step = values.diff(dim=dim)
    count = step.shape[dim] - 2
    a, b, c = (step.narrow(dim, k, count) for k in range(3))
    least = torch.minimum(torch.minimum(a.abs(), b.abs()), c.abs())
    size = torch.where((a * b < 0) & (b * c < 0), least, 0.0)
    flat = values.flatten(1)
    extent = (flat.amax(1) - flat.amin(1)).clamp_min(1e-300)
    share = size.flatten(1) / extent[:, None]
    worst = int(share.argmax())
    largest = float(share.flatten()[worst])
    if not largest > SEEN:
        return None
    sample, place = divmod(worst, share.shape[1])
    time = place // max(share.shape[1] // size.shape[1], 1)
    return Wiggle(largest, sample, time)
