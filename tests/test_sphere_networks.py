"""What is around the equations on a sphere: means over its area, noise, networks, the poles."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from piddm import Axis, Grid
from piddm.config import resolve
from piddm.data.packing import Packing
from piddm.grids.means import mean_square, node_weights
from piddm.interfaces import Reach, Residual, Rows
from piddm.metrics.yardstick import Yardstick
from piddm.networks.unet import Convolution, UNet, over_poles
from piddm.numerics.projection import Projection
from piddm.residuals.norms import mean_squares, term_scale
from piddm.runs.model_files import build_teacher
from piddm.teachers.flow import FlowTeacher
from piddm.teachers.schedules import SCHEDULES
from piddm.tools.randomness import white
from piddm.training.context import TrainingContext
from piddm.training.losses import regression
from piddm.training.physics import distance, strong
from piddm_pdes.darcy import DARCY

SPHERE = Grid.sphere(8)
MOVING = Grid.sphere(8, t=Axis(0, 1, 4, time=True))
CPU = torch.device("cpu")


def directions(grid, beyond=0):
    """Return x, y, z at the nodes, with more latitudes on the far side of either pole."""
    lat, lon = (grid.axes[name].coordinates() for name in ("lat", "lon"))
    south, north = -np.pi - lat[:beyond][::-1], np.pi - lat[len(lat) - beyond :][::-1]
    lat, lon = np.meshgrid(np.concatenate([south, lat, north]), lon, indexing="ij")
    found = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    return [torch.from_numpy(v) for v in found]


def smooth(grid, beyond=0):
    x, y, z = directions(grid, beyond)
    return x * y + z


def tilted(grid):
    """Return a sample for each direction and its opposite: no direction is more than another."""
    every = torch.stack(directions(grid)).float()
    return torch.cat([every, -every])


class Local(Residual):
    """Every value of ``u``, some of them as conditions, and one mean."""

    def __init__(self, grid):
        self.grid, self.field_names = grid, ("u",)
        nodes = np.indices(grid.shape).reshape(len(grid.shape), -1).T
        half = nodes[nodes[:, -2] < grid.axes["lat"].size // 2]
        here = [Reach(np.arange(len(nodes)), {"u": [(0,) * len(grid.shape)]})]
        self.rows = {
            "all": Rows(nodes, here),
            "south": Rows(half, here, boundary=True),
            "total": Rows(nodes[:1], here, boundary=True, integral=True),
        }

    def __call__(self, fields):
        u = fields["u"]
        south = u[..., : u.shape[-2] // 2, :].flatten(1)
        return {"all": u, "south": south, "total": u.flatten(1).mean(1, keepdim=True)}

    def terms(self, fields):
        rows = self(fields)
        return {name: {"u": v} for name, v in rows.items()} | {"south": {"u": fields["u"]}}


class Values(Local):
    """Every value of ``u``, and nothing else."""

    def __init__(self, grid):
        super().__init__(grid)
        self.rows = {"all": self.rows["all"]}

    def __call__(self, fields):
        return {"all": fields["u"]}


@pytest.mark.parametrize("grid", [SPHERE, MOVING])
def test_means_are_over_the_area(grid):
    """The mean of z^2 over a sphere, and over half of one, is 1/3; a plain one says 0.41."""
    z = directions(grid)[2].expand(2, *grid.shape)
    assert float(mean_square(z, node_weights(grid))) == pytest.approx(1 / 3, rel=1e-12)
    assert float(z.square().mean()) > 0.4
    residual = Local(grid)
    found = mean_squares(residual, {"u": z}, {"all": 2.0, "south": 1.0, "total": 1.0})
    assert float(found["all"]) == pytest.approx(1 / 12, rel=1e-12)
    assert float(found["south"]) == pytest.approx(1 / 3, rel=1e-12)
    one = mean_squares(residual, {"u": torch.ones_like(z)})
    assert {k: float(v) for k, v in one.items()} == pytest.approx(dict.fromkeys(one, 1.0))
    assert term_scale(residual, {"u": z})["all"] == pytest.approx(3**-0.5, rel=1e-12)
    assert term_scale(residual, {"u": z})["south"] == pytest.approx(3**-0.5, rel=1e-12)


def test_planes_have_no_weights():
    assert node_weights(DARCY.grid) is None
    packing = Packing(DARCY.grid.resized(4), ("a", "u"))
    x = torch.randn(2, 2, 4, 4)
    assert packing.weigh(x) is x
    assert packing.norm() == packing.field_scale() == {"a": 1.0, "u": 1.0}
    keys = {"mean", "scale", "components", "strengths", "spectrum", "basis_0", "basis_1"}
    assert packing.state_dict().keys() == keys
    assert Packing(SPHERE, ("u",)).state_dict().keys() == keys


@pytest.mark.parametrize("grid", [SPHERE, MOVING])
def test_no_direction_is_preferred(grid):
    """Data along x, y, z alike have one deviation, 1/sqrt 3, and equally strong components."""
    data = tilted(grid)
    if len(grid.shape) == 3:
        data = data[:, None].expand(-1, *grid.shape)
    packing = Packing(grid, ("u",), rank=3).fit({"u": data.repeat(2, *[1] * len(grid.shape))})
    assert packing.field_scale()["u"] == pytest.approx(3**-0.5, rel=1e-5)
    expected = torch.full((3,), (np.prod(grid.shape) / 3) ** 0.5, dtype=torch.float32)
    torch.testing.assert_close(packing.strengths, expected, rtol=1e-5, atol=0)
    upward = Packing(grid, ("u",)).fit({"u": data[[2, 5]]})
    assert upward.field_scale()["u"] == pytest.approx(3**-0.5, rel=1e-5)


@pytest.mark.parametrize("rank", [0, 3])
def test_noise_has_the_data_s_covariance(rank):
    """S S^T in closed form, from the colour of each unit vector: that of u = a x + b y + c z."""
    packing = Packing(SPHERE, ("u",), rank).fit({"u": tilted(SPHERE).repeat(2, 1, 1)})
    size = int(np.prod(SPHERE.shape))
    noise = packing.colour(torch.eye(size).view(size, 1, *SPHERE.shape)).flatten(1)
    deviation = noise.square().sum(0).sqrt().view(SPHERE.shape)
    torch.testing.assert_close(deviation, torch.ones(SPHERE.shape), rtol=1e-2, atol=0)
    if rank:  # components hold what is not separable
        cosine = sum(torch.outer(v.ravel(), v.ravel()) for v in directions(SPHERE)).float()
        torch.testing.assert_close(noise.mT @ noise, cosine, rtol=0, atol=1e-4)


def test_answers_pass_where_the_data_are_large():
    packing = Packing(SPHERE, ("u",), rank=3).fit({"u": tilted(SPHERE).repeat(2, 1, 1)})
    x = packing.pack({"u": tilted(SPHERE)})
    gain = packing.strengths[0] / (1 + packing.strengths[0] ** 2).sqrt()
    torch.testing.assert_close(packing.shape(x), gain * x, rtol=1e-4, atol=1e-4)


def test_the_nearest_solution_is_nearest_over_the_area():
    """Two latitudes made equal meet in their mean, weighted by their areas."""

    class Equal(Values):
        def __init__(self, grid):
            super().__init__(grid)
            nodes = np.stack([np.zeros(16, int), np.arange(16)], axis=1)
            self.rows = {"all": Rows(nodes, [Reach(np.arange(16), {"u": [(0, 0), (1, 0)]})])}

        def __call__(self, fields):
            return {"all": fields["u"][:, 1] - fields["u"][:, 0]}

    packing = Packing(SPHERE, ("u",)).fit({"u": tilted(SPHERE)})
    u = white((2, *SPHERE.shape), CPU, 0, "fields").double()
    found = Projection(Equal(SPHERE), packing.norm(), {"all": 1.0})({"u": u})["u"]
    w = torch.from_numpy(SPHERE.weights())[:2]
    meeting = (w[0] * u[:, 0] + w[1] * u[:, 1]) / (w[0] + w[1])
    torch.testing.assert_close(found[:, 0], meeting, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found[:, 1], meeting, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found[:, 2:], u[:, 2:], rtol=0, atol=0)


def test_losses_and_their_gradients_are_over_the_area():
    packing = Packing(SPHERE, ("u",))
    projection = Projection(Values(SPHERE), packing.norm(), {"all": 1.0})
    z = directions(SPHERE)[2].float()[None, None].repeat(3, 1, 1, 1)
    shares = torch.from_numpy(SPHERE.weights()).float()
    for norm in (distance, strong):
        x = z.clone().requires_grad_()
        loss = norm(projection, packing)(x)
        assert float(loss.detach()) == pytest.approx(1 / 3, rel=1e-5)
        (slope,) = torch.autograd.grad(loss, x)
        torch.testing.assert_close(slope, 2 * shares * z / z.numel(), rtol=1e-4, atol=1e-8)

    config = resolve("darcy", "quick", overrides={"student.physics_weight": 0.0})
    teacher = FlowTeacher(nn.Identity(), packing, SCHEDULES["trigonometric"])
    pool = SimpleNamespace(draw=lambda count, generator: (torch.zeros_like(z), z))
    none = 0 * z
    # 2 |0 - z| over the area, whose mean square is 1/3
    for made, data, pair in ((none, z, 1 / 3), (z, none, 0.0)):
        context = TrainingContext(config, teacher, projection, data, pool)
        parts = regression(context)(lambda noise, x=made: x, 0)
        assert float(parts["pair"]) == pytest.approx(pair, rel=1e-5)
        assert float(parts["energy"]) == pytest.approx(2 / math.sqrt(3), rel=1e-5)


def test_the_teacher_s_loss_is_over_the_area():
    """Without noise and answers it is the mean of sigma^2 times that of z^2."""
    packing, schedule = Packing(SPHERE, ("u",)), SCHEDULES["trigonometric"]
    packing.spectrum.zero_()
    teacher = FlowTeacher(lambda x, t: torch.cat([x, x], dim=1), packing, schedule)
    z = directions(SPHERE)[2].float().expand(5, 1, *SPHERE.shape)
    loss = teacher.loss(z, torch.Generator().manual_seed(0))
    t = schedule.draw(5, torch.Generator().manual_seed(0))
    expected = float(schedule.sigma(t).square().mean()) / 3
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_scores_are_over_the_area():
    packing = Packing(SPHERE, ("u",))
    z = directions(SPHERE)[2].float()[None, None]
    held_out = z * torch.tensor([1.0, -1.0])[:, None, None, None]
    projection = Projection(Values(SPHERE), packing.norm(), {"all": 1.0})
    yardstick = Yardstick(projection, packing, held_out, 2)
    scores = yardstick.scores(held_out + z, 0)
    # mean z apart, 0 +- z against z +- z; z^2 has the mean 1/3
    assert scores.mmse == pytest.approx(1 / 3, rel=1e-6)
    assert scores.smse == pytest.approx(0, abs=1e-12)
    assert scores.constraint_distance == pytest.approx(2 / 3, rel=1e-6)
    assert scores.pde_error == pytest.approx(2 / 3, rel=1e-6)
    # distances in units of |z| = 1/sqrt 3: across 1, 3, 1, 1 and within 0, 2, 2, 0
    assert scores.energy_distance == pytest.approx((2 * 6 / 4 - 2) / 3**0.5, rel=1e-6)


def test_a_field_goes_on_beyond_a_pole():
    expected = smooth(SPHERE, beyond=1)[None, None]
    found = over_poles(smooth(SPHERE)[None, None])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("fold", [2, 4])
def test_a_folded_field_goes_on_beyond_a_pole(fold):
    """The rows of a folded block come in reverse: the same as folding after the continuation."""
    u = torch.stack([smooth(SPHERE), directions(SPHERE)[0]])[None]
    more = torch.stack([smooth(SPHERE, fold), directions(SPHERE, fold)[0]])[None]
    found = over_poles(functional.pixel_unshuffle(u, fold), fold)
    torch.testing.assert_close(found, functional.pixel_unshuffle(more, fold), rtol=0, atol=1e-14)


def test_a_convolution_sees_what_is_beyond():
    layer = Convolution(1, 1, ("pole", "periodic")).double()
    torch.nn.init.normal_(layer.convolution.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.zeros_(layer.convolution.bias)
    around = functional.pad(smooth(SPHERE, beyond=1)[None, None], (1, 1, 0, 0), mode="circular")
    expected = functional.conv2d(around, layer.convolution.weight)
    torch.testing.assert_close(layer(smooth(SPHERE)[None, None]), expected, rtol=0, atol=1e-13)


def test_a_network_s_entrance_sees_what_is_beyond():
    """As if fields and the sine of the latitude went on before they are folded."""
    network = UNet(1, (8, 16), (False, True), widths=(8,), fold=2, spherical=True).double()
    z, more = directions(SPHERE)[2], directions(SPHERE, beyond=2)[2]
    found = network.enter(functional.pixel_unshuffle(torch.stack([smooth(SPHERE), z])[None], 2))
    around = functional.pixel_unshuffle(torch.stack([smooth(SPHERE, 2), more])[None], 2)
    around = functional.pad(around, (1, 1, 0, 0), mode="circular")
    torch.testing.assert_close(found, network.enter.convolution(around), rtol=0, atol=1e-13)


def test_a_turn_of_the_sphere_turns_the_answer():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(2, (8, 16), (False, True), widths=(8, 8), fold=2, spherical=True)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    latitude = SPHERE.axes["lat"].coordinates()
    np.testing.assert_allclose(network.coordinates[0, 0, :, 3], np.sin(latitude), atol=1e-6)
    x, t = white((2, 2, 8, 16), CPU, 0, "turn"), torch.tensor([0.2, 0.7])
    with torch.no_grad():
        plain, moved = network(x, t), network(x.roll(4, -1), t)
    torch.testing.assert_close(plain.roll(4, -1), moved, rtol=1e-3, atol=1e-3)
    assert float((plain - moved).abs().max()) > 0.05


def test_half_a_turn_is_whole():
    inside = UNet(1, (8, 12), (False, True), widths=(8, 8), fold=2, spherical=True).sizes.inside
    assert inside == (8, 16)
    assert UNet(1, (8, 12), (False, True), widths=(8, 8), fold=2).sizes.inside == (8, 12)


@pytest.mark.parametrize("time", [False, True])
def test_the_quick_preset_takes_a_sphere(time):
    before = {"t": Axis(0, 1, 32, time=True)} if time else {}
    grid = Grid.sphere(64, **before).resized(32)
    pde = SimpleNamespace(field_names=("u", "v"), bounds={})
    teacher = build_teacher(resolve("any", "quick"), pde, grid)
    packing = teacher.packing
    assert (packing.channels, packing.image) == (64 if time else 2, (32, 64))
    assert teacher.network.enter.poles
    x = torch.zeros(1, packing.channels, *packing.image)
    assert teacher.denoise(x, torch.ones(1)).shape == x.shape
    fields = {k: white((4, *grid.shape), CPU, 0, k) for k in ("u", "v")}
    back = packing.fit(fields).unpack(packing.pack(fields))
    torch.testing.assert_close(back["v"], fields["v"], rtol=1e-4, atol=1e-5)
