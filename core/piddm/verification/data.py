"""What a residual says of data: the floor, against nothing and noise, and how large terms are."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import sympy
import torch
from torch import Tensor

from piddm.errors import PiddmError
from piddm.grid import Grid
from piddm.interfaces import Residual
from piddm.pde import PDE
from piddm.physics import mean_squares, term_scale
from piddm.simulate import held_inputs, simulate
from piddm.symbolic.text import expression_text
from piddm.verification.result import Check

COUNT, SIZE, SMALL_SIZE = 4, 32, 16
FLOOR_64, FLOOR_32, NEAR = 1e-20, 1e-9, 10.0
TELLS_APART = 1e8
NOISE = 0.1
NEGLIGIBLE = 1e-6


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


def grid_of(pde: PDE, size: int | None) -> Grid:
    """Return the equation's domain at the size of the checks."""
    return pde.grid.resized(size or (SIZE if len(pde.grid.axes) < 3 else SMALL_SIZE))


@lru_cache(maxsize=4)
def data_of(pde: PDE, seed: int = 0, size: int | None = None) -> Data:
    """Return data, by the derived solver where it can.

    Raises:
        PiddmError: If neither it nor the equation's own ``simulate`` can.
    """
    grid = grid_of(pde, size)

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


def floor(pde: PDE, seed: int = 0, size: int | None = None) -> Check:
    """Check that derived data solve the residual to round-off, in float64 and in float32.

    In float32 a fine grid or a high derivative magnifies the rounding of the data themselves,
    which no residual can help: it must then be near what this alone leaves.
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
    passed = finite and (low or not data.derived)
    values = {"float64": double, "float32": single, "data rounded to float32": alone}
    return Check("floor", passed, detail, values)


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
        noisy[name] = value + NOISE * value.std() * white * free
        zero[name] = value * ~free
    return {"data": data.fields, "noise": noisy, "zero": zero}


def truth_against_zero(pde: PDE, seed: int = 0, size: int | None = None) -> Check:
    """Check that the residual tells data from zero fields and from data with a tenth of noise."""
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
    if not passed:
        detail += f": too near each other, {least:.0e} apart is asked for"
    return Check(name, passed, f"normalised mean square: {detail}", {"mean_square": sizes})


def scales(pde: PDE, seed: int = 0, size: int | None = None) -> Check:
    """Report the size of each term of each equation, and warn of those that say nothing."""
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
