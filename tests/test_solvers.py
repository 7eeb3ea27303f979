"""What holds for every registered solver; and the Gaussian one against the closed form."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from piddm import PiddmError, UsageError, distill, load_run, plugins
from piddm.cli.app import app
from piddm.numerics.derived_solver import DerivedSolver
from piddm.tasks.ensemble import EnsembleSampler
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors
from piddm.tasks.solution_files import keep, read_solution
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask
from piddm.tools.settings import known
from tiny import tiny

SOLVERS = [e.name for e in plugins.current().list_all("solver")]

FEW = {"rounds": 2, "search": 2, "steps": 4, "leapfrog": 2, "ensemble": 12}
"""Settings that make a solver quick, where it has them."""

TRAINING = {"data.train": 12, "network.widths": [8], "teacher.steps": 2, "student.steps": 2}

PAGE = Path(__file__).parents[1] / "docs" / "answers.md"


def few(solver):
    return {k: v for k, v in FEW.items() if k in known(plugins.current().get("solver", solver))}


@pytest.fixture(scope="module")
def problem(tiny_run):
    """Return a truth of the tiny run's equation, and noisy sensors between nodes."""
    truth = draw_truth(tiny_run.pde, tiny_run.residual.grid, 2)
    return truth, place(truth, tiny_run.pde, "u", 0.1, 0.05, between=True, seed=1)


def answered(run, observations, solver, samples=3, task="reconstruct", **more):
    return run.solve(task, observations, solver, samples, settings=few(solver), progress=False,
                     **more)  # fmt: skip


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", ["forward", "inverse", "reconstruct"])
def test_every_solver_answers_every_task_or_says_why_not(tiny_run, problem, solver, task):
    truth, seen = problem
    if task != "reconstruct":
        mask = torch.zeros(16, 16, dtype=torch.bool)
        mask[0 if task == "forward" else slice(4, None)] = True
        seen = Observations.at_nodes(truth.grid, {"u": truth.fields["u"][0]}, {"u": mask})
    try:
        found = answered(tiny_run, seen, solver, task=task)
    except UsageError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "\n" not in refusal
        return
    assert found.fields["u"].shape == (3, 16, 16)
    assert bool(found.fields["u"].isfinite().all())
    assert found.solver == solver
    again = answered(tiny_run, seen, solver, task=task)
    assert torch.equal(again.fields["u"], found.fields["u"])
    if solver in ("hybrid", "classical"):
        assert float(found.residual.max()) < 1e-12
        assert found.projected == 3


# Burgers is not linear, and no law of it jumps.
@pytest.mark.parametrize("solver", sorted({*SOLVERS} - {"exact", "level-set"}))
def test_sensors_at_nodes_are_a_mask(tiny_run, problem, solver):
    """The same places as points, in another order, give the same answer but for rounding."""
    truth, _ = problem
    mask = torch.rand(16, 16, generator=torch.Generator().manual_seed(3)) < 0.1
    value = truth.fields["u"][0]
    masked = Observations.at_nodes(truth.grid, {"u": value}, {"u": mask}, 0.05)
    axes = [torch.from_numpy(a.coordinates()) for a in truth.grid.axes.values()]
    points = torch.stack([a[i] for a, i in zip(axes, mask.nonzero(as_tuple=True), strict=True)], 1)
    pointed = Observations.at_points(truth.grid, {"u": points}, {"u": value[mask]}, 0.05)
    one, two = (answered(tiny_run, seen, solver) for seen in (masked, pointed))
    assert torch.equal(one.fields["u"], two.fields["u"])


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_has_its_line_in_the_documentation(solver):
    assert re.search(rf"^\| `{re.escape(solver)}` \|", PAGE.read_text(encoding="utf-8"), re.M)


# The Gaussian solver.


@pytest.mark.parametrize("solver", sorted({*SOLVERS} - {"exact", "level-set"}))
def test_a_run_without_a_student_serves_those_who_need_none(tiny_run, problem, tmp_path, solver):
    copied = shutil.copytree(tiny_run.path, tmp_path / "run")
    for name in ("student.safetensors", "metrics.json", "samples.h5"):
        (copied / name).unlink()
    run = load_run(copied)
    if solver in ("latent", "hybrid", "hamiltonian"):
        with pytest.raises(PiddmError, match="no student yet"):
            answered(run, problem[1], solver)
    else:
        assert len(answered(run, problem[1], solver)) == 3
    with pytest.raises(PiddmError, match="no student yet"):  # whose error weighs what is projected
        answered(run, problem[1], "gaussian", project=True)


def test_gaussian_refuses_more_observations_than_its_matrix_takes(tiny_run, problem, monkeypatch):
    monkeypatch.setattr("piddm.solvers.gaussian.MOST", 5)
    with pytest.raises(UsageError, match="at most 5 observations"):
        answered(tiny_run, problem[1], "gaussian")


# Ending on the equation.


def test_projected_members_satisfy_the_equation(tiny_run, problem):
    _, seen = problem
    plain, ended = (answered(tiny_run, seen, "gaussian", project=p) for p in (False, True))
    assert plain.projected is None
    assert float(plain.residual.min()) > 1e-6
    assert ended.projected == 3
    assert float(ended.residual.max()) < 1e-12
    assert float(ended.misfit.mean()) < float(plain.misfit.mean()) + 1
    # The last step of hybrid is this one, and comes once; its members are not corrected before.
    found = tiny_run.solve("reconstruct", seen, "latent", 3, project=True, progress=False,
                           settings={**few("latent"), "correct": False})  # fmt: skip
    assert torch.equal(answered(tiny_run, seen, "hybrid").fields["u"], found.fields["u"])
    assert torch.equal(answered(tiny_run, seen, "hybrid").fields["u"],
                       answered(tiny_run, seen, "hybrid", project=True).fields["u"])  # fmt: skip


def test_progress_of_a_projection_counts_members(tiny_run, problem):
    task = ask("reconstruct", tiny_run.pde, problem[1])
    steps = list(EnsembleSampler(tiny_run, task, "gaussian", 20, batch=12, project=True).work())
    assert [(s.stage, s.done, s.total) for s in steps if s.stage == "project"] == [
        ("project", 8, 20), ("project", 12, 20), ("project", 12, 20),
        ("project", 20, 20), ("project", 20, 20),
    ]  # fmt: skip


def test_the_command_projects(tiny_run, problem, tmp_path):
    from piddm.tasks.csv_files import write_csv

    write_csv(problem[1], tmp_path / "seen.csv")
    words = ["solve", "reconstruct", tiny_run.path, "--observations", tmp_path / "seen.csv",
             "--solver", "gaussian", "--samples", 2, "--project", "--json"]  # fmt: skip
    result = CliRunner().invoke(app, [str(w) for w in words])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["projected"] == 2
    assert "gaussian-projected" in summary["out"]
    assert "project" in result.stderr


@pytest.mark.parametrize("solver", ["gaussian", "hybrid"])
def test_contradictory_observations_are_doubted(tiny_run, problem, solver):
    """Two sensors a millionth apart that differ by a deviation; a hundredth is their sigma."""
    truth, _ = problem
    size = float(truth.fields["u"].std())
    points = torch.tensor([[0.2, 0.3], [0.2, 0.300001], [0.7, 0.6]]).double()
    at = Observations.at_points(truth.grid, {"u": points}, {"u": torch.zeros(3)})
    exact = Sensors(at, ("u",))({"u": truth.fields["u"].double()})[0]
    for wrong in (0.0, size):
        values = exact + wrong * torch.tensor([0.0, 1.0, 0.0])
        seen = Observations.at_points(truth.grid, {"u": points}, {"u": values}, 0.01 * size)
        found = answered(tiny_run, seen, solver, project=True)
        if wrong:
            assert "chi squared" in found.doubt
            chi = float(found.doubt.split(" is ")[1].split(" for ")[0])
            assert chi == pytest.approx(float(found.misfit.mean()) * 3, rel=1e-3)
            assert chi > 2000  # half a deviation each, fifty sigma
        else:
            assert not found.doubt
        one = {"u": torch.tensor([0.01 * size, 0.01 * size, 0.0]).double()}  # the last is exact
        mixed = Observations.at_points(truth.grid, {"u": points}, {"u": values}, one)
        found = answered(tiny_run, mixed, solver, project=True)
        assert ("for 2 observations with noise" in found.doubt) == bool(wrong)
        exactly = Observations.at_points(truth.grid, {"u": points}, {"u": values}, 0.0)
        found = answered(tiny_run, exactly, solver, project=True)
        assert ("no member that satisfies the equation" in found.doubt) == bool(wrong)


@pytest.mark.parametrize("solver", SOLVERS)
def test_consistent_sensors_are_met_or_the_solver_says_that_it_is_not_done(
    tiny_run, problem, solver
):
    """A student that has learnt nothing, and sensors of a truth with the noise that is said."""
    if solver in ("exact", "level-set"):  # Burgers is not linear, and no law of it jumps
        with pytest.raises(UsageError, match="; take "):  # what can, in the same line
            answered(tiny_run, problem[1], solver)
        return
    found = answered(tiny_run, problem[1], solver)
    if not found.doubt:
        assert float(found.misfit.mean()) == pytest.approx(1.0, abs=0.4)  # of 26, or more told
        return
    assert f"{solver} is not done" in found.doubt
    for blame in ("contradict", "too small", "may be wrong", "or a sensor is wrong"):
        assert blame not in found.doubt


# Interruptions.


@pytest.mark.parametrize("solver", ["latent", "hybrid", "hamiltonian", "data-space", "classical"])
def test_an_interruption_in_the_only_batch_keeps_what_the_solver_has(
    tiny_run, problem, solver, monkeypatch, tmp_path
):
    """After three steps of the second batch: its members are there, and no batch is twice."""
    _, seen = problem

    def interrupted(batches):
        def follow(steps, quiet):
            left = 3
            for now in steps:
                left -= now.done > now.total * (batches - 1) // 2
                if not left:
                    raise KeyboardInterrupt

        monkeypatch.setattr("piddm.tasks.ensemble.follow", follow)
        found = answered(tiny_run, seen, solver, 4, batch=2 if batches == 2 else 4)
        monkeypatch.undo()
        return found

    found = interrupted(1)
    assert (len(found), found.asked, found.unfinished) == (4, 4, 4)
    assert bool(found.fields["u"].isfinite().all())
    whole = answered(tiny_run, seen, solver, 4)
    assert whole.unfinished == 0
    if solver != "classical":  # which may be done by then
        assert not torch.equal(whole.fields["u"], found.fields["u"])
    keep(found, tmp_path)
    assert read_solution(tmp_path / "solution.h5").summary() == found.summary()
    assert found.summary()["unfinished"] == 4
    both = interrupted(2)
    first = answered(tiny_run, seen, solver, 2, batch=2)
    assert (len(both), both.unfinished) == (4, 2)
    assert torch.equal(both.fields["u"][:2], first.fields["u"])
    assert not torch.equal(both.fields["u"][2:], first.fields["u"])


@pytest.mark.parametrize("solver", ["hybrid", "gaussian"])
def test_an_interruption_of_the_projection_keeps_what_is_there(
    tiny_run, problem, solver, monkeypatch
):
    """Of three members two are at their nearest fields; the last is as the solver left it."""

    def follow(steps, quiet):
        for now in steps:
            if now.stage == "project" and now.done == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr("piddm.tasks.nearest.TOGETHER", 2)
    whole = answered(tiny_run, problem[1], solver, project=True)
    monkeypatch.setattr("piddm.tasks.ensemble.follow", follow)
    found = answered(tiny_run, problem[1], solver, project=True)
    assert (len(found), found.unfinished, found.projected) == (3, 3, 2)
    assert torch.equal(found.fields["u"][:2], whole.fields["u"][:2])
    assert not torch.equal(found.fields["u"][2:], whole.fields["u"][2:])


def test_a_solver_that_has_nothing_yet_lets_the_interruption_go_on(tiny_run, problem, monkeypatch):
    def follow(steps, quiet):
        raise KeyboardInterrupt

    monkeypatch.setattr("piddm.tasks.ensemble.follow", follow)
    with pytest.raises(KeyboardInterrupt):
        answered(tiny_run, problem[1], "latent")


def test_the_command_writes_what_an_interrupted_search_has(
    tiny_run, problem, monkeypatch, tmp_path
):
    from piddm.solvers import _search as search
    from piddm.tasks.csv_files import write_csv

    whole = search.minimise

    def minimise(function, start, steps, condition):
        for k, state in enumerate(whole(function, start, steps, condition)):
            if k == 2:
                raise KeyboardInterrupt  # as Ctrl-C does in the midst of a step
            yield state

    monkeypatch.setattr(search, "minimise", minimise)
    write_csv(problem[1], tmp_path / "seen.csv")
    words = ["solve", "reconstruct", tiny_run.path, "--observations", tmp_path / "seen.csv",
             "--samples", 3, "--set", "rounds=2", "--set", "steps=4",
             "--project", "--out", tmp_path / "out"]  # fmt: skip
    result = CliRunner().invoke(app, [str(w) for w in words])
    assert result.exit_code == 130, result.output
    assert "interrupted: kept 3 of 3 members, 3 of them unfinished" in result.stderr
    assert "Traceback" not in result.output
    assert "too far" not in result.stderr
    found = read_solution(tmp_path / "out" / "solution.h5")
    assert (len(found), found.unfinished, found.projected) == (3, 3, 0)


def test_an_error_against_nothing_is_absolute(tiny_run, problem):
    truth, seen = problem
    answer = answered(tiny_run, seen, "gaussian")
    ones = torch.ones(truth.grid.shape, dtype=torch.float64)
    answer = dataclasses.replace(answer, fields={"u": torch.stack([2 * ones, 4 * ones])})
    assert answer.errors({"u": 0 * ones}) == {"u": pytest.approx(3.0)}
    assert answer.errors({"u": 2 * ones}) == {"u": pytest.approx(0.5)}


def test_a_free_param_is_in_the_answer(tmp_path, monkeypatch):
    """Fields alone come from the student: the param is what fits each member best, or is known."""
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    run = distill("heat", preset="quick", overrides=tiny(TRAINING), progress=False)
    truth = draw_truth(run.pde, run.residual.grid, seed=3)
    values = {"u": truth.fields["u"][0]}
    seen = Observations.at_nodes(run.residual.grid, values)
    found = run.solve("reconstruct", seen, "gaussian", 3, project=True, progress=False)
    assert found.fields["nu"].shape == (3,)
    assert found.errors({"nu": truth.fields["nu"][0]})["nu"] < 1e-3
    plain = run.solve("reconstruct", seen, "gaussian", 3, progress=False)
    assert set(plain.fields) == {"u", "nu"}
    known = dataclasses.replace(seen, params={"nu": float(truth.fields["nu"][0])})
    given = run.solve("reconstruct", known, "gaussian", 2, progress=False)
    assert set(given.fields) == {"u"}
    told = given.summary({k: v[0] for k, v in truth.fields.items()})  # of nu there is no answer
    assert set(told["relative_l2"]) == {"u"}


def test_ensemble_kalman_moves_a_students_noise(tiny_run, problem):
    """Inputs are the student's, solutions the solver's; against the student's own draws, solved."""
    truth, observed = problem
    settings = {"student": True, "ensemble": 60}
    found = tiny_run.solve(
        "reconstruct", observed, "ensemble-kalman", 20, settings=settings, progress=False
    )
    assert float(found.residual.max()) < 1e-18
    given = next(iter(tiny_run.pde.inputs))
    packing = tiny_run.packing
    noise = torch.randn(20, packing.channels, *packing.image)
    first = packing.unpack(tiny_run.student(noise))["u"][:, 0].double()
    drawn = DerivedSolver(tiny_run.pde, tiny_run.residual.grid, [given]).solve({given: first})
    away = Likelihood.of(found.task, ("u",), packing).misfit(drawn).square().mean()
    assert float(found.misfit.mean()) < 0.5 * float(away)
    assert truth.fields["u"].shape[1:] == found.fields["u"].shape[1:]
