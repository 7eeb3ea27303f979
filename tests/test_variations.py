"""Residuals that are altered: some rows only, other params, another order."""

import numpy as np
import pytest
import torch

from piddm import UsageError
from piddm.config import PhysicsConfig, resolve
from piddm.numerics.projection import Projection
from piddm.plugins import get_pde
from piddm.residuals.variations import chosen, varied
from piddm.runs.fingerprints import fingerprints


def drawn(pde, grid, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {k: torch.randn((2, *grid.shape), generator=g).double() for k in pde.field_names}


def places(residual, name, which):
    """Rows of an equation by a walk over its nodes, one by one."""
    axes, rows = list(residual.grid.axes.values()), residual.rows[name]
    along = [i for i, axis in enumerate(axes) if axis.time == (which == "ends")]
    low, high = rows.nodes.min(0), rows.nodes.max(0)
    return [
        n for n, node in enumerate(rows.nodes) if any(node[i] in (low[i], high[i]) for i in along)
    ]


@pytest.mark.parametrize(("name", "which"), [
    ("burgers", "ends"), ("burgers", "boundary"), ("navier-stokes", "ends"), ("darcy", "boundary"),
])  # fmt: skip
def test_rows_are_those_of_the_whole_residual(name, which):
    pde = get_pde(name)
    grid = pde.grid.resized(8)
    whole, part = pde.bind(grid), varied(pde, grid, PhysicsConfig(rows=which))
    fields = drawn(pde, grid)
    every, some = whole(fields), part(fields)
    for k, rows in some.items():
        index = places(whole, k, which)
        if not whole.rows[k].boundary:
            assert torch.equal(rows, every[k].flatten(1)[:, index])
            assert 0 < len(index) < every[k].flatten(1).shape[1]
        assert np.array_equal(part.rows[k].nodes, whole.rows[k].nodes[chosen(whole, which)[k]])


def test_some_rows_can_be_projected_on():
    """The kept rows vanish, to round-off, and the others do not: the band is right for the rest."""
    pde = get_pde("burgers")
    grid = pde.grid.resized(8)
    part = varied(pde, grid, PhysicsConfig(rows="ends"))
    fields = drawn(pde, grid)
    found = Projection(part, {"u": 1.0}, dict.fromkeys(part.rows, 1.0))(fields)
    assert all(float(v.abs().max()) < 1e-8 for v in part(found).values())
    assert float(pde.bind(grid)(found)["momentum"].abs().max()) > 1


def test_a_factor_is_another_viscosity():
    pde = get_pde("burgers")
    grid = pde.grid.resized(8)
    fields = drawn(pde, grid)
    nu = next(p for p in pde.params if p.name == "nu")
    given = {**fields, "nu": torch.full((2,), 3 * nu.value, dtype=torch.float64)}
    wrong = varied(pde, grid, PhysicsConfig(factor=3.0))(fields)
    torch.testing.assert_close(wrong["momentum"], pde.bind(grid)(given)["momentum"])


def test_what_an_equation_has_not_is_refused():
    pde = get_pde("poisson")
    with pytest.raises(UsageError, match="no param"):
        varied(pde, pde.grid.resized(8), PhysicsConfig(factor=2.0))
    with pytest.raises(UsageError, match="no axis"):
        varied(pde, pde.grid.resized(8), PhysicsConfig(rows="ends"))


def test_marks_change_where_the_physics_does():
    pde = get_pde("burgers")
    plain, other = (resolve("burgers", "quick", overrides=o) for o in ([], ["physics.factor=2.0"]))
    one, two = fingerprints(plain, pde), fingerprints(other, pde)
    assert one["pairs"] == two["pairs"]
    assert one["distill"] != two["distill"]
