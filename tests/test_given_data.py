"""Runs that learn from data that are given: whole, split, told apart, and no better than they."""

import numpy as np
import pytest
import torch

import layouts
import piddm
import piddm.api
from piddm import PiddmError, UsageError
from piddm.data import dataset
from piddm.residuals.norms import mean_squares
from piddm.residuals.tolerance import Tolerant, shares
from piddm.runs.given_data import split
from tiny import tiny

SETTINGS = {k: v for k, v in tiny().items() if k not in ("data.size", "data.train")}
NOISE = 1e-3


def write(path, count=40, seed=0, noise=NOISE):
    """Poisson data that hold only nearly, on a grid of unequal sides."""
    phi, f = layouts.sine_pairs(count, layouts.vertices(16), layouts.vertices(20), seed)
    rng = np.random.default_rng(seed)
    np.savez(path.with_suffix(".npz"), a=f + noise * f.std() * rng.normal(size=f.shape), u=phi)
    piddm.import_data(path.with_suffix(".npz"), "poisson", path, progress=False)
    return path


@pytest.fixture(scope="module")
def given(home, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("given") / "mine.h5")
    run = piddm.distill("poisson", "quick", data=path, overrides=SETTINGS, progress=False)
    return path, run


def test_all_samples_are_learnt_from_and_none_is_on_both_sides(given):
    path, run = given
    train, held_out = run.data
    assert (len(train), len(held_out)) == (32, 8)
    assert run.grid.shape == (16, 20)
    there = {v.numpy().tobytes() for v in dataset.read(path).fields["u"]}
    sides = [{v.numpy().tobytes() for v in side.fields["u"]} for side in (train, held_out)]
    assert sides[0] | sides[1] == there
    assert not sides[0] & sides[1]


def test_samples_that_are_the_same_stay_together(tmp_path):
    data = dataset.read(write(tmp_path / "a.h5"))
    doubled = {k: torch.cat([v, v[:30]]) for k, v in data.fields.items()}
    data = dataset.Dataset(data.pde, data.grid, doubled, data.scale, data.floor, 0)
    order = split(data, 62, 8, seed=3)
    u = data.fields["u"][order]
    left = {v.numpy().tobytes() for v in u[:62]}
    right = {v.numpy().tobytes() for v in u[62:]}
    assert len(right) == 8
    assert not left & right


def test_the_floor_is_the_datas_own_error(given):
    path, run = given
    assert run.floor == dataset.read(path).floor
    truth = run.metrics["truth"].pde_error_normalised
    assert truth == pytest.approx(sum(run.floor.values()), rel=0.2)


def test_nothing_is_corrected_below_what_the_data_support(given):
    _, run = given
    made = run.correct(run.sample(4))
    assert bool(made.converged.all())
    error = run.pde_error(made.fields)
    assert error == pytest.approx(sum(run.floor.values()), rel=0.05)
    held = run.data[1].fields
    still = run.correct(held)
    moved = run.moved(held, still.fields)
    assert moved < 1e-4  # as large as their own error, some a little larger


def test_a_run_is_told_by_its_datas_content_not_by_their_place(given, tmp_path):
    path, run = given
    again = piddm.distill("poisson", "quick", data=path, overrides=SETTINGS, progress=False)
    assert again.folder == run.folder
    other = piddm.api.prepare(
        "poisson", "quick", data=write(tmp_path / "b.h5", seed=1), overrides=SETTINGS
    )
    assert other.marks["simulate"] != run.marks["simulate"]
    copied = piddm.api.prepare(
        "poisson", "quick", data=write(tmp_path / "c.h5"), overrides=SETTINGS
    )
    assert copied.marks == run.marks


def test_a_run_needs_its_data_no_more_once_it_is_made(given, tmp_path):
    _, run = given
    loaded = piddm.load_run(run.folder)
    assert loaded.grid == run.grid
    assert torch.equal(loaded.sample(2)["u"], run.sample(2)["u"])


def test_a_run_on_nodes_that_are_not_on_the_walls_opens_again(home, tmp_path):
    """Centres along x, stretched nodes along y: the run's own record has both."""
    x, y = layouts.centres(16), 0.5 - 0.5 * np.cos(np.pi * np.arange(16) / 15)
    phi, f = layouts.sine_pairs(24, x, y)
    np.savez(tmp_path / "n.npz", a=f, u=phi, x=x, y=y)
    path = tmp_path / "n.h5"
    made, _ = piddm.import_data(tmp_path / "n.npz", "poisson", path, progress=False)
    assert made.about.grid.axes["x"].location == "centre"
    assert not made.about.grid.axes["y"].uniform
    job = piddm.api.prepare("poisson", "quick", data=path, overrides=SETTINGS)
    list(job.simulate())
    again = piddm.load_run(job.folder)
    assert again.grid == made.about.grid
    assert again.marks == job.marks
    assert len(again.data[0]) == 16


def test_data_that_change_while_a_run_is_made_are_refused(home, tmp_path):
    path = write(tmp_path / "d.h5", seed=7)
    job = piddm.api.prepare("poisson", "quick", data=path, overrides=SETTINGS)
    path.unlink()
    write(path, seed=8)
    with pytest.raises(PiddmError, match="is not what it was when this run began"):
        list(job.simulate())


def test_a_given_model_error_takes_the_place_of_the_datas_own(tmp_path):
    changes = {**SETTINGS, "data.model_error": 0.2}
    job = piddm.api.prepare("poisson", "quick", data=write(tmp_path / "e.h5"), overrides=changes)
    assert job.config.data.taken.allowed["balance"] == pytest.approx(0.04)
    with pytest.raises(UsageError, match="of data that are given"):
        piddm.api.prepare("poisson", "quick", overrides={"data.model_error": 0.1})


def test_too_few_samples_are_refused(tmp_path):
    with pytest.raises(UsageError, match="has 12 different samples, and 8 to train on"):
        piddm.api.prepare("poisson", data=write(tmp_path / "f.h5", count=12), overrides=SETTINGS)


def test_data_of_another_equation_are_refused(tmp_path):
    with pytest.raises(UsageError, match="holds data of poisson, asked is helmholtz"):
        piddm.api.prepare("helmholtz", data=write(tmp_path / "g.h5"), overrides=SETTINGS)


def test_rows_within_the_allowed_error_vanish_and_others_keep_their_derivatives():
    pde = piddm.get_pde("poisson")
    residual = pde.bind(pde.grid.resized(8))
    draw = torch.Generator().manual_seed(0)
    u = {k: torch.randn(3, 8, 8, generator=draw, dtype=torch.float64) for k in "au"}
    scale = {"balance": 2.0, "wall": 1.0}
    size = mean_squares(residual, {k: v[:1] for k, v in u.items()}, scale)
    allowed = {"balance": float(size["balance"]) / 4, "wall": 100.0}
    soft = Tolerant(residual, scale, allowed)
    found = soft(u)
    assert not bool(found["wall"].any())
    rows = residual(u)["balance"]
    np.testing.assert_allclose(found["balance"][0], rows[0] / 2, rtol=1e-10)
    direction = {"u": torch.randn(1, 3, 8, 8, generator=draw, dtype=torch.float64)}
    for a, b in zip(soft.tangent(u, direction)[1].values(),
                    residual.tangent(u, direction)[1].values(), strict=True):  # fmt: skip
        assert torch.equal(a, b)


def test_an_error_of_short_waves_excuses_none_of_long_ones():
    """White noise on a solution leaves nearly all its residual in the last octave of waves."""
    pde = piddm.get_pde("poisson")
    grid = pde.grid.resized(33)
    residual, draw = pde.bind(grid), torch.Generator().manual_seed(0)
    at = torch.from_numpy(grid.axes["x"].coordinates())
    long = torch.outer((np.pi * at).sin(), (np.pi * at).sin())[None]
    noisy = {"a": 0 * long, "u": 1e-3 * torch.randn(64, 33, 33, generator=draw).double()}
    scale = {"balance": 1.0, "wall": 1.0}
    size = {k: float(v) for k, v in mean_squares(residual, noisy).items()}
    octaves = shares(residual, noisy)
    assert sum(octaves["balance"]) == pytest.approx(1)
    assert sum(octaves["balance"][-2:]) > 0.9
    assert octaves["balance"][0] < 1e-4  # of a share of nodes of 1e-3, and small there
    assert "wall" not in octaves
    together, apart = (Tolerant(residual, scale, size, o) for o in ({}, octaves))
    # Noise itself counts as none either way, but for what single samples have above the mean.
    for soft in (together, apart):
        left = mean_squares(soft, noisy)["balance"]
        assert float(left) < 0.01 * size["balance"]
    # A long wave in the source, whose residual is as large in the mean, is excused by one only.
    wave = {"a": 2 * size["balance"] ** 0.5 * long * 0.95, "u": 0 * long}
    assert not bool(together(wave)["balance"].any())
    left = mean_squares(apart, wave)["balance"]
    assert float(left) > 0.7 * size["balance"]
    # What is within the balls stays as it is.
    again = apart({k: v / 30 for k, v in noisy.items()})["balance"]
    np.testing.assert_allclose(again, 0, atol=1e-9)
