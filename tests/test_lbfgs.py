"""L-BFGS on batches: against known minima, sample by sample, and where numbers are not finite."""

import pytest
import torch

from piddm.numerics.algebra.lbfgs import minimise


def last(function, x, steps, **more):
    *_, (found, value) = minimise(function, x, steps, **more)
    return found, value


def quadratic(condition, size=20, batch=3, seed=0):
    """Return f(x) = (x - c)^T A (x - c) / 2 for A of a given condition, and c."""
    g = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(batch, size, size, generator=g, dtype=torch.float64))[0]
    a = turn @ (torch.logspace(0, condition, size, dtype=torch.float64)[:, None] * turn.mT)
    c = torch.randn(batch, size, generator=g, dtype=torch.float64)
    return lambda x: 0.5 * torch.einsum("bi,bij,bj->b", x - c, a, x - c), c, a


def rosenbrock(x):
    return (100 * (x[:, 1:] - x[:, :-1].square()).square() + (1 - x[:, :-1]).square()).sum(1)


def test_an_ill_conditioned_quadratic_is_solved():
    f, c, _ = quadratic(3)
    found, value = last(f, torch.zeros_like(c), 400)
    assert float(value.max()) < 1e-12
    assert float((found - c).abs().max()) < 1e-6


def test_the_valley_of_rosenbrock_is_followed_to_its_end():
    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    found, value = last(rosenbrock, start, 120)
    assert float(value.max()) < 1e-15
    assert float((found - 1).abs().max()) < 1e-6


def test_values_never_rise():
    start = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = torch.stack([v for _, v in minimise(rosenbrock, start, 60)])
    assert bool((values[1:] <= values[:-1]).all())
    assert len(values) == 60


def test_a_sample_does_not_depend_on_its_neighbours():
    start = torch.randn(5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    together, _ = last(rosenbrock, start, 40)
    for k in range(5):
        alone, _ = last(rosenbrock, start[k : k + 1], 40)
        assert float((alone - together[k]).abs().max()) < 1e-9


def test_the_exact_inverse_hessian_takes_one_step():
    f, c, a = quadratic(8)
    _, value = last(
        f, torch.zeros_like(c), 2, precondition=lambda v: torch.linalg.solve(a, v)
    )  # fmt: skip
    assert float((value / f(torch.zeros_like(c))).max()) < 1e-12


def test_a_preconditioner_saves_evaluations():
    f, c, a = quadratic(6)
    near = a + torch.eye(20, dtype=torch.float64)  # with it, a condition of 2 is left
    plain = last(f, torch.zeros_like(c), 40)[1]
    helped = last(
        f, torch.zeros_like(c), 40, precondition=lambda v: torch.linalg.solve(near, v)
    )[1]  # fmt: skip
    assert bool((helped < 1e-3 * plain).all())


def test_numbers_that_are_not_finite_are_stepped_back_from():
    def f(x):  # a minimum at 1; beyond 0 there is nothing
        return (x - x.log() + torch.where(x > 0, 0.0, torch.nan)).sum(1)

    start = torch.tensor([[1e-3], [5.0], [-1.0]], dtype=torch.float64)
    found, value = last(f, start, 60)
    assert found[:2, 0].tolist() == pytest.approx([1, 1], abs=1e-6)
    assert float(found[2, 0]) == -1
    assert not bool(value[2].isfinite())


def test_it_ends_where_nothing_can_be_improved():
    f, c, _ = quadratic(1)
    assert len(list(minimise(f, c.clone(), 50))) == 1
    assert len(list(minimise(f, torch.zeros_like(c), 5000))) < 500
