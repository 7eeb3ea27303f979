"""What laws and solvers of plugins return, checked where it comes in and refused by name.

A field that is not finite or has another shape would otherwise show far from its cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.residuals.ranges import check
from piddm.symbolic.operators import Field, Param, Slice
from piddm.tools.errors import PiddmError

if TYPE_CHECKING:
    from piddm.equation import PDE
    from piddm.priors import Prior


def draw(
    pde: PDE,
    given: Field | Slice | Param,
    prior: Prior,
    grid: Grid,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Draw an input, and check what its law returned.

    Raises:
        PiddmError: If it is no tensor, has another shape, or not finite.
    """
    if isinstance(given, Param):
        values, shape = prior.sample_param(count, generator), (count,)
    else:
        on = grid.without(given.axis) if isinstance(given, Slice) else grid
        values, shape = prior.sample(on, count, generator), (count, *on.shape)
    what = f"{pde.name}: the law of {given}, {prior!r},"
    of = given.field if isinstance(given, Slice) else given
    found = _sound(values, shape, what)
    if isinstance(of, Field):
        check({of.name: found}, {of.name: of.bounds}, f"{what} gives ")
    return found


def whole(pde: PDE, grid: Grid, count: int, made: Any) -> dict[str, Tensor]:
    """Check what an equation's own ``simulate`` returned.

    Raises:
        PiddmError: If a field is missing, no tensor, of another shape, or not finite.
    """
    what = f"{pde.name}: its own simulate"
    if not isinstance(made, Mapping):
        raise PiddmError(f"{what} gives a {type(made).__name__}, not a tensor for each field")
    if missing := [name for name in pde.field_names if name not in made]:
        raise PiddmError(f"{what} gives no {missing[0]}")
    params = {param.name for param in pde.params}
    if more := [name for name in made if name not in params and name not in pde.field_names]:
        raise PiddmError(f"{what} gives {more[0]!r}, which is neither a field nor a param")
    check(made, pde.bounds, f"{what} gives ")
    return {
        name: _sound(
            values, (count,) if name in params else (count, *grid.shape), f"{what}, {name},"
        )
        for name, values in made.items()
    }


def _sound(values: Any, shape: tuple[int, ...], what: str) -> Tensor:
    if not isinstance(values, Tensor):
        raise PiddmError(f"{what} gives a {type(values).__name__}, not a torch tensor")
    if tuple(values.shape) != shape:
        raise PiddmError(f"{what} gives the shape {tuple(values.shape)}, not {shape}")
    bad = int((~values.isfinite()).sum())
    if bad:
        raise PiddmError(f"{what} gives {bad} values of {values.numel()} that are not finite")
    return values
