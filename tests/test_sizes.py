"""Grids of any size: networks take odd, prime and small ones, lines, and others along each axis."""

import json

import numpy as np
import pytest
import torch

import piddm
from piddm import Axis, Dirichlet, Grid, UsageError, priors
from piddm.config import DataConfig, resolve
from piddm.networks.fno import FNO
from piddm.networks.sizes import Sizes, folded, unfolded
from piddm.networks.unet import UNet
from piddm.runs.model_files import build_teacher
from piddm.symbolic import D, Field, x
from piddm.tasks.observations import Observations
from tiny import tiny


def white(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(kind, *given, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = kind(*given, **settings)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return made


@pytest.mark.parametrize("n", [5, 6, 17, 141])
def test_what_a_periodic_axis_can_hold_comes_back(n):
    """The interpolant through n nodes is known at those inside: exactly, up to float32."""
    sizes = Sizes((n, 16), ("periodic", "periodic"), 16)
    y = torch.arange(n, dtype=torch.float64) / n
    inside = torch.arange(sizes.inside[0], dtype=torch.float64) / sizes.inside[0]
    k = (n - 1) // 2  # the highest wave of an odd number of nodes
    field, there = (torch.cos(2 * np.pi * k * v + 1.0)[:, None].expand(-1, 16) for v in (y, inside))
    found = sizes.enter(field[None, None])
    torch.testing.assert_close(found[0, 0], there, atol=3e-5, rtol=0)
    torch.testing.assert_close(sizes.leave(found)[0, 0], field, atol=3e-5, rtol=0)
    noise = white(2, 3, n, 16)
    torch.testing.assert_close(sizes.leave(sizes.enter(noise)), noise, atol=1e-4, rtol=0)


def test_walls_are_continued_by_zeros():
    sizes = Sizes((17, 5), ("wall", "wall"), 8, least=2)
    assert sizes.inside == (24, 16)
    found = sizes.enter(noise := white(1, 1, 17, 5))
    assert torch.equal(found[..., :17, :5], noise)
    assert not found[..., 17:, :].any()
    assert not found[..., 5:].any()
    assert torch.equal(sizes.leave(found), noise)


def test_a_size_that_fits_is_left_alone():
    assert Sizes((16, 32), ("wall", "periodic"), 16).inside == (16, 32)
    assert not list(Sizes((16, 32), ("wall", "periodic"), 16).buffers())


def test_latitudes_go_over_the_poles():
    """A smooth field on the sphere, on 9 rows and on 16; rows are at half steps from pole to pole.

    In these coordinates a harmonic of degree 2 is band-limited along every meridian.
    """
    sizes = Sizes((9, 18), ("pole", "periodic"), 8)
    assert sizes.inside == (16, 32)

    def field(rows, columns):
        latitude = (torch.arange(rows, dtype=torch.float64) + 0.5) / rows * np.pi - np.pi / 2
        longitude = torch.arange(columns, dtype=torch.float64) / columns * 2 * np.pi
        ring = longitude.cos() + 0.5 * (2 * longitude).sin() * latitude.cos()[:, None]
        return latitude.sin()[:, None] + latitude.cos()[:, None] * ring

    found = sizes.enter(field(9, 18)[None, None])
    torch.testing.assert_close(found[0, 0], field(16, 32), atol=1e-5, rtol=0)
    torch.testing.assert_close(sizes.leave(found)[0, 0], field(9, 18), atol=1e-5, rtol=0)


def test_folding_an_axis_of_a_line():
    values = white(2, 3, 1, 12)
    found = folded(values, (1, 4))
    assert found.shape == (2, 12, 1, 3)
    assert torch.equal(found[0, 4:8, 0, 2], values[0, 1, 0, 8:])
    assert torch.equal(unfolded(found, (1, 4)), values)
    square = white(2, 3, 8, 4)
    assert torch.equal(folded(square, (2, 2)), torch.nn.functional.pixel_unshuffle(square, 2))


@pytest.mark.parametrize(
    ("image", "periodic"),
    [((17, 16), (False, True)), ((85, 85), (False, False)), ((7, 101), (True, True)),
     ((1, 141), (True, False)), ((1, 37), (True, True)), ((2, 3), (False, True))],
)  # fmt: skip
@pytest.mark.parametrize("kind", [UNet, FNO])
def test_networks_take_any_size(kind, image, periodic):
    made = network(kind, 2, image, periodic, widths=(8, 8), fold=4)
    found = made(noise := white(2, 2, *image), torch.tensor([0.2, 0.9]))
    assert found.shape == (2, 4, *image)
    assert found.isfinite().all()
    other = made(noise + 1, torch.tensor([0.2, 0.9]))
    assert ((other - found).abs().amax((0, 1)) > 0).all(), "a node sees nothing"


def test_a_periodic_axis_of_a_prime_size_has_no_seam():
    """Inside there are 20 nodes: 5 shifts of them are 17/4 of ours, so shift a smooth field so."""
    made = network(UNet, 1, (16, 17), (False, True), widths=(8, 8), fold=2)
    t = torch.tensor([0.5])
    rows = torch.linspace(-1, 1, 16, dtype=torch.float64)[:, None]

    def field(shift):
        at = 2 * np.pi * (torch.arange(17, dtype=torch.float64) / 17 - shift)
        return (rows * at.sin() + (2 * at).cos())[None, None].float()

    with torch.no_grad():
        whole = made(field(0.0), t), made(field(0.2), t)
    spectra = [torch.fft.rfft(v) for v in whole]
    turned = spectra[0] * torch.exp(-2j * np.pi * 0.2 * torch.arange(9))
    # Waves above what 17 nodes hold are cut at the exit; the rest moves as the field does.
    torch.testing.assert_close(turned, spectra[1], rtol=0, atol=1e-4 * float(turned.abs().max()))


@pytest.mark.parametrize(
    ("size", "shape"), [(16, (16, 16)), ({"t": 17}, (17, 128)), ({"t": 17, "x": 16}, (17, 16))]
)
def test_numbers_of_nodes_by_axis(size, shape):
    config = DataConfig(size=size)
    assert config.grid(piddm.get_pde("burgers").grid).shape == shape
    assert DataConfig.model_validate(json.loads(config.model_dump_json())) == config


def test_sizes_in_a_file_and_in_the_shell(tmp_path):
    (file := tmp_path / "c.toml").write_text("[data]\nsize = {t = 17, x = 16}\n")
    grid = piddm.get_pde("burgers").grid
    for config in (
        resolve("burgers", "quick", file),
        resolve("burgers", "quick", overrides=["data.size={t=17, x=16}"]),
    ):
        assert config.data.grid(grid).shape == (17, 16)
    with pytest.raises(UsageError, match="configuration, data"):
        resolve("burgers", overrides={"data.size": {"t": 1}})
    with pytest.raises(UsageError, match="no axis 'y'; known: t, x"):
        resolve("burgers", overrides={"data.size": {"y": 9}}).data.grid(grid)


def test_of_a_film_the_table_names_time_too():
    flow = piddm.get_pde("navier-stokes").grid
    assert DataConfig(size={"t": 5, "x": 9, "y": 7}, times=4).grid(flow).shape == (5, 9, 7)
    assert DataConfig(size={"x": 9, "y": 7}, times=4).grid(flow).shape == (4, 9, 7)


def few_steps(pde, size, tmp_path, **changes):
    settings = tiny({"data.size": size, **changes})
    run = piddm.distill(
        pde, preset="quick", overrides=settings, out=tmp_path / "run", progress=False
    )
    made = run.sample(3, seed=1)
    assert all(v.isfinite().all() for v in made.values())
    return run, made


u, f = Field("u"), Field("f")
LINE = piddm.PDE(
    name="line-poisson",
    summary="Poisson's equation on an interval",
    grid=Grid(x=Axis(0, 1, 33)),
    fields=[f, u],
    equations={"balance": D(u, x, 2) + f},
    conditions={"ends": Dirichlet(u)},
    inputs={f: priors.GaussianField(alpha=2.0, tau=3.0)},
)


@pytest.mark.parametrize("student", ["one-step", "staged"])
def test_a_line_trains_samples_and_answers(student, tmp_path):
    run, made = few_steps(LINE, 17, tmp_path, **{"student.name": student})
    assert made["u"].shape == (3, 17)
    truth = piddm.make_dataset(LINE, 1, size=17, seed=9, progress=False)
    seen = Observations.at_nodes(run.residual.grid, {"f": truth.fields["f"][0]})
    found = run.solve("forward", seen, samples=2, solver="classical", progress=False)
    # float32 of the truth, times what a second difference over 1/16 magnifies.
    torch.testing.assert_close(
        found.fields["u"][0].float(), truth.fields["u"][0], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("student", ["one-step", "staged"])
def test_a_film_of_17_times_16_nodes(student, tmp_path):
    _, made = few_steps("burgers", {"t": 17, "x": 16}, tmp_path, **{"student.name": student})
    assert made["u"].shape == (3, 17, 16)


@pytest.mark.slow
@pytest.mark.parametrize("n", [85, 101, 141])
@pytest.mark.parametrize("pde", ["poisson", "darcy"])
def test_published_sizes_train_and_sample(pde, n, tmp_path):
    few_steps(pde, n, tmp_path, **{"student.name": "staged", "network.fold": 4})


@pytest.mark.parametrize("n", [101, 421])
def test_a_teacher_of_a_published_size_takes_steps_and_samples(n):
    """Without the corrections of a whole run, which factorise an equation of n squared nodes."""
    pde = piddm.get_pde("poisson")
    settings = {"network.widths": [8, 8], "network.fold": 4, "packing.rank": 8}
    config, draw = resolve("poisson", "quick", overrides=settings), torch.Generator().manual_seed(0)
    teacher = build_teacher(config, pde, pde.grid.resized(n))
    source = torch.randn(8, n, n, generator=draw, dtype=torch.float64).cumsum(1)
    packing = teacher.packing.fit({"a": source, "u": source.cumsum(2)})
    data = packing.pack({"a": source, "u": source.cumsum(2)})[:2]
    optimiser = torch.optim.AdamW(teacher.parameters(), 1e-3)
    for _ in range(2):
        noise = packing.colour(torch.randn(data.shape, generator=draw))
        loss = (teacher.denoise((data + noise) / 2, torch.full((2,), 0.5)) - data).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        made = packing.unpack(teacher.denoise(noise, torch.ones(2)))
    assert made["u"].shape == (2, n, n)
    assert all(v.isfinite().all() for v in made.values())
