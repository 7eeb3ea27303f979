"""Media of phases: exact draws where the medium was seen, a graduated search where it was not."""

import math

import pytest
import torch

import piddm
from piddm.runs.asking import equation_model
from piddm.solvers import _graduated
from piddm.solvers._signs import _Walls
from piddm.tasks.ensemble import answer
from piddm.tasks.observations import Observations
from piddm.tasks.synthetic import draw_truth
from piddm.tasks.task import ask


def darcy(size, name, share, sigma=0.0):
    """Return the equation, a task of ``share`` of the nodes of one field, and its truth."""
    pde = piddm.get_pde("darcy")
    model = equation_model("darcy", grid=pde.grid.resized(size), progress=False)
    truth = draw_truth(pde, model.residual.grid, 3)
    mask = torch.rand(truth.grid.shape, generator=torch.Generator().manual_seed(1)) < share
    seen = Observations.at_nodes(truth.grid, {name: truth.fields[name][0]}, {name: mask}, sigma)
    return model, ask("reconstruct", pde, seen), truth, mask


def walled(covariance, arcs=20, count=20_000):
    draw = torch.Generator().manual_seed(0)
    walls = _Walls(covariance, torch.linalg.cholesky(covariance))
    at = walls.start(count)
    for _ in range(arcs):
        at = walls.arc(at, draw)
    return at


@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.8])
def test_two_values_between_walls_have_the_mean_of_the_closed_form(rho):
    """Rosenbaum 1961: (1 + rho) / (2 sqrt(2 pi) P), P the share of the quadrant."""
    at = walled(torch.tensor([[1.0, rho], [rho, 1.0]]).double())
    quadrant = 0.25 + math.asin(rho) / (2 * math.pi)
    expected = (1 + rho) / (2 * math.sqrt(2 * math.pi) * quadrant)
    # Means of 20,000 draws with deviations below 0.7.
    assert (at.mean(0) - expected).abs().max() < 4 * 0.7 / 20_000**0.5


def test_any_cone_leaves_the_mean_of_the_square_as_it_is():
    """Along rays a Gaussian law knows no walls of a cone: x^T C^-1 x is a chi squared of n."""
    root = torch.randn(30, 30, generator=torch.Generator().manual_seed(2)).double()
    covariance = root @ root.mT / 30 + 0.1 * torch.eye(30).double()
    at = walled(covariance, count=800)
    square = (at * torch.linalg.solve(covariance, at.mT).mT).sum(1)
    assert (at >= 0).all()
    assert abs(float(square.mean()) - 30) < 4 * (60 / 800) ** 0.5
    assert abs(float(square.var()) / 60 - 1) < 0.2


def test_a_seen_medium_is_drawn_as_those_of_the_law_that_agree():
    """Against draws of the law itself, of which those that disagree are thrown away."""
    model, task, truth, mask = darcy(8, "a", 0.06)
    found = answer(model, task, "level-set", 500, batch=500, progress=False).fields
    law = next(iter(model.pde.inputs.values()))
    every = law.sample(truth.grid, 40_000, torch.Generator().manual_seed(5))
    kept = every[(every == truth.fields["a"][0])[:, mask].all(1)]
    assert 2 < int(mask.sum()) < 8
    assert len(kept) > 500
    assert bool((found["a"] == truth.fields["a"][0])[:, mask].all())
    shares = [(v > 7.5).double().mean(0) for v in (found["a"], kept)]
    # Five deviations of the difference of two shares; each varies by a half at most.
    assert (shares[0] - shares[1]).abs().max() < 5 * (0.25 / 500 + 0.25 / len(kept)) ** 0.5


def test_solutions_of_a_seen_medium_are_those_of_its_members_and_hold_the_truth():
    model, task, truth, _ = darcy(32, "a", 0.1)
    found = answer(model, task, "level-set", 40, progress=False)
    true = truth.fields["u"][0]
    inside = (true >= found.quantile(0.05)["u"]) & (true <= found.quantile(0.95)["u"])
    assert float(found.residual.max()) < 1e-20
    assert float(found.misfit.max()) < 1e-12
    assert found.errors({"u": true})["u"] < 0.1
    assert float(inside[1:-1, 1:-1].double().mean()) > 0.7  # values of one truth move together


def test_readings_with_noise_that_leave_no_doubt_are_signs_as_well():
    model, task, truth, mask = darcy(12, "a", 0.1, sigma=0.2)
    found = answer(model, task, "level-set", 6, progress=False)
    assert bool((found.fields["a"] == truth.fields["a"][0])[:, mask].all())


@pytest.mark.parametrize("lost", [_graduated.LOST, 0.0], ids=["narrow", "by-wider-ramps"])
def test_exact_pressures_tell_the_medium(lost, monkeypatch):
    """A tenth of all nodes: most of the medium follows, and the ensemble tells where it may not."""
    monkeypatch.setattr(_graduated, "LOST", lost)  # with 0 the search starts again
    model, task, truth, _ = darcy(32, "u", 0.1)
    found = answer(model, task, "level-set", 4, progress=False)
    phase = truth.fields["a"][0] > 7.5
    assert set(found.fields["a"].unique().tolist()) == {3.0, 12.0}
    assert float(found.residual.max()) < 1e-20
    share = (found.fields["a"] > 7.5).double().mean(0)
    wrong = (share > 0.5) != phase
    assert float(wrong.double().mean()) < 0.1
    sure = (share - 0.5).abs() == 0.5
    assert float(wrong[sure].double().mean()) < float(wrong[~sure].double().mean())
