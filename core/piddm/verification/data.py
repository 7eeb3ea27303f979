"""Residuals of data: the floor, beside those of zero and of noise, and the size of each term."""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache

import sympy
import torch
from torch import Tensor

from piddm.data.simulate import held_inputs, simulate
from piddm.equation import PDE
from piddm.grids.grid import Grid, NodeCounts
from piddm.residuals import ranges
from piddm.residuals.norms import mean_squares, term_scale
from piddm.residuals.residual import Residual
from piddm.symbolic.text import expression_text
from piddm.tools.errors import PiddmError
from piddm.verification.result import Check

COUNT, SIZE, SMALL_SIZE = 4, 32, 16
"""Solutions; nodes along each axis, and the same of grids with three axes."""

FLOOR_64, FLOOR_32, NEAR = 1e-20, 1e-9, 10.0
"""Largest normalised PDE error of data in float64 and in float32, and how many times the part of
rounding the latter may be."""

TELLS_APART = 1e8
"""How many times the floor the error of other fields is at least, where data are the derived
solver's."""

NOISE = 0.1
"""Noise of the noisy fields, over their deviation."""

NEGLIGIBLE = 1e-6
"""Size of a term, over the equation's largest, below which it is named as weak."""

NEGATIVE = (
    "not finite: a power or a logarithm of values that it is not defined for; say what range a "
    'field has, such as Field("u", positive=True)'
)
"""Advice where powers and logarithms are not finite."""


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Data of an equation on a small grid.

    Args:
        residual: The residual they solve.
        fields: ``(count, *grid.shape)``, float64.
        derived: Whether the derived solver made them, or must have been matched: on a sphere, which
            it does not serve, an equation's own ``simulate`` solves the residual itself. Elsewhere
            ``simulate`` may solve another discretisation.
        scale: Row name to the size of the largest term.
        problem: Why the derived solver did not.
    """

    residual: Residual
    fields: dict[str, Tensor]
    derived: bool
    scale: dict[str, float]
    problem: str = ""


def grid_of(pde: PDE, size: NodeCounts | None) -> Grid:
    """Return the equation's domain at the size of the checks; axes not named have it too."""
    grid = pde.grid.resized(SIZE if len(pde.grid.axes) < 3 else SMALL_SIZE)
    return grid.resized(size) if size else grid


def data_of(pde: PDE, seed: int = 0, size: NodeCounts | None = None) -> Data:
    """Return data, by the derived solver where it can.

    Raises:
        PiddmError: If neither it nor the equation's own ``simulate`` can.
    """
    return _data_on(pde, seed, grid_of(pde, size))


@lru_cache(maxsize=4)
def _data_on(pde: PDE, seed: int, grid: Grid) -> Data:
    def draw(of: PDE) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return next(iter(simulate(of, grid, COUNT, generator)))

    problem = ""
    if grid.spherical and pde.simulate is not None:
        fields = {k: v.double() for k, v in draw(pde).items()}
        return _data(pde, grid, fields, problem)
    try:
        fields = draw(dataclasses.replace(pde, simulate=None))
    except PiddmError as error:
        if pde.simulate is None:
            raise
        problem = str(error)
        fields = {k: v.double() for k, v in draw(pde).items()}
    return _data(pde, grid, fields, problem)


def _data(pde: PDE, grid: Grid, fields: dict[str, Tensor], problem: str) -> Data:
    residual = pde.bind(grid)
    with torch.no_grad():
        scale = {k: v or 1.0 for k, v in term_scale(residual, fields).items()}
    return Data(residual, fields, not problem, scale, problem)


def floor(pde: PDE, seed: int = 0, size: NodeCounts | None = None) -> Check:
    """Check that derived data solve the residual to round-off, in float64 and in float32.

    In float32 a fine grid or a high derivative magnifies the rounding of the data themselves,
    which no residual can help: it must then be near what this alone leaves.

    The arguments are those of ``verify``.
    """
    data = data_of(pde, seed, size)
    rounded = {k: v.float() for k, v in data.fields.items()}
    with torch.no_grad():
        double = _mean_squares(data, data.fields)
        single = _mean_squares(data, rounded)
        alone = _mean_squares(data, {k: v.double() for k, v in rounded.items()})
    limit = {k: max(FLOOR_32, NEAR * v) for k, v in alone.items()}
    finite = all(v < float("inf") for v in [*double.values(), *single.values()])
    low = max(double.values()) <= FLOOR_64 and all(single[k] <= limit[k] for k in single)
    worst, worst_32 = (max(v, key=v.__getitem__) for v in (double, single))
    detail = (
        f"normalised mean square {double[worst]:.1e} in float64 ({worst}), "
        f"{single[worst_32]:.1e} in float32 ({worst_32})"
    )
    if single[worst_32] > FLOOR_32:
        detail += f", of which rounding the data leaves {alone[worst_32]:.1e}"
    if not data.derived:
        detail = f"of the equation's own data: {detail}; the derived solver: {data.problem}"
    own = None if pde.simulate is None or pde.grid.spherical else _own_floor(pde, seed, size)
    if own and data.derived:
        worst = max(own, key=own.__getitem__)
        detail = (
            f"of the equation's own data, which training sees: {own[worst]:.1e} ({worst}); "
            f"of the derived solver's: {detail}"
        )
        finite &= all(v < float("inf") for v in own.values())
    passed = finite and (low or not data.derived)
    values = {"float64": double, "float32": single, "data rounded to float32": alone}
    if own:
        values["own data"] = own
    return Check("floor", passed, detail, values)


def _own_floor(pde: PDE, seed: int, size: NodeCounts | None) -> dict[str, float] | None:
    """Return the normalised mean squares of what the equation's own ``simulate`` makes.

    On the checks' grid, or on the equation's own where that is the only one it takes.
    """
    for grid in (grid_of(pde, size), pde.grid):
        generator = torch.Generator().manual_seed(seed)
        try:
            drawn = next(iter(simulate(pde, grid, COUNT, generator)))
        except Exception:  # an author's own code, which may take one grid only
            continue
        made = _data(pde, grid, {k: v.double() for k, v in drawn.items()}, "")
        with torch.no_grad():
            return _mean_squares(made, made.fields)
    return None


def contrasts(pde: PDE, data: Data, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Return data, the same with noise, and the same with nothing where something is solved for."""
    generator = torch.Generator().manual_seed(seed + 1)
    held = held_inputs(pde, data.residual.grid)
    # Params that were solved for are fitted again: the contrast gets its best chance.
    given = {str(item) for item in pde.inputs}
    kept = {k: v for k, v in data.fields.items() if k not in pde.free_params or k in given}
    noisy, zero = dict(kept), dict(kept)
    for name, free in ((k, torch.from_numpy(~v)) for k, v in held.items()):
        value = data.fields[name]
        white = torch.randn(value.shape, generator=generator, dtype=value.dtype)
        bounds = data.residual.bounds.get(name, (None, None))
        within = ranges.forward(value, bounds)  # as it is where there is no range
        noisy[name] = ranges.backward(within + NOISE * within.std() * white * free, bounds)
        zero[name] = torch.where(free, ranges.inner(bounds), value)
    return {"data": data.fields, "noise": noisy, "zero": zero}


def truth_against_zero(pde: PDE, seed: int = 0, size: NodeCounts | None = None) -> Check:
    """Check that the residual tells data from zero fields and from data with a tenth of noise.

    The arguments are those of ``verify``.
    """
    name = "truth_against_zero"
    data = data_of(pde, seed, size)
    with torch.no_grad():
        sizes = {
            k: sum(_mean_squares(data, v).values()) for k, v in contrasts(pde, data, seed).items()
        }
    least = TELLS_APART if data.derived else 1.0
    truth = max(sizes["data"], 1e-300)
    passed = min(sizes["zero"], sizes["noise"]) >= least * truth
    detail = ", ".join(f"{k} {v:.1e}" for k, v in sizes.items())
    if not all(map(math.isfinite, sizes.values())):
        detail += f": {NEGATIVE}"
    elif not passed:
        detail += f": too near each other, {least:.0e} apart is asked for"
    return Check(name, passed, f"normalised mean square: {detail}", {"mean_square": sizes})


def scales(pde: PDE, seed: int = 0, size: NodeCounts | None = None) -> Check:
    """Report the size of each term of each equation, and warn of those that say nothing.

    The arguments are those of ``verify``.
    """
    data = data_of(pde, seed, size)
    with torch.no_grad():
        terms = data.residual.terms(data.fields)
    found = {
        name: {term: float(v.square().mean().sqrt()) for term, v in parts.items()}
        for name, parts in terms.items()
    }
    said, finite = [], True
    for name, parts in found.items():
        if data.residual.rows[name].boundary or not parts:
            continue
        text = {term: readable(pde, name).get(term, term) for term in parts}
        top = max(parts, key=parts.__getitem__)
        finite &= all(v < float("inf") for v in parts.values())
        said.append(f"{name}: largest {text[top]}, rms {parts[top]:.2g}")
        weak = [text[t] for t, v in parts.items() if v < NEGLIGIBLE * parts[top]]
        if weak:
            said[-1] += f", negligible {', '.join(weak)}"
    return Check("scales", finite, "; ".join(said), {"terms": found})


def readable(pde: PDE, name: str) -> dict[str, str]:
    """Return how people write each term of an equation, by the term as ``terms`` names it."""
    if name not in pde.equations:
        return {}
    parts = sympy.Add.make_args(pde.equations[name])
    return {str(part): str(expression_text(part)) for part in parts}


def _mean_squares(data: Data, fields: dict[str, Tensor]) -> dict[str, float]:
    return {k: float(v) for k, v in mean_squares(data.residual, fields, data.scale).items()}
