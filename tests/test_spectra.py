"""Power spectra: closed forms on planes and spheres, and what the distance of two says."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from piddm import Axis, Grid, UsageError
from piddm.grids.harmonics import harmonics_of
from piddm.metrics.spectra import spectrum, spectrum_distance

PERIODIC = Grid(x=Axis(0, 1, 16, periodic=True), y=Axis(0, 1, 16, periodic=True))
MIXED = Grid(t=Axis(0, 1, 12, time=True), x=Axis(0, 1, 16, periodic=True))
BOUNDED = Grid(t=Axis(0, 1, 3, time=True), x=Axis(0, 1, 10), y=Axis(0, 1, 14))
SPHERE = Grid.sphere(8, t=Axis(0, 1, 2, time=True))
GRIDS = {"periodic": PERIODIC, "mixed": MIXED, "bounded": BOUNDED, "sphere": SPHERE}
every = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


def white(grid, count=400, channels=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, *grid.shape[-2:], generator=g, dtype=torch.float64)


@every
def test_a_law_is_at_no_distance_from_itself_and_a_scaled_one_at_two_powers(grid):
    x = white(grid, 8)
    assert spectrum_distance(x, x, grid) == 0
    for c in (0.01, 3.0, -7.0):
        assert spectrum_distance(c * x, x, grid) == pytest.approx(2 * abs(math.log10(abs(c))))
        assert spectrum_distance(x, c * x, grid) == pytest.approx(2 * abs(math.log10(abs(c))))


@pytest.mark.parametrize("grid", [PERIODIC, MIXED, BOUNDED], ids=["periodic", "mixed", "bounded"])
def test_white_noise_has_a_flat_spectrum_of_one(grid):
    power, modes = spectrum(white(grid), grid)
    assert power.shape == (2, len(modes))
    # Power of a mode has a variance of 2 at the most, over 400 samples and a shell's modes.
    held = modes > 0
    away = (power[:, held] - 1).abs() / (2 / (400 * modes[held])).sqrt()
    assert float(away.max()) < 4.5
    assert spectrum_distance(white(grid), white(grid, seed=1), grid) < 0.05


def test_all_power_is_kept():
    for grid in (PERIODIC, MIXED, BOUNDED):
        x = white(grid, 5)
        power, modes = spectrum(x, grid)
        assert int(modes.sum()) == x[0, 0].numel()
        torch.testing.assert_close((power * modes).sum(1), x.square().sum((2, 3)).mean(0))


def test_a_mode_lies_in_the_shell_of_its_half_waves():
    x = torch.arange(16).double() / 16
    wave = torch.cos(2 * math.pi * 3 * x).expand(16, 16)[None, None]
    power, modes = spectrum(wave, PERIODIC)
    assert int(power[0].argmax()) == 6
    assert float(power[0, 6] * modes[6]) == pytest.approx(float(wave.square().sum()))
    # The cosine of half-waves on the cells of a bounded axis, 3 by 4 of them, is in shell 5.
    lines = [torch.cos(math.pi * k * (torch.arange(n) + 0.5) / n) for k, n in ((3, 10), (4, 14))]
    power, modes = spectrum((lines[0][:, None] * lines[1])[None, None], BOUNDED)
    assert float(power[0, 5] * modes[5]) == pytest.approx(10 * 14 / 4)
    assert float((power * modes).sum()) == pytest.approx(10 * 14 / 4)


def test_the_cosine_transform_is_that_of_scipy():
    x = white(BOUNDED, 1, 1)
    power, modes = spectrum(x, BOUNDED)
    theirs = dctn(x[0, 0].numpy(), norm="ortho") ** 2
    shell = np.rint(np.hypot(*np.mgrid[:10, :14])).astype(int)
    total = np.bincount(shell.ravel(), theirs.ravel())
    np.testing.assert_allclose((power * modes)[0].numpy(), total, rtol=1e-10)


def test_on_a_sphere_shells_are_degrees():
    basis, degree = harmonics_of(SPHERE).basis()
    g = torch.Generator().manual_seed(0)
    amplitude = torch.randn(3000, len(basis), generator=g).double() / (1 + degree)
    x = torch.tensordot(amplitude, basis, dims=1)[:, None]
    power, modes = spectrum(x, SPHERE)
    assert modes.tolist() == [2 * n + 1 for n in range(8)]
    exact = torch.zeros(8).double().index_add_(0, degree, amplitude.square().mean(0)) / modes
    torch.testing.assert_close(power[0], exact, rtol=1e-10, atol=0)
    torch.testing.assert_close(power[0] * (1 + torch.arange(8)) ** 2, torch.ones(8).double(),
                               rtol=0.15, atol=0)  # fmt: skip


def test_a_power_law_is_as_far_from_white_noise_as_its_exponents_say():
    x = white(PERIODIC, 400, 1)
    modes = torch.fft.fftfreq(16).double() * 32
    size = torch.hypot(*torch.meshgrid(modes, modes, indexing="ij"))
    half = torch.where(size > 10, 0.1, 1.0)  # the upper shells lose a factor of 100 in power
    cut = torch.fft.ifft2(torch.fft.fft2(x) * half).real
    shells = {int(n) for n in size.round().flatten().tolist()}
    # A shell is nearest to its number: that of 10 has modes of 10.2 too.
    split = [float(half[size.round() == n].square().mean()) for n in sorted(shells)]
    expected = float(np.mean([abs(math.log10(v)) for v in split]))
    assert spectrum_distance(cut, x, PERIODIC) == pytest.approx(expected, abs=0.03)


def test_shells_that_data_do_not_fill_say_nothing_and_a_missing_one_is_finite():
    x = torch.arange(16).double() / 16
    wave = torch.cos(2 * math.pi * x).expand(16, 16)[None, None]
    fine = torch.cos(2 * math.pi * 5 * x).expand(16, 16)[None, None]
    assert spectrum_distance(wave + fine, wave, PERIODIC) == pytest.approx(0, abs=1e-12)
    distance = spectrum_distance(wave, wave + 1e-3 * fine, PERIODIC)
    assert 5 < distance < 15  # half of the shells that count, 26 powers of ten at the least
    assert spectrum_distance(wave + 1e-5 * fine, wave + 1e-5 * fine, PERIODIC) == 0
    with pytest.raises(UsageError, match="vanish"):
        spectrum_distance(wave, 0 * wave, PERIODIC)
