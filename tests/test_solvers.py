"""What holds for every registered solver; and the Gaussian one against the closed form."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from piddm import Axis, Grid, PiddmError, UsageError, distill, load_run, plugins
from piddm.cli.app import app
from piddm.packing import Packing
from piddm.settings import known
from piddm.solvers.gaussian import GaussianSolver
from piddm.tasks.answering import Answering
from piddm.tasks.asking import ask
from piddm.tasks.keeping import keep, read_solution
from piddm.tasks.observations import Observations
from piddm.tasks.placing import draw_truth, place
from piddm.tasks.sensors import Sensors

SOLVERS = [e.name for e in plugins.current().list_all("solver")]

FEW = {"rounds": 2, "search": 2, "steps": 4, "leapfrog": 2}
"""Settings that make a solver quick, where it has them."""

SMALL = {
    "data.size": 16, "data.train": 12, "data.held_out": 8, "network.widths": [8],
    "teacher.steps": 2, "teacher.batch": 4, "pairs.count": 8, "pairs.steps": 1,
    "student.steps": 2, "student.batch": 4, "student.physics_batch": 2,
    "evaluation.count": 8, "evaluation.distance_count": 2,
}  # fmt: skip

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


@pytest.mark.parametrize("solver", SOLVERS)
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


@pytest.mark.parametrize("solver", SOLVERS)
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


@pytest.mark.parametrize("between", [False, True], ids=["nodes", "between"])
def test_gaussian_members_have_the_closed_form_posterior(between):
    """Principal components and product modes that do not commute, so that S is not symmetric."""
    grid, draw = Grid(x=Axis(0, 1, 4), y=Axis(0, 1, 5, periodic=True)), torch.Generator()
    root = torch.randn(40, 40, generator=draw.manual_seed(0)).double() / 40**0.5
    data = 3 + torch.randn(400, 40, generator=draw.manual_seed(1)).double() @ root
    packing = Packing(grid, ("a", "u"), 3)
    data = data * torch.tensor([1.0, 20.0]).repeat_interleave(20)
    packing.fit({"a": data[:, :20].view(-1, 4, 5), "u": data[:, 20:].view(-1, 4, 5)})
    with torch.no_grad():  # data of full rank would have no components
        packing.components.copy_(torch.linalg.qr(torch.randn(40, 3, generator=draw))[0].mT)
        packing.strengths.copy_(torch.tensor([3.0, 2.0, 1.5]))
        uneven = torch.linspace(0.1, 2.0, 40)[torch.randperm(40, generator=draw)]
        packing.spectrum.copy_(uneven.view(2, 4, 5))
    pde = SimpleNamespace(field_names=("a", "u"))
    run = SimpleNamespace(packing=packing, pde=pde)
    points = torch.tensor([[0.1, 0.3], [0.5, 0.9], [0.9, 0.5]]).double()
    if not between:
        points = (points * torch.tensor([3.0, 5.0])).round() / torch.tensor([3.0, 5.0])
    seen = Observations.at_points(grid, {"a": points[:2], "u": points}, {
        "a": torch.tensor([5.0, 2.0]), "u": torch.tensor([10.0, 60.0, 90.0]),
    }, {"a": torch.tensor([0.1, 0.2]), "u": torch.tensor([4.0, 1.0, 2.0])})  # fmt: skip
    task, count = SimpleNamespace(observations=seen, interpolation="linear"), 4000
    steps = GaussianSolver(run).solve(task, count, torch.Generator().manual_seed(4))
    next(steps)
    with pytest.raises(StopIteration) as end:
        next(steps)
    members = torch.cat([end.value.value.fields[k].flatten(1) for k in ("a", "u")], 1).double()

    eye = torch.eye(40).view(40, 2, 4, 5)

    def physical(x):
        return torch.cat([v.flatten(1) for v in packing.unpack(x).values()], 1).double()

    mean = physical(torch.zeros(1, 2, 4, 5))[0]
    colour = (physical(packing.colour(eye)) - mean).mT  # S, in the fields' units
    whole = torch.eye(40).double()
    h = Sensors(seen, ("a", "u"))({"a": whole[:, :20].view(-1, 4, 5),
                                   "u": whole[:, 20:].view(-1, 4, 5)}).mT  # fmt: skip
    scaled = colour / packing.scale.double().flatten().repeat_interleave(20)[:, None]
    assert float((scaled - scaled.mT).abs().max()) > 0.1
    prior, sensors = colour @ colour.mT, Sensors(seen, ("a", "u"))
    gain = prior @ h.mT @ torch.linalg.inv(h @ prior @ h.mT + sensors.sigma.square().diag())
    wanted = mean + gain @ (sensors.values - h @ mean)
    covariance = prior - gain @ h @ prior
    deviation = covariance.diagonal().clamp_min(1e-12).sqrt()
    away = (members.mean(0) - wanted) / deviation
    assert float(away.abs().max()) < 5 / math.sqrt(count)
    difference = (torch.cov(members.mT) - covariance) / deviation / deviation[:, None]
    assert float(difference.abs().max()) < 5 * math.sqrt(2 / count)
    assert float(deviation.square().sum()) < 0.97 * float(prior.trace())  # the data tell


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
    # The last step of hybrid is this one, and comes once.
    assert torch.equal(answered(tiny_run, seen, "hybrid").fields["u"],
                       answered(tiny_run, seen, "latent", project=True).fields["u"])  # fmt: skip
    assert torch.equal(answered(tiny_run, seen, "hybrid").fields["u"],
                       answered(tiny_run, seen, "hybrid", project=True).fields["u"])  # fmt: skip


def test_progress_of_a_projection_counts_members(tiny_run, problem):
    task = ask("reconstruct", tiny_run.pde, problem[1])
    steps = list(Answering(tiny_run, task, "gaussian", 20, batch=12, project=True).work())
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
            assert chi == pytest.approx(float(found.misfit.min()) * 3, rel=1e-3)
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

        monkeypatch.setattr("piddm.api.follow", follow)
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

    monkeypatch.setattr("piddm.tasks.finishing.TOGETHER", 2)
    whole = answered(tiny_run, problem[1], solver, project=True)
    monkeypatch.setattr("piddm.api.follow", follow)
    found = answered(tiny_run, problem[1], solver, project=True)
    assert (len(found), found.unfinished, found.projected) == (3, 3, 2)
    assert torch.equal(found.fields["u"][:2], whole.fields["u"][:2])
    assert not torch.equal(found.fields["u"][2:], whole.fields["u"][2:])


def test_a_solver_that_has_nothing_yet_lets_the_interruption_go_on(tiny_run, problem, monkeypatch):
    def follow(steps, quiet):
        raise KeyboardInterrupt

    monkeypatch.setattr("piddm.api.follow", follow)
    with pytest.raises(KeyboardInterrupt):
        answered(tiny_run, problem[1], "latent")


def test_the_command_writes_what_an_interrupted_search_has(
    tiny_run, problem, monkeypatch, tmp_path
):
    from piddm.solvers import search
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
    run = distill("heat", preset="quick", overrides=SMALL, progress=False)
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
