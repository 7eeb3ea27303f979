"""Sampling the noise: against the closed-form posterior of a linear student, and its gradients."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from piddm import UsageError
from piddm.numerics.algebra.lbfgs import minimise
from piddm.solvers import _linear_part as linear_part
from piddm.solvers._linear_part import LinearPart, conditioned, through_colour
from piddm.solvers.hamiltonian import HamiltonianSolver, trajectories
from piddm.solvers.latent import LatentSolver
from piddm.tasks.ensemble import EnsembleSampler
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask

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


def test_a_linear_student_s_posterior_takes_two_calls(linear):
    j, y, mean, covariance = linear
    count = 4_000
    anchor, target = white(count, 1), y + white(count, 5)[:, :OBSERVED]
    *_, (found, missing) = conditioned(lambda e: e @ j.mT, LinearPart(j), anchor, target, 2)
    torch.testing.assert_close(missing, target - found @ j.mT)
    agree(found, mean, covariance, count)


def test_a_part_of_the_observations_stands_for_all(linear):
    """Each observation many times over, each with as much less weight: the same posterior."""
    j, y, _, _ = linear
    often = torch.arange(90) % OBSERVED
    many, target = j[often] / 30**0.5, (y[often] / 30**0.5).expand(500, -1)
    chosen = torch.arange(0, 90, 10)  # each of the three, three times
    part = LinearPart(many[chosen], chosen, share=10)
    anchor = white(500, 1)
    *_, (found, _) = conditioned(lambda e: e @ many.mT, part, anchor, target, 2)
    same = anchor + LinearPart(j).step(anchor, anchor, y - anchor @ j.mT)
    torch.testing.assert_close(found, same)


def test_many_exact_observations_are_no_obstacle():
    """Forty of six numbers, to 1e-5 each: in float32 their matrix would not be positive."""
    g = torch.Generator().manual_seed(1)
    j = 1e5 * torch.randn(40, DIMENSION, generator=g)
    noise, anchor = torch.randn(2, DIMENSION, generator=g), torch.zeros(2, DIMENSION)
    moved = anchor + LinearPart(j).step(anchor, anchor, noise.double() @ j.double().mT)
    torch.testing.assert_close(moved, noise, rtol=1e-3, atol=1e-3)


def test_no_round_goes_up_where_the_student_bends(linear):
    """Three times as steep as its linear part says: whole steps would go from bad to worse."""
    j, y, _, _ = linear

    def seen(e):
        return 3 * e @ j.mT + torch.sin(2 * e)[:, :OBSERVED]

    anchor, last = white(200, 1), math.inf
    for noise, missing in conditioned(seen, LinearPart(j), anchor, y.expand(200, -1), 25):
        torch.testing.assert_close(missing, y - seen(noise))
        energy = 0.5 * (missing.square().sum(1) + (noise - anchor).square().sum(1))
        assert bool((energy <= last).all())
        last = energy
    gone = 0.5 * (y - seen(anchor)).square().sum(1)
    assert float(last.median()) < 0.2 * float(gone.median())


def test_steps_that_go_too_far_are_mixed_until_they_meet(linear, monkeypatch):
    """Three times as steep, and else linear: mixed steps are GMRES, there after OBSERVED + 2."""
    monkeypatch.setattr(linear_part, "FLOOR", 1e-12)
    j, y, _, _ = linear
    anchor, target = white(50, 1), y + white(50, 5)[:, :OBSERVED]
    rounds = conditioned(lambda e: 3 * e @ j.mT, LinearPart(j), anchor, target, OBSERVED + 3)
    *_, (found, _) = rounds
    where = torch.eye(DIMENSION).to(j) + 3 * j.mT @ j  # its own steps would be zero here
    expected = torch.linalg.solve(where, (anchor + target @ j).mT).mT
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-6)


def test_mixing_a_few_members_at_a_time_is_mixing_all(monkeypatch):
    places, steps = ([white(7, 10 * k + n) for n in range(4)] for k in (1, 2))
    whole = linear_part._mixed(places, steps)
    monkeypatch.setattr(linear_part, "ENTRIES", 16 * linear_part.DEPTH * DIMENSION)  # two
    assert torch.equal(linear_part._mixed(places, steps), whole)


def test_a_member_that_is_lost_goes_on_from_its_best(linear):
    j, y, _, _ = linear
    calls = []

    def seen(e):
        calls.append(e)
        found = 3 * e @ j.mT
        if len(calls) == 3:
            found[0] = torch.nan
        return found

    anchor, target = white(4, 1), y.expand(4, -1)
    *_, (found, missing) = conditioned(seen, LinearPart(j), anchor, target, 12)
    assert bool(found.isfinite().all())
    assert all(bool(e.isfinite().all()) for e in calls)
    assert float(missing[0].norm()) < 0.5 * float((y - 3 * anchor[0] @ j.mT).norm())


def test_what_sensors_see_of_noise_is_a_matrix(tiny_run, monkeypatch):
    packing, grid = tiny_run.packing, tiny_run.residual.grid
    truth = draw_truth(tiny_run.pde, grid, 1)
    places = place(truth, tiny_run.pde, "u", 0.05, between=True, seed=2)
    sensors = Sensors(places, tiny_run.pde.field_names)
    noise = torch.randn(3, packing.channels, *packing.image)
    still = sensors(packing.unpack(torch.zeros_like(noise)))
    expected = sensors(packing.unpack(packing.colour(noise))) - still
    rows = through_colour(packing, sensors)
    torch.testing.assert_close(noise.flatten(1) @ rows.mT, expected, rtol=1e-4, atol=1e-5)
    some = torch.tensor([4, 1])
    torch.testing.assert_close(through_colour(packing, sensors, some), rows[some])
    monkeypatch.setattr(linear_part, "MOST", 5)
    monkeypatch.setattr(linear_part, "TOGETHER", 2)
    seen, count = Likelihood(sensors, packing.field_scale(), 0.3), len(sensors)
    seen.sigma = s = torch.linspace(1, 2, count).double()
    few = LinearPart.of(packing, seen, torch.Generator().manual_seed(0))
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:5]
    j = (rows.double() / s[:, None])[chosen] * (count / 5) ** 0.5
    missing, anchor = torch.randn(3, count).double(), noise.flatten(1).double()
    gain = j.mT @ torch.linalg.inv(j @ j.mT + torch.eye(5, dtype=torch.float64))
    expected = missing[:, chosen] * (count / 5) ** 0.5 @ gain.mT
    torch.testing.assert_close(few.step(anchor, anchor, missing), expected, rtol=1e-4, atol=1e-5)


def test_randomised_maximum_likelihood_is_exact(linear):
    j, y, mean, covariance = linear
    count = 4_000
    anchor = white(count, 4)
    target = y + white(count, 5)[:, :OBSERVED]

    def of(e):
        return 0.5 * (e @ j.mT - target).square().sum(1) + 0.5 * (e - anchor).square().sum(1)

    *_, (found, _) = minimise(of, anchor, 4, LinearPart(j).inverse_hessian)
    agree(found, mean, covariance, count)


def test_the_preconditioner_is_the_inverse_hessian(linear):
    j, _, _, covariance = linear
    v = white(5, 6)
    assert float((LinearPart(j).inverse_hessian(v) - v @ covariance).abs().max()) < 1e-12
    assert torch.equal(LinearPart(j[:0]).inverse_hessian(v), v)


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
    "wrong", [{"rounds": 0}, {"steps": -1}, {"weight": -1.0}, {"tolerance": -0.1}]
)
def test_settings_are_checked(solver, wrong):
    with pytest.raises(UsageError, match="at least"):
        solver(SimpleNamespace(), **wrong)


def test_members_end_on_the_equation_unless_told_otherwise(tiny_run):
    truth = draw_truth(tiny_run.pde, tiny_run.residual.grid, 1)
    asked = ask("reconstruct", tiny_run.pde, place(truth, tiny_run.pde, "u", 0.05, seed=2))
    found = {}
    for correct in (False, None):
        settings = {"rounds": 1, "steps": 0, "correct": correct}
        sampler = EnsembleSampler(tiny_run, asked, "latent", 2, settings=settings)
        list(sampler.work())
        found[correct] = sampler.solution().residual
    assert float(found[False].min()) > 1e-3
    assert float(found[None].max()) < 1e-5  # good in float32, unpacked to float64
