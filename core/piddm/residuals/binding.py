"""From a specification to its residual on a grid: the plugin's own, or a compiled one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping

from piddm.grids.grid import Grid
from piddm.residuals.residual import Residual
from piddm.symbolic.specification import Order, Specification
from piddm.tools.errors import UsageError, labelled
from piddm.tools.memory import require

NUMBERS = 4
"""Numbers in memory for each value of a field, at least: the field, its rows, their derivatives."""


def bind(
    spec: Specification,
    grid: Grid | None = None,
    order: Order | Mapping[str, Order] | None = None,
) -> Residual:
    """Return the residual on a grid: the plugin's own, or the compiled one.

    Args:
        spec: The specification.
        grid: The grid; the specification's own where none is given.
        order: Accuracy in space, 2, 4 or 6, or ``"spectral"`` on periodic axes; one for all axes,
            or by name; the specification's own where none is given. Time has the order of
            ``time_scheme``. A sphere has harmonics, and no order but ``"spectral"``.

    Raises:
        UsageError: If the grid is too small for the stencil, or the order cannot be had.
    """
    residual = _bound(spec, grid, order)
    if spec.bounds:
        residual.bounds = spec.bounds
    return residual


def _bound(
    spec: Specification, grid: Grid | None, order: Order | Mapping[str, Order] | None
) -> Residual:
    if grid is not None and not isinstance(grid, Grid):
        raise UsageError(f"{spec.name}: bind takes a grid, such as pde.grid.resized({grid!r})")
    grid, asked = grid or spec.grid, order
    order = spec.order if order is None else order
    if grid.spherical != spec.grid.spherical:
        raise UsageError(
            f"{spec.name}: bind takes another size of its own grid, such as pde.grid.resized(32)"
        )
    what = f"{spec.name} on {' x '.join(map(str, grid.shape))} nodes"
    require(NUMBERS * math.prod(grid.shape) * len(spec.fields), what, "take fewer nodes")
    if spec.residual is not None:
        takes_order = len(inspect.signature(spec.residual).parameters) > 1
        return spec.residual(grid, order) if takes_order else spec.residual(grid)
    if grid.spherical:
        if asked not in (None, "spectral"):
            raise UsageError(
                f"{spec.name}: derivatives on a sphere are spectral: leave order={asked!r} out"
            )
        # Harmonics are imported where a spherical grid is in use, and nowhere else.
        from piddm.residuals.sphere_residual import SphereResidual

        with labelled(spec.name):
            return SphereResidual(spec, grid)
    from piddm.residuals.stencil_residual import StencilResidual

    with labelled(spec.name):
        return StencilResidual(spec, grid, order)
