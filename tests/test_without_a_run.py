"""Answers from an equation alone: no run, no network, the solver chosen by what the equation is."""

import dataclasses
import json

import pytest
import torch
from typer.testing import CliRunner

import piddm
from piddm.cli.app import app
from piddm.runs.asking import equation_model
from piddm.solvers._choice import choose
from piddm.tasks.ensemble import answer
from piddm.tasks.equation_model import EquationModel
from piddm.tasks.nearest import MemberProjection
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask
from piddm.tools.errors import UsageError


def problem(name, size, seen, kind="reconstruct", share=0.2):
    pde = piddm.get_pde(name)
    grid = pde.grid.resized(size)
    truth = draw_truth(pde, grid, 2)
    observed = place(truth, pde, seen, share, 0.0 if kind == "forward" else 0.02, seed=1)
    model = EquationModel(pde, piddm.make_dataset(pde, 4, size=size, progress=False))
    return model, ask(kind, pde, observed), truth


@pytest.mark.parametrize(
    ("name", "size", "seen", "kind", "share", "solver", "why"),
    [
        ("poisson", 12, "u", "inverse", 0.2, "exact", "linear and its inputs Gaussian"),
        ("poisson", 12, "a", "forward", 1.0, "classical", "one solve"),
        ("burgers", 16, "u", "reconstruct", 0.2, "classical", "not linear"),
        ("darcy", 12, "u", "inverse", 0.2, "level-set", "jumps"),
        ("sphere-poisson", 8, "u", "reconstruct", 0.2, "data-space", "sphere"),
    ],
)
def test_the_solver_is_chosen_by_what_the_equation_is(name, size, seen, kind, share, solver, why):
    model, task, _ = problem(name, size, seen, kind, share)
    chosen, said = choose(model, task, trained=False)
    assert chosen == solver
    assert why in said
    assert "\n" not in said


def test_a_student_is_chosen_where_a_law_jumps():
    model, task, _ = problem("darcy", 12, "u", "inverse")
    assert choose(model, task, trained=True)[0] == "hybrid"


def test_a_medium_that_alone_was_seen_is_drawn_by_its_law_though_there_is_a_student():
    model, task, _ = problem("darcy", 12, "a", share=0.2)
    assert choose(model, task, trained=True)[0] == "level-set"


def test_an_equation_answers_without_a_run():
    _model, task, truth = problem("poisson", 16, "u", "inverse")
    found = piddm.solve("poisson", "inverse", task.observations, samples=4, progress=False)
    assert found.solver == "exact"
    assert found.grid == truth.grid
    assert found.errors({"u": truth.fields["u"][0]})["u"] < 0.1


def test_what_needs_a_network_says_what_does_not():
    _, task, _ = problem("poisson", 12, "u", "inverse")
    for solver in ("latent", "hybrid", "guided"):
        with pytest.raises(UsageError, match=r"exact, classical.*piddm distill --pde poisson"):
            piddm.solve("poisson", "inverse", task.observations, solver, 2, progress=False)


def test_the_command_line_asks_an_equation_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    made = run.invoke(app, ["observe", "--pde", "poisson", "--size", "16", "--fields", "u",
                            "--share", "0.1", "--noise", "0.02"])  # fmt: skip
    assert made.exit_code == 0, made.output
    asked = ["solve", "inverse", "--pde", "poisson", "--observations", "observations.csv",
             "--truth", "truth.h5", "--samples", "20", "--json"]  # fmt: skip
    found = run.invoke(app, [*asked, "--size", "16"])
    assert found.exit_code == 0, found.output
    summary = json.loads(found.stdout)
    assert summary["solver"] == "exact"
    assert summary["run"] == "poisson"
    assert (tmp_path / "solutions/poisson-inverse-observations-exact-n20-seed0").is_dir()
    assert "linear and its inputs Gaussian" in found.stderr
    few = run.invoke(app, [*asked, "--data", "truth.h5"])
    assert few.exit_code == 2
    assert "at least 2" in few.output
    made = run.invoke(app, ["simulate", "poisson", "--count", "4", "--size", "16",
                            "--out", "data.h5"])  # fmt: skip
    assert made.exit_code == 0, made.output
    alone = run.invoke(app, [*asked, "--data", "data.h5", "--solver", "classical"])
    assert alone.exit_code == 0, alone.output
    bad = run.invoke(app, ["solve", "inverse", str(tmp_path), "--size", "16", "--observations",
                           "observations.csv"])  # fmt: skip
    assert bad.exit_code != 0


def test_the_answer_in_closed_form_is_kept(tmp_path):
    from piddm.tasks.solution_files import read_solution, write_solution

    _, task, _ = problem("poisson", 12, "u", "inverse")
    found = piddm.solve("poisson", "inverse", task.observations, samples=3, progress=False)
    write_solution(found, tmp_path / "solution.h5")
    again = read_solution(tmp_path / "solution.h5")
    assert found.law is not None
    assert again.law is not None
    for k in found.fields:
        assert again.mean[k].equal(found.mean[k])
        assert again.std[k].equal(found.std[k])
        assert again.quantile(0.95)[k].equal(found.quantile(0.95)[k])
    assert float((found.fields["a"].mean(0) - found.mean["a"]).abs().max()) > 1e-3


@pytest.mark.parametrize("solver", ["level-set", "ensemble-kalman"])
def test_a_medium_of_phases_is_found_without_a_network(solver):
    """Against the law's own mean, which knows half of the nodes; members have the two phases."""
    model, task, truth = problem("darcy", 16, "u", "inverse", share=0.15)
    settings = {"steps": 8} if solver == "level-set" else {"ensemble": 100}
    found = answer(model, task, solver, 8, settings=settings, progress=False)
    a = truth.fields["a"][0]
    wrong = float(((found.mean["a"] > 7.5) != (a > 7.5)).double().mean())
    assert wrong < 0.2
    assert set(found.fields["a"].unique().tolist()) == {3.0, 12.0}
    assert float(found.residual.max()) < 1e-20
    # 1 is the law of noise; 38 observations have a deviation of 0.23 of it.
    assert 0.7 < float(found.misfit.mean()) < 1.3
    assert not found.doubt


def test_ensemble_kalman_is_gaussian_conditioning_where_that_is_exact():
    """A linear equation, many members: mean and deviation of the closed form."""
    model, task, _ = problem("poisson", 9, "u", "inverse", share=0.1)
    exact = answer(model, task, "exact", 2, progress=False)
    found = answer(
        model, task, "ensemble-kalman", 1500, settings={"ensemble": 1500}, batch=1500,
        progress=False,
    )  # fmt: skip
    away = (found.mean["a"] - exact.mean["a"]).square().mean().sqrt()
    assert float(away) < 0.15 * float(exact.std["a"].mean())  # 1,500 members, damped
    ratio = found.std["a"].mean() / exact.std["a"].mean()
    assert abs(float(ratio) - 1) < 0.08


def test_an_equation_that_bends_leaves_ensemble_kalman_no_farther_than_noise():
    model, task, _ = problem("darcy-neumann", 14, "p", "inverse")
    # Of half as many, three of 16 members are left at a chi squared of 1.6 to 2.3.
    found = answer(model, task, "ensemble-kalman", 16, settings={"ensemble": 160}, progress=False)
    assert 0.7 < float(found.misfit.mean()) < 1.3


def test_a_weak_generators_members_meet_what_was_observed():
    """Members far from the truth, with an error that is said to be small: chi squared is 1."""
    model, task, _ = problem("poisson", 12, "u", "inverse")
    ((_, law),) = model.pde.inputs.items()
    draw = torch.Generator().manual_seed(4)
    far = {"a": 3 * law.sample(model.data.grid, 6, draw), "u": torch.zeros(6, 12, 12).double()}
    steps = MemberProjection(model, task, 1e-3)(far, draw)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
    sensors = Sensors(task.observations, model.pde.field_names)
    away = ((sensors(found) - sensors.values) / sensors.sigma).square().mean(1)
    # The mean over 6 members of 29 observations has an error of 0.1.
    assert 0.6 < float(away.mean()) < 1.5


def test_a_wrong_sensor_counts_for_little_and_is_named():
    """One of 40 sensors ten of its deviations off: the error is that without it, to a tenth."""
    pde = piddm.get_pde("poisson")
    model = equation_model(pde, 32, progress=False)
    ratios, trusted, named = [], [], 0
    for seed in range(6):
        truth = draw_truth(pde, pde.grid.resized(32), seed)
        seen = place(truth, pde, "u", 40 / 32**2, 0.02, seed=seed)
        values = seen.values["u"].clone()
        values[7] += 10 * seen.sigma["u"][7]
        wrong = dataclasses.replace(seen, values={"u": values})
        kept = torch.arange(len(values)) != 7
        points, rest, sigma = ({"u": p["u"][kept]} for p in (seen.points, seen.values, seen.sigma))
        left = Observations(seen.grid, points, rest, sigma)
        errors = []
        for observed, heavy in ((left, False), (wrong, False), (wrong, True)):
            found = piddm.solve(
                pde, "inverse", observed, "exact", 2, data=model.data, heavy_tails=heavy,
                progress=False,
            )  # fmt: skip
            errors.append(found.errors({"u": truth.fields["u"][0]})["u"])
        named += "observation 8 of u" in found.caution
        ratios.append(errors[2] / errors[0])
        trusted.append(errors[1] / errors[0])
    assert sum(trusted) / 6 > 1.3
    assert sum(ratios) / 6 < 1.1
    assert named >= 5  # one stands by itself: the others do not contradict it
