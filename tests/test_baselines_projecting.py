r"""Rivals that project while they sample, against their maps on Gaussian data in closed form.

Data N(m, C), an affine equation A x + b = 0, the trigonometric schedule: packed states are S times
white noise, :math:`\alpha^2+\sigma^2 = 1`, and the exact denoiser is :math:`D(x_t) = \alpha x_t`.
The nearest solution is :math:`P(x) = \Pi x + c`, :math:`\Pi = I - A^+A`, :math:`c = -A^+b`, with
:math:`\Pi c = 0`: what is in c of a state is lost at the next projection. So every method here is a
number times :math:`\Pi S` for each noise that it draws, plus c.
"""

from __future__ import annotations

import math

import pytest
import torch

import rivals
from piddm import UsageError
from piddm.interfaces import Method
from piddm.plugins import current
from piddm_baselines.pcfm import Pcfm

CLOSE = 1e-8


def build(context, name: str, **settings) -> Method:
    return current().build("method", name, Method, context, **settings)


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory):
    """Return the Gaussian problem, and its projection as Pi and c."""
    context = rivals.gaussian(tmp_path_factory.mktemp("gaussian"))
    a, b = rivals.matrix(context)
    inverse = torch.linalg.pinv(a)
    return context, torch.eye(a.shape[1]).double() - inverse @ a, -inverse @ b


def drawn(context, noise, count, seed=5):
    """Return the white noises that a method draws one after the other."""
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(noise.shape, generator=g, dtype=noise.dtype) for _ in range(count)]


def sampled(method, noise, seed=5):
    with torch.no_grad():
        return method.sample(noise, torch.Generator().manual_seed(seed))


def combined(problem, parts):
    """Return c + Pi S sum of numbers times noises."""
    context, pi, c = problem
    root = rivals.covariance_root(context)
    white = torch.stack([number * noise for number, noise in parts]).sum(0)
    return (white.flatten(1) @ root.mT @ pi + c).view(-1, *context.shape)


@pytest.mark.parametrize("mixing", [1, 2, 3])
def test_eci_with_its_first_noise(gaussian, mixing):
    r"""Two levels, t = 1 and 1/2, where alpha = sigma = r = sqrt(1/2).

    At t = 1 the estimate is 0, its correction c: the state is r S eps (and c). Each mixing round
    at t = 1/2 takes a factor k to k/2 + r, from r towards 2 r: after M - 1 rounds it is
    2 r (1 - 2^-M), and the last estimate, r times that, has 1 - 2^-M.
    """
    noise = rivals.noise(context := gaussian[0], 3)
    x = sampled(build(context, "eci", steps=2, mixing=mixing, renew=0), noise)
    assert torch.allclose(x, combined(gaussian, [(1 - 0.5**mixing, noise)]), atol=CLOSE)


def test_eci_with_noise_renewed(gaussian):
    r"""Two levels of two rounds, renewed in each: draws 1 to 4.

    At t = 1 the state leaves as r S z_2. At t = 1/2 mixing makes of it z_2/2 + r z_3; the last
    estimate is r times that, and the last draw is lost. Renewed every third round, draw 1 comes
    in the third round, after r S eps: eps/2 + r z_1, and r times that.
    """
    noise = rivals.noise(context := gaussian[0], 3)
    z = drawn(context, noise, 4)
    x = sampled(build(context, "eci", steps=2, mixing=2, renew=1), noise)
    assert torch.allclose(x, combined(gaussian, [(0.25, z[1]), (0.5, z[2])]), atol=CLOSE)
    x = sampled(build(context, "eci", steps=2, mixing=2, renew=3), noise)
    assert torch.allclose(x, combined(gaussian, [(0.25, noise), (0.5, z[0])]), atol=CLOSE)


@pytest.mark.parametrize("penalty", [0.0, 3.0])
@pytest.mark.parametrize("steps", [1, 5])
def test_pcfm_turns_by_the_angle_of_each_step(gaussian, steps, penalty):
    r"""With the flow's own noise, sigma x, a step from angle a to b takes Pi x by cos(a - b).

    alpha' alpha + sigma' sigma it is. N steps of a right angle make cos(pi/2N)^N. The relaxed
    correction moves along the rows of A alone, which the next projection takes away.
    """
    noise = rivals.noise(context := gaussian[0], 3)
    x = sampled(build(context, "pcfm", steps=steps, penalty=penalty, noise="flow"), noise)
    number = math.cos(math.pi / 2 / steps) ** steps
    assert torch.allclose(x, combined(gaussian, [(number, noise)]), atol=CLOSE)


def test_pcfm_with_the_first_noise(gaussian):
    r"""Three steps: levels 1, 2/3, 1/3. Going back to the first noise takes k to
    alpha' alpha k + sigma', with cosines and sines of 90, 60, 30 and 0 degrees."""
    noise = rivals.noise(context := gaussian[0], 3)
    half, rest = 0.5, math.sqrt(0.75)
    k = rest  # at 60 degrees, from an estimate of zero
    k = rest * half * k + half  # at 30
    x = sampled(build(context, "pcfm", steps=3, noise="first"), noise)
    assert torch.allclose(x, combined(gaussian, [(rest * k, noise)]), atol=CLOSE)


def test_pcfm_relaxes_to_the_minimum_of_its_penalty(gaussian):
    r"""|y - x|^2 + lambda |A^+ (A (y + v) + b)|^2 is least where
    (1 + lambda A^+A) y = x - lambda (A^+A v + A^+ b)."""
    context, pi, c = gaussian
    method = build(context, "pcfm", penalty=2.5)
    assert isinstance(method, Pcfm)
    x, v = rivals.noise(context, 2, 3), rivals.noise(context, 2, 4)
    seen = torch.eye(len(c)).double() - pi
    right = x.flatten(1) - 2.5 * (v.flatten(1) @ seen - c)
    y = torch.linalg.solve(torch.eye(len(c)).double() + 2.5 * seen, right.mT).mT
    assert torch.allclose(method.relax(x, v).flatten(1), y, atol=CLOSE)


def test_projected_diffusion_is_langevin_on_the_projected_law(gaussian):
    r"""A step takes Pi x to (1 - h sigma^2) Pi x + sqrt(2h) sigma Pi S eps.

    At sigma = 1 that keeps, after many, v Pi C Pi with v = (1-h)^2 v + 2h, v = 2/(2-h).
    """
    noise = rivals.noise(context := gaussian[0], 3)
    method = build(context, "projected-diffusion", steps=2, inner=2, size=0.3)
    z = drawn(context, noise, 4)
    parts = [(1.0, noise)]
    for i, variance in enumerate((1.0, 1.0, 0.5, 0.5)):
        parts = [((1 - 0.3 * variance) * number, v) for number, v in parts]
        parts.append((math.sqrt(0.6 * variance), z[i]))
    assert torch.allclose(sampled(method, noise), combined(gaussian, parts), atol=CLOSE)

    method = build(context, "projected-diffusion", steps=1, inner=12, size=0.5)
    many = rivals.noise(context, 1000, 7)
    _, pi, c = gaussian
    x = sampled(method, many).flatten(1)
    root = rivals.covariance_root(context)
    law = 2 / 1.5 * pi @ root @ root.mT @ pi
    # Five standard errors of the mean square along the law's leading direction, and of the mean.
    values, vectors = torch.linalg.eigh(law)
    lead = (x - c) @ vectors[:, -1]
    assert abs(float(lead.square().mean() / values[-1]) - 1) < 5 * math.sqrt(2 / 1000)
    assert abs(float(lead.mean())) < 5 * math.sqrt(float(values[-1]) / 1000)


@pytest.mark.parametrize(
    ("name", "settings", "noised"),
    [
        ("eci", {"steps": 4, "mixing": 2, "renew": 0}, True),
        ("pcfm", {"steps": 4, "noise": "first"}, True),
        ("projected-diffusion", {"steps": 4}, False),
    ],
)
def test_states_on_the_way_are_corrected(gaussian, monkeypatch, name, settings, noised):
    """The last projection hides, on Gaussian data, whether there were others: look at the states
    that the teacher is asked about. The data in them satisfy the equation; of projected diffusion
    the states themselves do."""
    context, seen = gaussian[0], []
    denoise = context.teacher.denoise
    monkeypatch.setattr(
        context.teacher, "denoise", lambda x, t: (seen.append((x, t[0])), denoise(x, t))[1]
    )
    noise = rivals.noise(context, 3)
    sampled(build(context, name, **settings), noise)
    first, schedule = context.packing.colour(noise), context.teacher.schedule
    a, b = rivals.matrix(context)
    assert float((first.flatten(1) @ a.mT + b).square().mean()) > 0.1
    later = [(x, t) for x, t in seen[1:] if t < 1 or not noised]
    assert len(later) >= 3
    for x, t in later:
        data = (x - schedule.sigma(t) * first) / schedule.alpha(t) if noised else x
        assert float((data.flatten(1) @ a.mT + b).abs().max()) < CLOSE


@pytest.mark.parametrize(
    ("name", "settings", "far"),
    [
        ("eci", {}, 1e-20),
        ("pcfm", {"penalty": 1.0}, 1e-20),
        ("pcfm", {"steps": 20, "noise": "flow"}, 1e-20),
        ("projected-diffusion", {}, 0.05),
    ],
)
@pytest.mark.parametrize("pde", ["burgers", "darcy"])
def test_from_the_exact_denoiser_samples_end_at_data(tmp_path, pde, name, settings, far):
    """Of 24 fields that satisfy the equation, the last estimate is one, and stands still.

    Langevin steps end beside one, as far as the noise of the last level is long. Projected noise
    alone is at a mean square of 0.29 and 0.93 from the nearest.
    """
    context = rivals.ideal(tmp_path, pde)
    x = sampled(build(context, name, **settings), rivals.noise(context, 8))
    assert float(context.projection.error(context.packing.unpack(x)).max()) < 1e-20
    nearest = torch.cdist(x.flatten(1), context.data.flatten(1)).min(1).values.square()
    assert float(nearest.mean()) / x[0].numel() < far


@pytest.mark.parametrize(
    ("name", "settings", "word"),
    [
        ("eci", {"mixing": 0}, "mixing"),
        ("pcfm", {"noise": "second"}, "first"),
        ("projected-diffusion", {"size": 2.0}, "size"),
    ],
)
def test_settings_are_checked(gaussian, name, settings, word):
    with pytest.raises(UsageError, match=word):
        build(gaussian[0], name, **settings)
