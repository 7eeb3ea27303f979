"""Random inputs against the closed forms and the published data's standard deviations."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import idctn
from scipy.ndimage import label

from piddm import Axis, Grid, UsageError, get_pde
from piddm.priors import GaussianField
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY

SQUARE = Grid(x=Axis(0, 1, 128), y=Axis(0, 1, 128))
TORUS = Grid(x=Axis(0, 1, 128, periodic=True), y=Axis(0, 1, 128, periodic=True))
LINE = Grid(x=Axis(0, 1, 128, periodic=True))


@pytest.mark.parametrize(
    ("prior", "grid", "published"),
    [
        (GaussianField(2.0, 3.0), SQUARE, 0.2919),  # Poisson's source
        (GaussianField(2.5, 7.0), LINE, 0.2737),  # Burgers' initial velocity
        (GaussianField(2.5, 7.0, scale=math.sqrt(2)), TORUS, 0.2621),  # Navier-Stokes' vorticity
    ],
    ids=["poisson", "burgers", "navier-stokes"],
)
def test_published_standard_deviations(prior, grid, published):
    """Within 2 %: 4,000 draws of about ten effective modes leave 0.5 %."""
    draw = torch.Generator().manual_seed(0)
    count = 4000 if len(grid.shape) == 1 else 1000
    values = prior.sample(grid, count, draw)
    assert float(values.std()) == pytest.approx(published, rel=0.02)


def test_burgers_input_is_the_published_series():
    """u(0) = sum sqrt(2) 49 ((2 pi n)^2 + 49)^-1.25 (xi cos + eta sin): variance mode by mode."""
    values = BURGERS.inputs[next(iter(BURGERS.inputs))].sample(
        LINE, 20000, torch.Generator().manual_seed(1)
    )
    power = np.abs(np.fft.rfft(values.numpy(), axis=1) / 128) ** 2
    n = np.arange(1, 12)
    amplitude = math.sqrt(2) * 49 * ((2 * np.pi * n) ** 2 + 49) ** -1.25
    np.testing.assert_allclose(power.mean(0)[1:12], amplitude**2 / 2, rtol=0.05)
    assert power.mean(0)[0] < 1e-25


def test_neumann_field_is_an_orthonormal_inverse_cosine_transform():
    grid = Grid(x=Axis(0, 1, 16), y=Axis(0, 1, 16))
    got = GaussianField(2.0, 3.0).sample(grid, 1, torch.Generator().manual_seed(2))[0]
    noise = torch.randn(
        (1, 16, 16), generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )[0]
    k = np.arange(16)
    amplitude = 16 * 3.0 * (np.pi**2 * (k[:, None] ** 2 + k**2) + 9) ** -1.0
    amplitude[0, 0] = 0
    expected = idctn(amplitude * noise.numpy(), norm="ortho")
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def test_two_phases():
    draw = torch.Generator().manual_seed(3)
    field = DARCY.inputs[next(iter(DARCY.inputs))].sample(SQUARE, 50, draw)
    assert set(field.unique().tolist()) == {3.0, 12.0}
    assert float((field == 12).double().mean()) == pytest.approx(0.5, abs=0.1)


def test_finer_grids_have_the_same_law():
    small, large = (
        float(GaussianField(2.5, 7.0).sample(LINE.resized(n), 4000, torch.Generator()).std())
        for n in (32, 256)
    )
    assert small == pytest.approx(large, rel=0.03)


def test_channels_cross_from_left_to_right():
    """What no covariance sees: inside is one piece from one side to the other, each time."""
    pde = get_pde("darcy-channels")
    ((_, law),) = pde.inputs.items()
    grid = pde.grid.resized(64)
    media = law.sample(grid, 40, torch.Generator().manual_seed(0))
    assert set(media.unique().tolist()) == {1.0, 12.0}
    assert media.equal(law.sample(grid, 40, torch.Generator().manual_seed(0)))
    for medium in media:
        pieces, _ = label(medium.numpy() > 6, np.ones((3, 3)))
        assert (set(pieces[0]) & set(pieces[-1])) - {0}
    # Two or three of a width of 0.08 to 0.14, along slopes: a quarter of the area.
    assert 0.18 < float((media > 6).double().mean()) < 0.33
    with pytest.raises(UsageError, match="no derivative by white noise"):
        law.white(grid)
