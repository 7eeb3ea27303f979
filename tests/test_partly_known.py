"""Equations of which data lack a part: a source that nobody measured, a param that nobody knows."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import layouts
import piddm
import piddm.api
from piddm import PDE, Axis, Grid, PiddmError
from piddm.cli.app import app
from piddm.data import dataset
from piddm.data.recovering import Recovery, recoverable
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, t, x
from piddm.tasks.synthetic import held_out_truth, place
from tiny import tiny

f, g, u = Field("f", doc="source"), Field("g"), Field("u", doc="temperature")
NU = Param("nu", 0.02, doc="diffusivity")
LAW = GaussianField(2.0, 3.0)
SETTINGS = {k: v for k, v in tiny().items() if k not in ("data.size", "data.train")}


def heated(n=16, nu=NU, fields=(f, u), equations=None, inputs=None):
    """Heat on a ring with a source: u_t = nu u_xx + f."""
    grid = Grid(t=Axis(0, 1, n + 1, time=True), x=Axis(0, 1, n, periodic=True))
    equations = equations or {"heat": D(u, t) - nu * D(u, x, 2) - f}
    return PDE("heated", "heat with a source", grid, [*fields], equations,
               inputs=inputs or {u.at(t=0): LAW, f: LAW}, params=[nu])  # fmt: skip


def hidden(n, count, seed=0, nu: float | np.ndarray = NU.value, steady=False):
    """Exact temperatures and sources: each wave's amplitude solves q' = -rate q + b cos(w t)."""
    draw = np.random.default_rng(seed)
    time, place = np.meshgrid(np.linspace(0, 1, n + 1), np.arange(n) / n, indexing="ij")
    temperature, source = np.zeros((2, count, n + 1, n))
    for k in (1, 2):
        begin, push, phase, speed = draw.normal(size=(4, count, 1, 1))
        speed = 0 * speed if steady else 2 + speed
        rate = np.reshape(nu, (-1, 1, 1)) * (2 * np.pi * k) ** 2
        answer = (rate * np.cos(speed * time) + speed * np.sin(speed * time)) / (rate**2 + speed**2)
        answer -= np.exp(-rate * time) * rate / (rate**2 + speed**2)
        shape = np.sin(2 * np.pi * k * place + phase)
        temperature += (begin * np.exp(-rate * time) + push * answer) * shape
        source += push * np.cos(speed * time) * shape
    return temperature, source


def written(path, n=16, count=4, **more):
    """Write temperatures only, with their coordinates; return the sources, which stay hidden."""
    temperature, source = hidden(n, count, **more)
    np.savez(path, u=temperature, t=np.linspace(0, 1, n + 1), x=np.arange(n) / n)
    return source


def error(found, true):
    return float(np.linalg.norm(np.asarray(found) - true) / np.linalg.norm(true))


def order(coarse, fine):
    return float(np.log2(coarse / fine))


def test_a_hidden_source_is_recovered_at_the_order_of_the_scheme(tmp_path):
    errors = []
    for n in (16, 32, 64):
        source = written(tmp_path / "u.npz", n)
        made, _ = piddm.import_data(tmp_path / "u.npz", heated(n), tmp_path / "mine.h5",
                                    progress=False)  # fmt: skip
        assert made.about.computed == {"f": ("heat",)}
        assert made.about.floor["heat"] < 1e-25  # it solves the rows, by construction
        errors.append(error(dataset.read(tmp_path / "mine.h5").fields["f"], source))
    assert errors[-1] < 0.01
    assert order(*errors[-2:]) == pytest.approx(2, abs=0.1)


def test_a_source_that_is_known_to_be_steady_is_found_steady(tmp_path):
    equations = {"heat": D(u, t) - NU * D(u, x, 2) - f, "steady": D(f, t)}
    errors = []
    for n in (16, 32):
        source = written(tmp_path / "u.npz", n, steady=True)
        piddm.import_data(tmp_path / "u.npz", heated(n, equations=equations),
                          tmp_path / "mine.h5", progress=False)  # fmt: skip
        found = dataset.read(tmp_path / "mine.h5").fields["f"]
        assert float(found.diff(dim=1).abs().max()) < 0.05 * float(found.abs().max())
        errors.append(error(found, source))
    assert order(*errors) == pytest.approx(2, abs=0.2)


def test_nodes_without_a_row_take_the_smoothest_values(tmp_path):
    """Poisson's rows end beside the walls: the source there is no part of any."""
    errors = []
    for n in (16, 32):
        phi, source = layouts.sine_pairs(3, layouts.vertices(n), layouts.vertices(n + 3))
        np.savez(tmp_path / "p.npz", u=phi)
        piddm.import_data(tmp_path / "p.npz", "poisson", tmp_path / "p.h5", progress=False)
        errors.append(error(dataset.read(tmp_path / "p.h5").fields["a"], source))
    assert order(*errors) > 1.9


def test_a_coefficient_of_the_samples_own_is_divided_by():
    pde = heated(equations={"heat": D(u, t) - NU * D(u, x, 2) - (2 + u**2) * f})
    temperature, _ = hidden(16, 3)
    known = {"u": torch.from_numpy(temperature)}
    found = Recovery(pde, ["f"])(known)
    residual = pde.bind(pde.grid)(known | found)["heat"]
    assert float(residual.abs().max()) < 1e-8 * float(found["f"].abs().max())
    one = Recovery(pde, ["f"])({"u": known["u"][1:2]})["f"]
    np.testing.assert_allclose(found["f"][1:2], one, rtol=1e-6, atol=1e-8)


def test_what_an_equation_gives_is_told_from_what_it_does_not():
    assert recoverable(heated()) == ("f",)
    assert recoverable(piddm.get_pde("poisson")) == ("a",)
    assert recoverable(piddm.get_pde("darcy")) == ()  # its medium is inside derivatives
    assert recoverable(heated(equations={"heat": D(u, t) - f**2})) == ()
    # What has a derivative in another equation is not given by this one alone.
    both = {"heat": D(u, t) - f, "other": D(f, t) - u}
    assert recoverable(heated(equations=both)) == ()


def test_two_unknowns_of_one_equation_are_refused(tmp_path):
    written(tmp_path / "u.npz")
    two = heated(fields=(f, g, u), equations={"heat": D(u, t) - NU * D(u, x, 2) - f - g})
    with pytest.raises(PiddmError, match="cannot tell f and g apart"):
        piddm.import_data(tmp_path / "u.npz", two, tmp_path / "mine.h5", progress=False)
    free = Param("nu", 0.02, free=True)
    with pytest.raises(PiddmError, match="f and the param nu are both unknown"):
        piddm.import_data(tmp_path / "u.npz", heated(nu=free), tmp_path / "mine.h5",
                          progress=False)  # fmt: skip
    assert not (tmp_path / "mine.h5").exists()


def test_a_check_says_that_the_equation_was_used_up(tmp_path):
    written(tmp_path / "u.npz")
    for path in (tmp_path / "u.npz", tmp_path / "mine.h5"):
        if path.suffix == ".h5":
            piddm.import_data(tmp_path / "u.npz", heated(), path, progress=False)
        report = piddm.check(path, heated(), progress=False)
        assert report.tested == []
        assert not report.params
        assert report.verdict() == [
            "f is not in the data and was computed from heat, which therefore tests nothing",
            "nothing of heated is left to test",
        ]


def test_what_is_left_of_an_equation_is_still_tested(tmp_path):
    phi, _ = layouts.sine_pairs(3, layouts.vertices(16), layouts.vertices(16))
    np.savez(tmp_path / "wrong.npz", u=phi + 1)  # the wall says 0
    report = piddm.check(tmp_path / "wrong.npz", "poisson", progress=False)
    assert [row.name for row in report.tested] == ["wall"]
    assert not report.satisfied
    np.savez(tmp_path / "right.npz", u=phi)
    found = CliRunner().invoke(
        app, ["check", str(tmp_path / "right.npz"), "--pde", "poisson", "--out", str(tmp_path)]
    )
    assert found.exit_code == 0, found.output
    assert "a is not in the data and was computed from balance" in found.output
    rows = json.loads((tmp_path / "check.json").read_text())
    assert rows["computed"] == {"a": ["balance"]}


@pytest.fixture(scope="module")
def learnt(home, tmp_path_factory):
    """A run that has learnt from temperatures only, and its equation."""
    folder = tmp_path_factory.mktemp("heated")
    source = written(folder / "u.npz", count=120)
    changes = {**SETTINGS, "teacher.steps": 60, "student.steps": 60, "teacher.batch": 16,
               "student.batch": 16, "network.widths": [16, 16]}  # fmt: skip
    run = piddm.distill(heated(), "quick", data=folder / "u.npz", overrides=changes,
                        progress=False)  # fmt: skip
    return run, source


def test_a_student_draws_temperatures_with_their_sources(learnt):
    """What it draws as a source is what its temperatures say, better than another sample's is."""
    run, source = learnt
    made = run.sample(32, seed=3, correct=True)
    own = Recovery(run.pde, ["f"])({"u": made["u"]})["f"]
    apart = (made["f"] - own).norm() / own.norm()
    assert float(apart) < 0.5 < float((made["f"] - own.roll(1, 0)).norm() / own.norm())
    assert float(made["f"].std()) == pytest.approx(source.std(), rel=0.5)


@pytest.mark.parametrize("solver", ["gaussian", "latent"])
def test_sensors_of_temperatures_answer_for_the_source(learnt, solver):
    """Errors over the prior's own, that of the mean of the data: means over truths."""
    run, source = learnt
    prior, posterior = [], []
    for seed in range(3):
        truth = held_out_truth(run.data[1], seed)
        seen = place(truth, run.pde, "u", 0.3, seed=seed)
        found = run.solve("reconstruct", seen, solver, 8, progress=False)
        true = truth.fields["f"][0]
        posterior.append(float((found.mean["f"] - true).norm()))
        prior.append(float((true - torch.from_numpy(source.mean(0))).norm()))
    assert sum(posterior) < 0.5 * sum(prior)


def test_a_law_that_nobody_knows_is_none_that_a_run_needs(home, tmp_path):
    """Nothing is drawn from the laws of a run's inputs, so that a source may have any, or none."""
    written(tmp_path / "u.npz", count=24)
    pde = heated(inputs={u.at(t=0): LAW})
    job = piddm.api.prepare(pde, "quick", data=tmp_path / "u.npz", overrides=SETTINGS)
    list(job.simulate())
    assert sorted(job.data[0].fields) == ["f", "u"]
