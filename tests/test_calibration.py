"""What an ensemble says of its own error: intervals, quantiles, CRPS and ranks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from piddm.figures.reliability import density
from piddm.metrics.calibration import coverage, crps, quantile, ranks

if TYPE_CHECKING:  # settings are read though this name is not there
    pass


@pytest.mark.parametrize("count", [5, 19, 32, 99])
def test_intervals_of_a_calibrated_ensemble_cover_what_they_say(count):
    """Truth and members from one law: i of K sorted members lie below it with (K + 1) chances."""
    draw = torch.Generator().manual_seed(count)
    members = torch.randn(count, 40_000, generator=draw, dtype=torch.float64)
    truth = torch.randn(40_000, generator=draw, dtype=torch.float64)
    for level in (0.5, 0.9):
        share = float(coverage(members, truth, level).double().mean())
        expected = min(level, (count - 1) / (count + 1))
        # Four deviations, and what linear interpolation between members may add.
        assert abs(share - expected) < 4 * math.sqrt(0.25 / 40_000) + 0.25 / (count + 1)
    # Between members that are narrower by a half a truth falls out more often, by Gauss's law.
    narrow = float(coverage(members / 2, truth, 0.9).double().mean())
    wide = 1 - 2 * (1 - 0.5 * (1 + math.erf(1.645 / 2 / math.sqrt(2))))
    assert narrow < 0.9 * expected
    if count == 99:
        assert narrow == pytest.approx(wide, abs=0.02)


def test_quantiles_are_those_of_the_sorted_members():
    members = torch.tensor([3.0, 1.0, 2.0, 4.0])[:, None]
    for share, expected in ((0.2, 1.0), (0.5, 2.5), (0.7, 3.5), (0.01, 1.0), (0.99, 4.0)):
        assert float(quantile(members, share)) == pytest.approx(expected)
    assert float(quantile(members[:1], 0.9)) == 3.0


def test_crps_of_known_ensembles():
    two, truth = torch.tensor([[0.0], [2.0]]), torch.tensor([1.0])
    assert float(crps(two, truth)) == pytest.approx(1.0 - 0.5 * 2.0)
    assert float(crps(two, torch.tensor([5.0]))) == pytest.approx(4.0 - 1.0)
    assert float(crps(two[:1], truth)) == 1.0
    # Of a standard normal law and a truth of 0: 2 phi(0) - 1/sqrt(pi) (Gneiting and Raftery 2007).
    draw = torch.Generator().manual_seed(0)
    members = torch.randn(20, 20_000, generator=draw, dtype=torch.float64)
    score = float(crps(members, torch.zeros(20_000, dtype=torch.float64)).mean())
    expected = 2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)
    assert score == pytest.approx(expected, abs=4e-3)


def test_ranks_of_a_truth_of_the_same_law_are_even():
    draw = torch.Generator().manual_seed(0)
    both = torch.randn(10, 50_000, generator=draw)
    counts = ranks(both[1:], both[0]).double()
    even = 50_000 / 10
    assert float((counts - even).square().sum() / even) < 40  # chi squared of 9, at 1e-5
    biased = ranks(both[1:] + 0.2, both[0]).double()
    assert float((biased - even).square().sum() / even) > 400


def test_ranks_leave_out_what_all_members_know():
    members = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    assert ranks(members, torch.tensor([0.0, 2.5])).tolist() == [0, 0, 1, 0]
    assert ranks(members[:, 1], torch.tensor(0.5)).tolist() == [1, 0, 0, 0]  # a param


@pytest.mark.parametrize("count", [1, 4, 10, 16, 32, 100])
def test_even_ranks_are_drawn_flat(count):
    """However many ranks a bar holds; and one that is filled alone is as high as all together."""
    heights, edges = density([7] * (count + 1))
    assert heights == pytest.approx(1.0)
    assert (edges[0], edges[-1]) == (0.0, 1.0)
    alone, _ = density([5, *[0] * count])
    assert float(alone @ (edges[1:] - edges[:-1])) == pytest.approx(alone[0] * edges[1])
    assert alone[0] > 1.5
