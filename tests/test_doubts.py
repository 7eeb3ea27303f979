"""What is said of members that are farther from the observations, or nearer, than noise is."""

from types import SimpleNamespace

import pytest
import torch

from piddm.grids.grid import Axis, Grid
from piddm.tasks.doubts import doubt_of
from piddm.tasks.interval_calibration import rests_on
from piddm.tasks.observations import Observations
from piddm.tasks.task import Task

GRID = Grid(x=Axis(0, 1, 12), y=Axis(0, 1, 12))
SIGMA = 0.1


def said(share, n=39, residual=0.0, known=False):
    """Return what is said of members whose chi squared is a share of the observations' number."""
    points = torch.rand(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    signs = torch.tensor([(-1.0) ** k for k in range(n)], dtype=torch.float64)
    seen = Observations.at_points(GRID, {"u": points}, {"u": share**0.5 * SIGMA * signs}, SIGMA)
    sizes = None if residual is None else torch.full((2,), residual, dtype=torch.float64)
    fields = {"u": torch.zeros(2, 12, 12, dtype=torch.float64)}
    tolerance = torch.full((n,), SIGMA, dtype=torch.float64)
    return doubt_of(Task("inverse", seen), fields, sizes, tolerance, "solver", known)


@pytest.mark.parametrize("share", [0.75, 1.0, 1.25])
def test_what_noise_often_makes_is_not_doubted(share):
    assert not said(share)


@pytest.mark.parametrize(("share", "percent"), [(1.35, 7), (1.47, 3), (2.05, 0.01), (0.65, 4)])
def test_beyond_three_tenths_a_solver_may_not_be_done_and_no_sensor_is_named(share, percent):
    """Chances of chi squared with 39 degrees of freedom, from tables: 52.7 is exceeded in 7 %."""
    found = said(share)
    assert f"in {percent} % of all cases" in found
    assert "solver is not done (more effort" in found
    for blame in ("farthest", "wrong", "contradict", "--robust"):
        assert blame not in found


def test_of_few_sensors_noise_alone_is_farther_off():
    """1.5 of 4: four degrees of freedom exceed 6 in 20 % of all cases."""
    assert not said(1.5, n=4)
    assert said(1.5, n=40)


def test_what_no_noise_makes_is_doubted_with_what_to_do():
    assert "solver is not done (more effort" in said(2.3)
    assert "(--project or the solver hybrid may be)" in said(2.3, residual=1.0)
    assert "(another solver may be)" in said(2.3, residual=None)
    assert "the noise is smaller than sigma says, or solver follows it" in said(0.1)


def test_an_exact_posterior_is_done():
    assert not said(1.4, known=True)
    assert not said(0.1, known=True)
    assert "law, sigma or a sensor does not fit" in said(2.3, known=True)


def test_intervals_say_what_they_rest_on():
    assert "not calibrated: those of 8 members as they are" in rests_on(None, {}, False, 8)
    assert "exact for the law of the inputs; not calibrated" in rests_on(None, {}, True, 8)
    for beyond, law, words in (
        (0.5, "", "calibrated, for the law of the data"),
        (0.5, "rougher", "calibrated, for the law rougher"),
        (1.5, "rougher", "not sure, and there is no band"),
    ):
        own = SimpleNamespace(beyond=lambda _, v=beyond: v, law=lambda _, v=law: v)
        assert words in rests_on(own, {}, True, 8)
