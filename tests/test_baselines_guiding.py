"""Rivals that follow a residual's gradient, where what they must return is known.

On the Gaussian problem with the trigonometric schedule, alpha^2 + sigma^2 = 1, the exact velocity
is (alpha' alpha + sigma' sigma) x = 0: the flow keeps x = S z as it is, and E[x0|xt] = alpha x.
Rows over the root of their equation's number of rows are A x + b, of which :func:`affine` finds
the two; a strong norm's square is then |A x + b|^2.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch

from piddm import UsageError
from piddm.interfaces import Method
from piddm.plugins import current
from piddm.teachers.sampling import last
from piddm_baselines._guiding import Rows, heun
from piddm_baselines.cocogen import CoCoGen
from piddm_baselines.d_flow import DFlow
from piddm_baselines.diffusion_pde import DiffusionPDE
from rivals import covariance_root, gaussian, ideal, matrix, noise

NAMES: dict[str, Callable[..., Method]] = {
    "diffusion-pde": DiffusionPDE, "d-flow": DFlow, "cocogen": CoCoGen,
}  # fmt: skip
LIGHT = {"diffusion-pde": {}, "d-flow": {"iterations": 3}, "cocogen": {"during": 1}}


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    return gaussian(tmp_path_factory.mktemp("linear"), size=5)


@pytest.fixture(scope="module")
def burgers(tmp_path_factory):
    return ideal(tmp_path_factory.mktemp("burgers"), "burgers")


def affine(context):
    a, b = matrix(context)
    counts = [len(rows.nodes) for rows in context.residual.rows.values()]
    share = torch.cat([torch.full((n,), n**-0.5).double() for n in counts])
    return share[:, None] * a, share * b


def draw(method, z):
    with torch.no_grad():
        return method.sample(z, torch.Generator().manual_seed(0)).flatten(1)


def away(context, x):
    """Return a nearest data point's distance over a typical distance, the worst of the samples."""
    data = context.data.flatten(1)
    return float(torch.cdist(x, data).min(1).values.max() / torch.cdist(data, data).mean())


@pytest.mark.parametrize("name", ["poisson", "burgers", "kolmogorov", "sphere-poisson"])
def test_rows_make_up_the_strong_norm_and_change_along_a_direction_as_differences_say(
    tmp_path, name
):
    context = ideal(tmp_path, name, 8, count=4)
    rows, x = Rows(context), 1.3 * context.data[:3]
    total = rows(x).square().sum(1).mean()
    assert float(total) == pytest.approx(float(context.strong(x)), rel=1e-9)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).double()
    h = 1e-5
    expected = (rows(x + h * v) - rows(x - h * v)) / (2 * h)
    assert float((rows.along(x, v) - expected).norm() / expected.norm()) < 1e-7


def test_a_step_is_that_of_the_teachers_own_sampler(burgers):
    z, teacher = noise(burgers, 3), burgers.teacher
    x, times = teacher.packing.colour(z), teacher.schedule.times(4).double()
    states, estimate = [], x
    for now, then in itertools.pairwise(times):
        x, estimate = heun(teacher, x, now, then)
        states.append(x)
    assert torch.allclose(torch.stack(states), torch.stack(list(teacher.sample(z, 4))), atol=1e-12)
    # The last step has one evaluation, of the state before.
    first = teacher.denoise(states[-2], times[-2].expand(3))
    assert torch.allclose(estimate, first, atol=1e-9)


@pytest.mark.parametrize("rule", ["relative", "fixed"])
def test_diffusion_pde_is_a_descent_that_algebra_repeats(linear, rule):
    """With n = |A alpha x + b| the slope by x is alpha A^T (A alpha x + b)/n, alpha that of the
    second evaluation, or in the last step, which has but one, of the first; by the estimate it is
    that over alpha."""
    z, steps, weight = noise(linear, 4), 10, 0.4 if rule == "relative" else 1e-3
    method = DiffusionPDE(linear, steps=steps, share=0.5, weight=weight, rule=rule)
    (a, b), x = affine(linear), z.flatten(1) @ covariance_root(linear).mT
    start = x
    for step in range(5, steps):
        alpha = math.cos(math.pi / 2 * (1 - min(step + 1, steps - 1) / steps))
        left = alpha * x @ a.mT + b
        n = left.norm(dim=1, keepdim=True)
        slope = alpha * left @ a / n
        factor = alpha**2 * n / slope.square().sum(1, True) if rule == "relative" else x.shape[1]
        x = x - weight * factor * slope
    found = draw(method, z)
    assert float((x - start).norm()) > 1e-2 * float(start.norm())
    assert float((found - x).abs().max()) < 1e-6


def test_diffusion_pde_by_the_distance_goes_all_the_way_of_the_estimate(linear):
    """n = |p|/sqrt(d), p = A^+ (A alpha x + b), has the slope p/(n d) by the estimate, of square
    1/d, and alpha times that by the state: a whole step goes by alpha p."""
    z, steps = noise(linear, 4), 8
    method = DiffusionPDE(linear, steps=steps, share=1 / steps, weight=1.0, norm="distance")
    (a, b), x = affine(linear), z.flatten(1) @ covariance_root(linear).mT
    alpha = math.cos(math.pi / 2 / steps)
    move = (alpha * x @ a.mT + b) @ torch.linalg.pinv(a).mT
    assert float((draw(method, z) - (x - alpha * move)).abs().max()) < 1e-7


@pytest.mark.parametrize("norm", ["strong", "distance"])
def test_d_flow_finds_the_nearest_noise_that_satisfies_the_equation(linear, norm):
    """Slopes are in the range of (A S)^T, and so is all that L-BFGS makes of them: of the noises
    with A S z + b = 0 it ends at z - (A S)^+ (A S z + b), the nearest to where it began."""
    z, root = noise(linear, 2), covariance_root(linear)
    a, b = affine(linear)
    both, flat = a @ root, z.flatten(1)
    expected = flat - (flat @ both.mT + b) @ torch.linalg.pinv(both).mT
    method = DFlow(linear, norm=norm, steps=1, iterations=250 if norm == "strong" else 120)
    found = torch.linalg.solve(root, draw(method, z).mT).mT
    assert float((found - expected).norm() / (flat - expected).norm()) < 1e-3
    # However few the iterations, nothing moves that the equation does not see.
    early = torch.linalg.solve(root, draw(DFlow(linear, norm=norm, iterations=5), z).mT).mT - flat
    basis = torch.linalg.qr(both.mT)[0]
    assert float(early.norm()) > 1e-2
    assert float((early - early @ basis @ basis.mT).norm() / early.norm()) < 1e-8


def test_cocogen_is_a_power_of_one_matrix(linear):
    """k corrections leave A^+ (A x + b) times (1 - 2 eps A^T A)^k, and eps is the rate over the
    largest eigenvalue of 2 A^T A."""
    (a, b), x = affine(linear), noise(linear, 4).flatten(1) @ covariance_root(linear).mT
    method = CoCoGen(linear, steps=6, during=3, after=20, rate=1.2)
    values, vectors = torch.linalg.eigh(a.mT @ a)
    assert method.size * 2 * float(values[-1]) == pytest.approx(1.2, rel=0.03)
    off = (x @ a.mT + b) @ torch.linalg.pinv(a).mT
    kept = (1 - 2 * method.size * values) ** 23
    expected = x - off + (off @ vectors * kept) @ vectors.mT
    assert float((draw(method, noise(linear, 4)) - expected).abs().max()) < 1e-7


@pytest.mark.parametrize("norm", ["strong", "distance"])
@pytest.mark.parametrize("name", NAMES)
def test_the_residual_of_an_equation_that_is_not_linear_falls(tmp_path, name, norm):
    context = gaussian(tmp_path, "burgers", 12)
    z = noise(context, 6)
    settings = {} if name == "cocogen" else {"norm": norm}
    found = draw(NAMES[name](context, steps=10, **settings), z).view_as(z)
    plain = last(context.teacher.sample(z, 10))
    assert float(context.strong(found)) < 0.7 * float(context.strong(plain))
    fields = [context.packing.unpack(x) for x in (found, plain)]
    closer, before = (float(context.projection.distance(f).mean()) for f in fields)
    assert closer < 0.8 * before


@pytest.mark.parametrize("name", NAMES)
def test_data_are_fixed_points(burgers, name):
    """With many steps the ideal flow ends at data, and there is nothing left to correct."""
    settings = {"iterations": 3} if name == "d-flow" else {}
    found = draw(NAMES[name](burgers, steps=40, **settings), noise(burgers, 6))
    assert away(burgers, found) < 2e-3


def test_members_of_a_batch_do_not_feel_each_other(burgers):
    z = noise(burgers, 3)
    for name, build in NAMES.items():
        method = build(burgers, steps=3, **LIGHT[name])
        assert torch.allclose(draw(method, z)[1:2], draw(method, z[1:2]), atol=1e-7)


@pytest.mark.parametrize(("name", "wrong"), [
    ("diffusion-pde", {"steps": 0}), ("diffusion-pde", {"weight": -1.0}),
    ("diffusion-pde", {"share": 2.0}), ("diffusion-pde", {"rule": "x"}),
    ("diffusion-pde", {"norm": "weak"}), ("d-flow", {"iterations": 0}), ("d-flow", {"steps": 0}),
    ("d-flow", {"norm": "weak"}), ("cocogen", {"steps": 0}), ("cocogen", {"rate": 2.0}),
    ("cocogen", {"during": 51}), ("cocogen", {"after": -1}),
])  # fmt: skip
def test_settings_are_checked(linear, name, wrong):
    with pytest.raises(UsageError, match=f"^({name}: )?.*{next(iter(wrong))}"):
        NAMES[name](linear, **wrong)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_registered_and_keep_the_precision(tmp_path, name):
    context = gaussian(tmp_path, size=6)
    context.teacher.float()
    method = current().build("method", name, Method, context, steps=2, **LIGHT[name])
    found = draw(method, noise(context, 2).float())
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all())
    assert not any(p.requires_grad for p in context.teacher.parameters())
