"""The moments of a first stage: what is drawn gets the mean and the spectrum of the data."""

import torch

from piddm.students.moments import DRAWS, Moments
from test_compact import packing_of, smooth


def test_a_bias_and_a_wrong_spectrum_are_taken_away():
    """Draws are data times a factor for each mode, plus a bias; DRAWS tell a deviation to 1 %."""
    packing = packing_of((24, 20), 0)
    data = packing.pack({"a": smooth(2000, (24, 20)), "u": smooth(2000, (24, 20), seed=5)})
    pool = packing.pack(
        {"a": smooth(DRAWS, (24, 20), seed=8), "u": smooth(DRAWS, (24, 20), seed=9)}
    )
    modes = packing.basis_0.mT @ pool @ packing.basis_1
    factor = 0.8 + 0.5 * torch.rand(modes.shape[1:], generator=torch.Generator().manual_seed(0))
    wrong = packing.basis_0 @ (modes * factor) @ packing.basis_1.mT + 0.3
    parts = iter(wrong.split(64))
    moments = Moments(packing)
    before = wrong[:64]
    torch.testing.assert_close(moments(before, packing), before, rtol=1e-4, atol=1e-4)
    moments.fit(lambda _: next(parts), data, packing, 0)
    mended = moments(wrong, packing)
    torch.testing.assert_close(mended.mean(0), data.mean(0), rtol=0, atol=1e-4)
    found, wanted = (
        (packing.basis_0.mT @ (x - x.mean(0)) @ packing.basis_1).std(0) for x in (mended, data)
    )
    large = wanted > 0.01 * wanted.amax((-2, -1), keepdim=True)
    assert float((found / wanted - 1)[large].abs().max()) < 1e-3
    was = (packing.basis_0.mT @ (wrong - wrong.mean(0)) @ packing.basis_1).std(0)
    assert float((was / wanted - 1)[large].abs().max()) > 0.1
    # Of draws themselves no more is moved than the factors say.
    torch.testing.assert_close(mended, pool, rtol=0, atol=0.3)


def test_a_network_that_is_far_off_is_not_blown_up():
    packing = packing_of((24, 20), 0)
    data = packing.pack({"a": smooth(500, (24, 20)), "u": smooth(500, (24, 20), seed=5)})
    moments = Moments(packing)
    moments.fit(lambda noise: 1e-6 * noise, data, packing, 0)
    assert float(moments.log_gain.exp().max()) <= 2.0
