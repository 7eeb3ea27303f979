"""Sampling the noise: against the closed-form posterior of a linear student, and its gradients."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from piddm import UsageError
from piddm.solvers.hamiltonian import HamiltonianSolver, trajectories
from piddm.solvers.latent import LatentSolver, precondition
from piddm.solvers.lbfgs import minimise
from piddm.solvers.smoother import smooth

DIMENSION, OBSERVED = 6, 3


@pytest.fixture(scope="module")
def linear():
    """Return J, y, and the mean and covariance of the noise given y = J e + N(0, 1)."""
    g = torch.Generator().manual_seed(3)
    j = 4 * torch.randn(OBSERVED, DIMENSION, generator=g, dtype=torch.float64)
    y = j @ torch.randn(DIMENSION, generator=g, dtype=torch.float64)
    covariance = torch.linalg.inv(torch.eye(DIMENSION, dtype=torch.float64) + j.mT @ j)
    return j, y, covariance @ (j.mT @ y), covariance


def energy(j, y):
    return lambda e: 0.5 * (e @ j.mT - y).square().sum(1) + 0.5 * e.square().sum(1)


def white(count, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, DIMENSION, generator=g, dtype=torch.float64)


def agree(samples, mean, covariance, independent):
    """Check moments in the posterior's own units, where errors are 1/sqrt(independent) each.

    Five standard errors, of about thirty numbers: one test in ten thousand would fail by chance.
    """
    root = torch.linalg.cholesky(covariance)
    z = torch.linalg.solve_triangular(root, (samples - mean).mT, upper=False).mT
    assert float(z.mean(0).abs().max()) < 5 / math.sqrt(independent)
    away = z.mT @ z / len(z) - torch.eye(DIMENSION, dtype=torch.float64)
    assert float(away.abs().max()) < 5 * math.sqrt(2 / independent)


def chains(linear, jacobian, steps, leapfrog, count=200, seed=1):
    j, y, mean, _ = linear
    g = torch.Generator().manual_seed(seed)
    return list(
        trajectories(energy(j, y), white(count, 2), mean, jacobian, steps, leapfrog, g)
    )  # fmt: skip


def test_the_smoother_of_many_members_has_the_posterior(linear):
    j, y, mean, covariance = linear
    g = torch.Generator().manual_seed(0)
    *_, (found, seen) = smooth(white(40_000, 1), lambda e: e @ j.mT, y, 4, g)
    assert torch.equal(seen, found @ j.mT)
    agree(found, mean, covariance, 4_000)  # members share the ensemble's covariances


def test_the_smoother_does_so_with_more_observations_than_members(linear):
    j, y, mean, _ = linear
    many = 50
    g = torch.Generator().manual_seed(0)
    # Each observation many times over, each with as much less weight: the same posterior.
    twice, target = j.repeat(many, 1) / many**0.5, y.repeat(many) / many**0.5
    *_, (found, _) = smooth(white(120, 1), lambda e: e @ twice.mT, target, 4, g)
    *_, (same, _) = smooth(white(120, 1), lambda e: e @ j.mT, y, 4, g)
    assert float((found.mean(0) - mean).abs().max()) < 0.3
    assert float((found.mean(0) - same.mean(0)).abs().max()) < 0.3


def test_randomised_maximum_likelihood_is_exact(linear):
    j, y, mean, covariance = linear
    count = 4_000
    anchor = white(count, 4)
    target = y + white(count, 5)[:, :OBSERVED]

    def of(e):
        return 0.5 * (e @ j.mT - target).square().sum(1) + 0.5 * (e - anchor).square().sum(1)

    *_, (found, _) = minimise(of, anchor, 4, precondition(j))
    agree(found, mean, covariance, count)


def test_the_preconditioner_is_the_inverse_hessian(linear):
    j, _, _, covariance = linear
    v = white(5, 6)
    assert float((precondition(j)(v) - v @ covariance).abs().max()) < 1e-12
    assert torch.equal(precondition(j[:0])(v), v)


def test_preconditioned_chains_have_the_posterior(linear):
    states = chains(linear, linear[0], 40, 4)
    kept = states[20:]
    assert min(float(s.accepted.min()) for s in kept) > 1 - 1e-9  # nothing is left to kick
    assert kept[0].step == pytest.approx(math.pi / 8)
    agree(torch.cat([s.position for s in kept]), linear[2], linear[3], 20 * 200)


def test_chains_of_the_prior_alone_have_it_too(linear):
    states = chains(linear, linear[0][:0], 300, 12)
    kept = states[150:]
    accepted = sum(float(s.accepted.mean()) for s in kept) / len(kept)
    assert 0.55 < accepted < 0.95
    assert len({s.step for s in kept[1:]}) == 1  # frozen
    agree(torch.cat([s.position for s in kept]), linear[2], linear[3], 200 * 10)


def test_a_density_that_is_not_gaussian_is_kept(linear):
    """The rest of the energy is kicked and accepted for: moments of x^4/4 + x^2/2 by quadrature."""
    g = torch.Generator().manual_seed(7)
    jacobian = torch.zeros(0, 1, dtype=torch.float64)
    states = list(
        trajectories(
            lambda e: (e.square() / 2 + e.pow(4) / 4).sum(1), torch.zeros(400, 1).double(),
            torch.tensor([0.3]).double(), jacobian, 100, 2, g,
        )
    )  # fmt: skip
    x = torch.cat([s.position for s in states[50:]])
    nodes = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    law = (-nodes.square() / 2 - nodes.pow(4) / 4).exp()
    second = float((law * nodes.square()).sum() / law.sum())
    assert float(x.mean()) == pytest.approx(0, abs=0.03)
    assert float(x.square().mean()) == pytest.approx(second, rel=0.05)


def test_chance_comes_from_the_generator_alone(linear):
    once, again = chains(linear, linear[0], 6, 3), chains(linear, linear[0], 6, 3)
    assert torch.equal(once[-1].position, again[-1].position)
    other = chains(linear, linear[0], 6, 3, seed=2)
    assert not torch.equal(once[-1].position, other[-1].position)


def test_an_energy_that_is_not_finite_is_never_accepted():
    def broken(e):
        return torch.where(e[:, 0] > 0.2, torch.nan, 0.5 * e.square().sum(1))

    g = torch.Generator().manual_seed(0)
    start, none = torch.zeros(50, 2).double(), torch.zeros(0, 2).double()
    for state in trajectories(broken, start, start[0], none, 20, 3, g):
        assert float(state.position[:, 0].max()) <= 0.2
        assert bool(state.energy.isfinite().all())


@pytest.mark.parametrize("solver", [LatentSolver, HamiltonianSolver])
@pytest.mark.parametrize(
    "wrong", [{"candidates": 0}, {"steps": -1}, {"weight": -1.0}, {"tolerance": -0.1}]
)
def test_settings_are_checked(solver, wrong):
    with pytest.raises(UsageError, match="at least"):
        solver(SimpleNamespace(), **wrong)
