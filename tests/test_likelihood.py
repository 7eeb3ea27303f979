"""One likelihood for all solvers: its tolerance, its misfit, other observations like these."""

from __future__ import annotations

import math

import pytest
import torch

from piddm.grids.grid import Axis, Grid
from piddm.tasks.likelihood import EXACT, FINEST, Likelihood
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors

GRID = Grid(x=Axis(0, 1, 5), y=Axis(0, 1, 5))
DEVIATION = {"a": 2.0, "u": 0.5}
NAMES = ("a", "u")
SIGMA = (0.0, 0.3, 1e-9)


def observed(sigma=SIGMA):
    """Two values of u at nodes and one between, with noise each of its own."""
    points = torch.tensor([[0.0, 0.25], [0.5, 0.5], [0.125, 0.25]], dtype=torch.float64)
    values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    return Observations(
        GRID, {"u": points}, {"u": values}, {"u": torch.tensor(sigma, dtype=torch.float64)}, {}
    )


def fields(seed=0, count=2):
    g = torch.Generator().manual_seed(seed)
    return {k: torch.randn(count, 5, 5, generator=g, dtype=torch.float64) for k in NAMES}


def test_the_tolerance_is_the_noise_and_a_share_of_the_deviation_where_that_is_nothing():
    found = Likelihood(Sensors(observed(), NAMES), DEVIATION)
    assert found.unit.tolist() == [0.5, 0.5, 0.5]
    assert found.sigma.tolist() == pytest.approx([EXACT * 0.5, 0.3, FINEST * 0.5])


@pytest.mark.parametrize("tau", [0.05, 0.4])
def test_a_model_s_error_stands_beside_the_noise(tau):
    found = Likelihood(Sensors(observed(), NAMES), DEVIATION, tau)
    exact = [math.hypot(s, tau * 0.5) for s in SIGMA]
    assert found.sigma.tolist() == pytest.approx(exact, rel=1e-12)


def test_the_misfit_is_what_is_seen_less_what_was():
    x, found = fields(), Likelihood(Sensors(observed(), NAMES), DEVIATION, 0.1)
    u = x["u"]
    seen = torch.stack([u[:, 0, 1], u[:, 2, 2], (u[:, 0, 1] + u[:, 1, 1]) / 2], dim=1)
    exact = (seen - torch.tensor([1.0, 2.0, 3.0]).double()) / found.sigma
    torch.testing.assert_close(found.misfit(x), exact, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.seen(x) - found.target, exact, rtol=1e-11, atol=1e-11)


def test_perturbed_observations_have_the_noise_s_law():
    """Means and deviations of 20 000 are off by five standard errors once in a million times."""
    found = Likelihood(Sensors(observed(), NAMES), DEVIATION, 0.1)
    count = 20_000
    away = found.perturbed(count, torch.Generator().manual_seed(0)) - found.target
    assert float(away.mean(0).abs().max()) < 5 / math.sqrt(count)
    assert float((away.std(0) - 1).abs().max()) < 5 / math.sqrt(2 * count)


def test_exact_nodes_are_those_of_one_weight_and_no_noise():
    index, values = Sensors(observed(), NAMES).exact
    assert index.tolist() == [25 + 1], "the node (0, 1) of the second field"
    assert values.tolist() == [1.0]
