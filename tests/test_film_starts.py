"""Where a film's next time starts, and when its result needs no look."""

import pytest
import torch

from piddm.numerics.film_starts import LOOKS, Pace, Starts

TIMES = torch.linspace(0, 1, 12, dtype=torch.float64)
X = torch.linspace(0, 6, 40, dtype=torch.float64)


def film(speed, bend=0.0):
    return torch.sin(X[None] - speed * TIMES[:, None]) + bend * (TIMES**2)[:, None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_good_sample_is_followed_and_a_bad_one_is_left_out(dtype):
    """The first film is the solution but for a constant, the second is noise, the third still."""
    true = torch.stack([film(1.0), film(2.0, 0.3), film(0.0)]).to(dtype)
    given = true.clone()
    given[0] += 0.7
    draw = torch.Generator().manual_seed(0)
    given[1] = torch.randn(given[1].shape, generator=draw).to(dtype)
    starts = Starts(given, true)
    for now in range(3, 12):
        off = (starts.at(now) - true[:, now]).abs().amax(1)
        step = (true[:, now] - true[:, now - 1]).abs().amax(1)
        # The ridge's share and that of four times, since when the shares were fitted.
        assert off[0] < 1e-3 * step[0]
        assert off[1] < 0.3 * step[1]  # by its own smoothness; noise fits a little by chance
        assert off[2] == 0


def test_the_first_times_follow_the_sample():
    true = torch.stack([film(1.0)])
    starts = Starts(true + 0.5, true)
    for now in (1, 2):
        torch.testing.assert_close(starts.at(now), true[:, now])


def test_a_look_is_spared_only_where_the_rate_is_known_and_suffices():
    error, open_ = torch.tensor([1e-3, 1e-4]), torch.tensor([True, True])
    pace = Pace(2, error)
    assert not pace.sure(error, open_, 1e-6)
    pace.seen([torch.tensor([1.0, 1.0]), torch.tensor([1e-4, 1e-2])])
    assert not pace.sure(error, open_, 1e-6)  # of the second: 4 * 1e-2 * 1e-4 is more
    assert pace.sure(error, torch.tensor([True, False]), 1e-6)
    for _ in range(LOOKS - 1):
        assert pace.sure(error * 1e-3, open_, 1e-6)
    assert not pace.sure(error * 1e-3, open_, 1e-6)  # it is time to look
