"""Nearest solutions that are the only ones: a solve with J, against factors of J W^2 J^T.

A loss takes moves within 2 % (1 % by its own measure, ``ENOUGH``); distances within 2 % as well.
"""

import numpy as np
import pytest
import torch

from piddm import get_pde
from piddm.numerics import normal_by_solution, own_inverse
from piddm.numerics.normal_by_gradients import GradientNormal
from piddm.numerics.normal_by_solution import SolutionNormal
from piddm.numerics.projection import Projection
from piddm_pdes.darcy import DARCY
from test_matrix_free import flat
from test_projection import error, made


def both(n: int, noise: float = 0.02) -> tuple:
    """Return Darcy flow in held media, u off it, and its projections with a solve and a band."""
    residual, fields, sizes, scale = made(DARCY, noise, n)
    fields["a"] = torch.where(fields["a"] > 7.5, 12.0, 3.0).double()
    held = {"a": np.ones(residual.grid.shape, dtype=bool)}
    ways = [Projection(residual, sizes, scale, held, algebra=a) for a in (None, "banded")]
    return residual, fields, scale, *ways


@pytest.mark.parametrize("noise", [0.02, 1.0])
def test_what_a_loss_takes_is_within_two_hundredths(noise):
    _, fields, _, solved, banded = both(32, noise)
    assert isinstance(solved.normal, SolutionNormal)
    wanted = flat(banded.correction(fields))
    for dtype in (torch.float32, torch.float64):
        given = {k: v.to(dtype) for k, v in fields.items()}
        found = flat(solved.correction(given)).double()
        assert float(((found - wanted).norm(dim=1) / wanted.norm(dim=1)).max()) < 0.02
        assert not found[:, : found.shape[1] // 2].any()  # the medium is held
    torch.testing.assert_close(solved.distance(fields), banded.distance(fields), rtol=0.02, atol=0)
    exact = flat(solved.correction(fields, 1e-11))
    torch.testing.assert_close(exact, wanted, rtol=0, atol=1e-9 * float(wanted.abs().max()))


def test_the_projection_is_the_solution():
    residual, fields, scale, solved, banded = both(32)
    near, same = solved(fields), banded(fields)
    assert error(residual, near, scale) < 1e-20
    for k, value in same.items():
        torch.testing.assert_close(near[k], value, rtol=0, atol=1e-8 * float(value.std()))


def test_what_iterations_do_not_solve_goes_to_the_band(monkeypatch):
    """With too few of them: the same moves, of those samples."""
    _, fields, _, solved, banded = both(16)
    monkeypatch.setattr(normal_by_solution, "LIMIT", 2)
    wanted = flat(banded.correction(fields))
    found = flat(solved.correction(fields, 1e-9))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9 * float(wanted.abs().max()))


def test_it_is_not_taken_where_there_is_a_choice():
    residual, _, sizes, scale = made(DARCY)
    free = np.zeros(residual.grid.shape, dtype=bool)
    held = np.ones(residual.grid.shape, dtype=bool)
    some = held.copy()
    some[3, 3] = False
    for mask in (free, some):  # all of the medium moves, or one node of it
        normal = Projection(residual, sizes, scale, {"a": mask}).normal
        assert not isinstance(normal, SolutionNormal)
    slack = {"mass": np.full(len(residual.rows["mass"].nodes), 1e-3)}
    normal = Projection(residual, sizes, scale, {"a": held}, slack).normal
    assert not isinstance(normal, SolutionNormal)


@pytest.mark.parametrize(("name", "constant"), [("poisson", True), ("darcy", False)])
def test_constant_coefficients_share_one_inverse(name, constant):
    """And no matrix is factorised; of a medium that varies each state's own is."""
    residual, fields, sizes, scale = made(get_pde(name), nodes=20)
    own, band = (Projection(residual, sizes, scale, algebra=a) for a in ("own", "banded"))
    wanted, found = flat(band.correction(fields)), flat(own.correction(fields, 1e-9))
    assert float((found - wanted).norm() / wanted.norm()) < 1e-8
    normal = own.normal
    assert isinstance(normal, GradientNormal)
    assert isinstance(normal._own, own_inverse.OwnInverse)
    assert (normal._own._moves is not None) == constant
    assert normal.iterations <= 15
