"""The Fourier neural operator: its transforms against torch's, its symmetries, its grids."""

import math

import pytest
import torch

from piddm.networks.fno import FNO, SpectralConvolution


def white(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolution(image, periodic, modes, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SpectralConvolution(3, 2, image, periodic, modes).double()


def test_it_is_a_product_of_fourier_coefficients():
    """Against torch's fast transform; 1e-12 is rounding in float64."""
    own, x = convolution((16, 12), (True, True), 4), white(5, 3, 16, 12)
    weight = torch.view_as_complex(own.weight.detach())  # numbers -3 to 3, and 0 to 3
    spectrum = torch.fft.rfft2(x)
    kept = torch.zeros(5, 2, 16, 7, dtype=torch.complex128)
    for number in range(-3, 4):
        for other in range(4):
            one = spectrum[:, :, number, other] @ weight[number + 3, other]
            kept[:, :, number, other] = one
    # Of the column of number 0 the real field's half counts, as irfft takes it.
    wanted = torch.fft.irfft2(kept, s=(16, 12))
    torch.testing.assert_close(own(x), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("periodic", [(True, True), (False, True)])
def test_it_commutes_with_shifts_along_periodic_axes(periodic):
    own, x = convolution((16, 12), periodic, 5), white(2, 3, 16, 12)
    torch.testing.assert_close(own(x.roll(4, -1)), own(x).roll(4, -1), rtol=1e-5, atol=1e-6)
    along_rows = (own(x.roll(3, -2)) - own(x).roll(3, -2)).detach().abs().max()
    assert (float(along_rows) < 1e-5) is periodic[0], "a wall is somewhere"


def test_a_finer_grid_of_the_same_domain_gives_the_same_function():
    """Band-limited fields: the coarse nodes are every other of the fine ones."""
    networks = []
    for n in (16, 32):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = FNO(1, (n, n), (True, True), widths=(8,), depth=2, modes=4).double()
        for parameter in network.parameters():  # the last layers are silent to begin with
            parameter.data = parameter.data + 0.1
        networks.append(network)
    networks[1].load_state_dict(networks[0].state_dict())
    angle = 2 * torch.pi * torch.arange(32, dtype=torch.float64) / 32
    fine = (angle[:, None].cos() + (2 * angle).sin())[None, None]
    t = torch.full((1,), 0.3, dtype=torch.float64)
    coarse, found = networks[0](fine[..., ::2, ::2], t), networks[1](fine, t)[..., ::2, ::2]
    # Values are about 10; what GELU makes beyond the coarse waves folds back, a thousandth of them.
    torch.testing.assert_close(coarse, found, rtol=5e-3, atol=0.02)
    assert float(coarse.detach().std()) > 1e-3


def test_beyond_one_wall_is_not_beyond_the_other():
    """A value at one wall, seen from the other: Dirichlet's kernel of 11 modes, at 31 nodes in a
    period a quarter longer than the axis, or at one node around a periodic axis."""
    x = torch.zeros(1, 3, 32, 8, dtype=torch.float64)
    x[:, :, 0] = 1
    for periodic, angle in ((True, math.pi / 32), (False, math.pi * 31 / (1.25 * 31))):
        own = convolution((32, 8), (periodic, True), 6)
        with torch.no_grad():  # a kernel of all modes alike
            own.weight.zero_()[:, 0, :, :, 0] = 1
            answer = own(x)[0, 0, :, 0]
        wanted = math.sin(11 * angle) / (11 * math.sin(angle))
        assert float(answer[-1] / answer[0]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_a_backbone(dtype):
    """Twice the channels, silent at first, in the type it is given; both outputs can learn."""
    network = FNO(2, (16, 24), (False, True), widths=(8,), depth=2, fold=2).to(dtype)
    x, t = white(3, 2, 16, 24).to(dtype), torch.full((3,), 0.5, dtype=dtype)
    assert network(x, t).shape == (3, 4, 16, 24)
    assert network(x, t).dtype == dtype
    assert float(network(x, t).detach().abs().max()) == 0
    target = white(3, 4, 16, 24, seed=1).to(dtype)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        losses.append((network(x, t) - target).square().mean())
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert float(losses[-1]) < 0.9 * float(losses[0])
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
