"""Data of which no equation is known: learnt from, drawn, asked, and never measured by physics."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import layouts
import piddm
import piddm.api
from piddm import UsageError
from piddm.cli.app import app
from piddm.data import dataset
from piddm.data.no_equation import no_equation
from piddm.reports.tables import score_table
from piddm.runs.reading import suggestion
from piddm.tasks.solution_files import keep, read_solution
from piddm.tasks.synthetic import held_out_truth, place
from tiny import tiny

SETTINGS = {k: v for k, v in tiny().items() if k not in ("data.size", "data.train")}
PHYSICS = ("PDE error", "distance to solutions", "self-consistency", "floor", "nan", "None")


def waves(count=40, n=16, m=20, seed=0) -> dict[str, Any]:
    """Two fields, the second a quarter of a wave behind the first; periodic along both axes."""
    draw = np.random.default_rng(seed)
    X, Y = np.meshgrid(np.arange(n) / n, np.arange(m) / m, indexing="ij")
    u, v = np.zeros((2, count, n, m))
    for k, j in ((1, 0), (0, 1), (1, 1), (2, 1)):
        size, phase = draw.normal(size=(count, 1, 1)), draw.uniform(0, 6.3, (count, 1, 1))
        u += size * np.cos(2 * np.pi * (k * X + j * Y) + phase)
        v += size * np.sin(2 * np.pi * (k * X + j * Y) + phase)
    return {"u": u.astype("f4"), "v": v.astype("f4")}


def invoke(*words):
    return CliRunner().invoke(app, [str(w) for w in words])


@pytest.fixture(scope="module")
def given(home, tmp_path_factory):
    path = tmp_path_factory.mktemp("given") / "waves.npz"
    np.savez(path, **waves())
    words = [w for k, v in SETTINGS.items() for w in ("--set", f"{k}={v}")]
    found = invoke("distill", "--data", path, "--fields", "u,v", "--preset", "quick", *words)
    assert found.exit_code == 0, found.output
    (folder,) = (home / "runs" / "no-equation").iterdir()
    return path, piddm.load_run(folder), found.output


def test_a_run_has_all_but_what_physics_measures(given):
    _, run, said = given
    assert run.pde.field_names == ("u", "v")
    assert (run.grid.shape, run.grid.periodic) == ((16, 20), (True, True))
    assert all(s.pde_error is s.pde_error_normalised is s.constraint_distance is None
               and s.self_consistency is None and s.energy_distance > 0
               for s in run.metrics.values())  # fmt: skip
    header, rows = score_table(run.metrics)
    assert set(header) == {"", "truth", "teacher", "student", "gaussian"}
    page = (run.path / "report.html").read_text(encoding="utf-8")
    text = " ".join([said, *(row[0] for row in rows), json.dumps(rows)])
    assert not [word for word in PHYSICS if word in text]
    assert not [word for word in PHYSICS[:4] if word in page]
    drawn = {path.name for path in (run.path / "figures").iterdir()}
    assert drawn == {"samples.png", "training.png"}
    assert "--fields u,v" in page


def test_a_run_is_its_datas_content_split_and_found_again(given, tmp_path):
    path, run, _ = given
    train, held_out = run.data
    assert (len(train), len(held_out)) == (32, 8)
    sides = [{v.numpy().tobytes() for v in side.fields["u"]} for side in run.data]
    assert not sides[0] & sides[1]
    other = tmp_path / "elsewhere.npz"
    other.write_bytes(path.read_bytes())
    again = piddm.distill(data=other, fields=["u", "v"], preset="quick", overrides=SETTINGS,
                          progress=False)  # fmt: skip
    assert again.path == run.path
    one = piddm.api.prepare(data=other, fields="v", preset="quick", overrides=SETTINGS,
                            progress=False)  # fmt: skip
    assert one.marks["simulate"] != run.marks["simulate"]


@pytest.mark.parametrize("solver", ["latent", "gaussian", "guided", "auto"])
def test_solvers_that_need_no_physics_answer(given, solver, tmp_path):
    _, run, _ = given
    truth = held_out_truth(run.data[1], 1)
    seen = place(truth, run.pde, "u", 0.2, seed=1)
    settings = {"steps": 20} if solver == "guided" else None
    found = run.solve("reconstruct", seen, solver, 4, settings=settings, progress=False)
    assert found.residual is None
    # Sensors of the one field say what the other is: its phase.
    apart = found.errors({k: v[0] for k, v in truth.fields.items()})
    assert apart["v"] < 0.5
    assert "PDE error" not in repr(found)
    summary = keep(found, tmp_path)
    assert "residual" not in summary
    assert read_solution(tmp_path / "solution.h5").residual is None


@pytest.mark.parametrize("solver", ["hybrid", "data-space", "classical", "exact",
                                    "ensemble-kalman", "level-set"])  # fmt: skip
def test_solvers_of_an_equation_refuse(given, solver):
    _, run, _ = given
    seen = place(held_out_truth(run.data[1]), run.pde, "u", 0.2)
    with pytest.raises(UsageError, match=r"equation|input|law") as refused:
        run.solve("reconstruct", seen, solver, 2, progress=False)
    assert "\n" not in str(refused.value)


def test_commands_that_need_an_equation_refuse_in_a_line(given, tmp_path):
    path, run, _ = given
    for words in (
        ["sample", run.path, "--correct"], ["sample", run.path, "--project"],
        ["sample", run.path, "--refine", "2"], ["check", path, "--pde", "no-equation"],
        ["verify", "no-equation"], ["simulate", "no-equation", "--count", "2"],
        ["distill", "--fields", "u,v"], ["distill", "--data", path],
        ["distill", "--pde", "poisson", "--fields", "u", "--data", path],
    ):  # fmt: skip
        found = invoke(*words)
        assert found.exit_code != 0, words
        assert found.exception is None or not isinstance(found.exception, AssertionError)
        assert "Traceback" not in found.output
    with pytest.raises(UsageError, match="a correction takes an equation"):
        run.correct(run.sample(1))
    with pytest.raises(UsageError, match="a PDE error takes an equation"):
        run.pde_error(run.sample(1))


def test_samples_and_problems_are_made(given, tmp_path):
    _, run, _ = given
    out = tmp_path / "s.h5"
    assert invoke("sample", run.path, "-n", 2, "--out", out, "--figure").exit_code == 0
    assert dataset.read(out).fields["v"].shape == (2, 16, 20)
    assert invoke("evaluate", run.path).exit_code == 0
    found = invoke("observe", "--run", run.path, "--fields", "u", "--out", tmp_path / "o.csv",
                   "--truth", tmp_path / "t.h5")  # fmt: skip
    assert found.exit_code == 0, found.output
    answer = invoke("solve", "reconstruct", run.path, "--observations", tmp_path / "o.csv",
                    "--truth", tmp_path / "t.h5", "--samples", 2, "--solver", "gaussian",
                    "--out", tmp_path / "answer")  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert not [word for word in PHYSICS if word in answer.output]


def test_where_nothing_is_said_names_values_and_seams_decide(tmp_path):
    phi, f = layouts.sine_pairs(4, layouts.vertices(16), layouts.vertices(20))
    np.savez(tmp_path / "walls.npz", load=f, phi=phi, x=layouts.centres(16) - 1)
    found = suggestion(tmp_path / "walls.npz", no_equation(["phi", "load"]))
    x, y = (found.map.axes[k] for k in "xy")
    assert x.coordinates == "x"
    assert (y.lower, y.upper, y.location) == (0, 1, "vertex")  # sines have a kink at the seam
    assert "y goes from 0 to 1" in found.assumed
    u = waves(4)["u"]
    np.savez(tmp_path / "ring.npz", u=np.concatenate([u, u[:, :1]], 1))
    x, y = suggestion(tmp_path / "ring.npz", no_equation(["u"])).map.axes.values()
    assert (x.location, x.closed, y.location, y.closed) == ("periodic", True, "periodic", False)
    t, x = np.linspace(0, 2, 9), layouts.centres(24)
    np.savez(tmp_path / "line.npz", tensor=layouts.hopf_cole(3, t, x, 0.03), t=t, x=x)
    axes = suggestion(tmp_path / "line.npz", no_equation(["tensor"])).map.axes
    assert (axes["t"].coordinates, axes["x"].location) == ("t", "periodic")


def test_a_field_that_is_not_there_is_named_with_those_that_are(tmp_path):
    np.savez(tmp_path / "w.npz", **waves(4))
    with pytest.raises(UsageError, match=r"has no array 'w'.*it has u \(4, 16, 20\)"):
        piddm.import_data(tmp_path / "w.npz", None, tmp_path / "o.h5", fields="u,w", progress=False)
    assert not (tmp_path / "o.h5").exists()


def test_fields_of_an_equations_own_data_are_learnt_from_without_it(tmp_path):
    made = piddm.make_dataset("poisson", 3, size=8, progress=False)
    dataset.write(made, tmp_path / "p.h5")
    piddm.import_data(tmp_path / "p.h5", None, tmp_path / "o.h5", fields="u", progress=False)
    plain = dataset.read(tmp_path / "o.h5")
    assert (plain.pde, sorted(plain.fields), plain.floor) == ("no-equation", ["u"], {})
    assert torch.equal(plain.fields["u"], made.fields["u"])


def test_without_a_run_the_datas_own_law_answers(tmp_path):
    np.savez(tmp_path / "w.npz", **waves(60))
    piddm.import_data(tmp_path / "w.npz", None, tmp_path / "o.h5", fields="u,v", progress=False)
    data = dataset.read(tmp_path / "o.h5")
    truth = held_out_truth(data, 3)
    seen = place(truth, no_equation(["u", "v"], data.grid), "u", 0.2)
    found = piddm.solve("no-equation", "reconstruct", seen, samples=4, data=data, progress=False)
    assert found.solver == "gaussian"
    assert found.errors({"v": truth.fields["v"][0]})["v"] < 0.5
