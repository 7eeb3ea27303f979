r"""How a small disturbance goes on from time to time: stability of what is solved.

The rows that determine the latest time, linearised, are a recursion

.. math:: A\,y_{k+1} + B\,y_k + C\,y_{k-1} = 0.

A mode that grows and turns by more than an eighth of a circle at every step is none of the
equation's, whose own modes a step resolves: it belongs to the scheme. Source: R. D. Richtmyer,
K. W. Morton, Difference Methods for Initial-Value Problems (1967), ch. 4 and 7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.numerics.jacobian import Jacobian
from piddm.residuals.binding import bind
from piddm.symbolic.operators import Field
from piddm.tools.errors import SCHEMES, PiddmError, UsageError

if TYPE_CHECKING:
    from piddm.symbolic.specification import Order, Specification

TIMES = 5
"""Times of the grid on which the recursion is read off; the rows that determine the fourth."""

STEPS = 300
"""Steps for which a random disturbance is followed."""

E_FOLDINGS = 5.0
"""Growth over a whole run, as a power of e, from which a scheme's own mode spoils the solution."""

TURN = np.cos(np.pi / 4)
"""A mode that turns further at a step is the scheme's."""


@dataclass(frozen=True)
class Growth:
    """How a disturbance grows.

    Args:
        rate: Factor a step, in the end.
        turns: Whether it changes its sign, or a quarter of a circle, at every step.
    """

    rate: float
    turns: bool


def few_times(grid: Grid, step: float | None = None) -> Grid:
    """Return the grid with the first few of its times, or as many with another step."""
    name, axis = next(iter(grid.axes.items()))
    upper = axis.lower + (TIMES - 1) * (step or axis.spacing)
    few = dataclasses.replace(axis, upper=upper, size=TIMES)
    return Grid(**{n: few if n == name else a for n, a in grid.axes.items()})


@dataclass(frozen=True)
class Recursion:
    """The rows that determine a time, linearised: see the module.

    Args:
        latest: Factors of A.
        now: B.
        before: C.
    """

    latest: SuperLU
    now: csc_matrix
    before: csc_matrix

    def growth(self) -> Growth:
        """Follow a random disturbance; its size is brought back to one at every step."""
        generator = np.random.default_rng(0)
        older, newer = generator.standard_normal((2, self.now.shape[0]))  # pyright: ignore
        total, kept = 0.0, []
        cosines: list[tuple[float, float]] = []
        for _ in range(STEPS):
            latest = -self.latest.solve(self.now @ newer + self.before @ older)
            size = float(np.linalg.norm(latest))
            if size == 0 or not np.isfinite(size):
                return Growth(0.0 if size == 0 else np.inf, True)
            cosines.append((_cosine(latest, newer), _cosine(latest, older)))
            older, newer = newer / size, latest / size
            total += np.log(size)
            kept.append(total)
        half = STEPS // 2
        rate = float(np.exp((kept[-1] - kept[half - 1]) / (STEPS - half)))
        first, second = np.mean(np.array(cosines[half:]), axis=0)
        return Growth(rate, bool(first < TURN or second < 0))

    def alternating(self) -> tuple[float, float]:
        """Return the most negative factor of a mode at a step, and its modulus; of two times."""
        mode = np.random.default_rng(0).standard_normal(self.now.shape[0])  # pyright: ignore
        factor, modulus = 1.0, 1.0
        for _ in range(STEPS // 3):
            after = -self.latest.solve(self.now @ mode)
            factor = float(mode @ after / (mode @ mode))
            modulus = float(np.linalg.norm(after) / np.linalg.norm(mode))
            mode = after - mode  # factors are next to 1 or below: -1 is the farthest from 1
            size = float(np.linalg.norm(mode))
            if size == 0 or not np.isfinite(size):
                break
            mode /= size
        return factor, modulus


def recursion(
    pde: Specification,
    grid: Grid,
    state: Mapping[str, Tensor],
    known: Iterable[str] = (),
    order: Order | Mapping[str, Order] | None = None,
) -> Recursion | None:
    """Return how times follow from one another; none where they do not.

    Args:
        pde: The equation.
        grid: A grid of a few times: see :func:`few_times`.
        state: Fields about which to linearise, on that grid, one sample, and params.
        known: Fields that are given, which nothing disturbs.
        order: Accuracy in space.
    """
    residual = bind(pde, grid, order)
    unknown = tuple(k for k in residual.field_names if k not in set(known))
    try:
        jacobian = Jacobian(residual, unknown)
    except UsageError:  # its rows touch every node
        return None
    per_time = int(np.prod(grid.shape[1:]))
    time = (jacobian.column % jacobian.nodes) // per_time
    latest = np.full(jacobian.rows, -1)
    earliest = np.full(jacobian.rows, TIMES)
    np.maximum.at(latest, jacobian.row, time)
    np.minimum.at(earliest, jacobian.row, time)
    chosen = np.flatnonzero((latest == TIMES - 2) & (earliest >= TIMES - 4))
    size = per_time * len(unknown)
    if len(chosen) != size:
        return None
    _, values = jacobian.values(residual.fit({k: v.double() for k, v in state.items()}))
    entries = values[:, 0].numpy()
    if not np.isfinite(entries).all():
        return None
    place = np.full(jacobian.rows, -1)
    place[chosen] = np.arange(size)
    within = (jacobian.column // jacobian.nodes) * per_time + jacobian.column % per_time
    blocks = []
    for at in (TIMES - 2, TIMES - 3, TIMES - 4):
        here = (time == at) & (place[jacobian.row] >= 0)
        where = (place[jacobian.row[here]], within[here])
        blocks.append(csc_matrix((entries[here], where), shape=(size, size)))
    try:
        return Recursion(splu(blocks[0]), blocks[1], blocks[2])
    except RuntimeError:  # singular: the latest time does not follow
        return None


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else 0.0


def unstable(found: Growth | None, times: int) -> bool:
    """Return whether a scheme's own mode grows so much over so many times that it spoils all."""
    return found is not None and found.turns and found.rate > 1 + E_FOLDINGS / times


def refuse_unstable(
    pde: Specification,
    grid: Grid,
    state: Mapping[str, Tensor],
    given: Iterable[object],
    order: Order | Mapping[str, Order] | None = None,
) -> None:
    """Refuse steps in time with which the scheme blows up whatever is solved.

    Args:
        pde: The equation.
        grid: The whole grid.
        state: Where the solver starts, on the whole grid.
        given: What is given.
        order: Accuracy in space.

    Raises:
        PiddmError: If it does; the largest stable step is named.
    """
    if (said := instability(pde, grid, state, given, order)) is not None:
        raise PiddmError(said)


def instability(
    pde: Specification,
    grid: Grid,
    state: Mapping[str, Tensor],
    given: Iterable[object],
    order: Order | Mapping[str, Order] | None = None,
) -> str | None:
    """Return why steps in time are unstable, and which are not; none where they are stable."""
    name, axis = next(iter(grid.axes.items()))
    if axis.size < TIMES:
        return None
    known = [str(g) for g in given if isinstance(g, Field)]
    few = {k: v[:1, :TIMES] if v.ndim > 1 else v[:1] for k, v in state.items()}
    steps = recursion(pde, few_times(grid), few, known, order)
    found = steps.growth() if steps else None
    if not unstable(found, axis.size):
        return None
    assert found is not None
    said = (
        f"time_scheme={pde.time_scheme!r} is unstable with a step of {axis.spacing:.3g} along "
        f"{name}: errors grow {found.rate:.3g}-fold at every step, of {axis.size - 1}; "
    )
    largest = _largest_stable(pde, grid, few, known, order)
    second = any(d.parts[1].name == name and d.parts[2] > 1  # pyright: ignore
                 for e in pde.equations.values() for d in _derivatives(e))  # fmt: skip
    other = "newmark" if second else "crank-nicolson"
    if largest is None:
        said += "no step is stable"
    else:
        nodes = 1 + int(np.ceil((axis.upper - axis.lower) / largest - 1e-9))
        said += f"the largest stable step is about {largest:.3g} ({nodes} nodes along {name})"
    return f"{said}; time_scheme={other!r} is stable with any: see {SCHEMES}"


def _derivatives(expression: object) -> Iterable[object]:
    from piddm.symbolic.operators import D

    return expression.atoms(D)  # pyright: ignore


def _largest_stable(
    pde: Specification,
    grid: Grid,
    state: Mapping[str, Tensor],
    known: list[str],
    order: Order | Mapping[str, Order] | None,
) -> float | None:
    """Return the largest stable step to some per mille, by bisection."""
    axis = next(iter(grid.axes.values()))
    length = axis.upper - axis.lower

    def stable(step: float) -> bool:
        steps = recursion(pde, few_times(grid, step), state, known, order)
        return not unstable(steps.growth() if steps else None, max(axis.size, round(length / step)))

    low, high = axis.spacing / 2, axis.spacing
    while not stable(low):
        low, high = low / 4, low
        if low < 1e-5 * axis.spacing:
            return None
    while high / low > 1.003:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if stable(middle) else (low, middle)
    return low
