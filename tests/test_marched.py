"""Films are corrected from their own first time on: against the classical solver, and refusals."""

import pytest
import torch

from piddm import get_pde
from piddm.data.simulate import held_inputs, simulate
from piddm.numerics.correction import Correction
from piddm.numerics.marched import March
from piddm.residuals.norms import term_scale
from piddm.residuals.wrappers import with_params

SIZES = {"kdv": {"t": 33, "x": 32}, "allen-cahn": {"t": 33, "x": 32}, "burgers": {"t": 17, "x": 16},
         "navier-stokes": {"t": 5, "x": 16, "y": 16},
         "sphere-allen-cahn": {"t": 16, "lat": 8, "lon": 16},
         "shallow-water": {"t": 5, "lat": 8, "lon": 16}}  # fmt: skip


def made(name, noise, count=3, dtype=torch.float64):
    """Return a correction that marches, noisy fields, and the residual's parts."""
    pde = get_pde(name)
    grid = pde.grid.resized(SIZES[name])
    (clean,) = simulate(pde, grid, 8, torch.Generator().manual_seed(0), chunk=8)
    residual = pde.bind(grid)
    scale = term_scale(residual, clean)
    draw = torch.Generator().manual_seed(1)
    noisy = {}
    for k in pde.field_names:
        off = torch.randn(clean[k].shape, generator=draw).double() * clean[k].std() * noise
        off[:, 0] *= held_inputs(pde, grid)[k].ravel()[0] == 0  # the first time stays true
        noisy[k] = (clean[k] + off)[:count].to(dtype)
    mean = {k: clean[k].mean(0, keepdim=True) for k in pde.field_names}
    march = March.of(pde, residual, scale)
    assert march is not None
    sizes = {k: float(clean[k].std()) for k in pde.field_names}
    by = Correction(residual, sizes, scale, mean, held_inputs(pde, grid), (), "solution",
                    march=march)  # fmt: skip
    return by, noisy, clean


@pytest.mark.parametrize("name", SIZES)
def test_from_far_away_to_the_classical_solution_of_the_same_start(name):
    """As far as half of the data's deviation at every node, where Newton steps are lost."""
    by, noisy, clean = made(name, 0.5)
    found = by(noisy, steps=1)
    assert bool(found.converged.all())
    assert found.before.min() > 1e-2
    for k, v in found.fields.items():
        # The data were solved to 1e-11 of the largest term.
        assert (v - clean[k][:3]).abs().max() < 1e-7 * clean[k].std(), k


@pytest.mark.parametrize("name", SIZES)
def test_single_precision_is_good_to_its_own_mark(name):
    by, noisy, _ = made(name, 0.1, dtype=torch.float32)
    found = by(noisy, steps=1)
    assert bool(found.converged.all())
    assert all(v.dtype == torch.float32 for v in found.fields.values())


def test_what_diverges_stays_as_it_was_and_says_so():
    by, noisy, _ = made("burgers", 0.1)
    noisy["u"][1] *= 1e3  # its waves pass many nodes a step
    noisy["u"][2, 3, 3] = torch.nan
    found = by(noisy, steps=1)
    assert found.converged.tolist() == [True, False, False]
    assert found.error[1] <= found.before[1]
    torch.testing.assert_close(found.fields["u"][2], noisy["u"][2], equal_nan=True)
    alone = by({"u": noisy["u"][:1]}, steps=1)
    torch.testing.assert_close(found.fields["u"][:1], alone.fields["u"], rtol=1e-9, atol=1e-9)


def test_another_residual_has_no_march():
    pde = get_pde("burgers")
    grid = pde.grid.resized(SIZES["burgers"])
    residual = pde.bind(grid)
    assert March.of(pde, residual, dict.fromkeys(residual.rows, 1.0)) is not None
    assert March.of(pde, with_params(residual, {"nu": 0.5}), {"momentum": 1.0}) is None
    assert March.of(pde, pde.bind(grid, 4), {"momentum": 1.0}) is None
    darcy = get_pde("darcy")
    assert March.of(darcy, darcy.bind(darcy.grid.resized(8)), {}) is None


def test_a_mean_that_no_solution_has_is_taken_from_the_first_time():
    """On a torus a vorticity has none: no stream function meets it. All else of it is kept."""
    by, noisy, _ = made("navier-stokes", 0.1)
    drawn = noisy["w"][:, 0].clone()
    noisy["w"][:, 0] += 0.01
    found = by(noisy, steps=1)
    assert bool(found.converged.all())
    first = found.fields["w"][:, 0]
    torch.testing.assert_close(first, drawn - drawn.mean((1, 2), keepdim=True), rtol=0, atol=1e-12)
