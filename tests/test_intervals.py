"""Intervals that hold: conformal factors, bands, rank tests, and quantities of an answer."""

import json
import math
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from piddm.cli.app import app
from piddm.metrics.conformal import balanced, exceeded, needed, pointwise, uniform
from piddm.plugins.loader import get_pde
from piddm.runs.asking import equation_model
from piddm.runs.calibrating import LAWS, Question, asked_of, calibrate, calibrated, laws_of
from piddm.runs.interval_factors import Scored, made_of
from piddm.solvers._laws import Laws
from piddm.tasks.derived_quantities import values_of
from piddm.tasks.interval_calibration import (
    Calibration,
    Factors,
    read_calibration,
    write_calibration,
)
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.quantities import quantity
from piddm.tasks.solution_files import read_solution, write_solution
from piddm.tasks.synthetic import drawn_from, shifted
from piddm.tools.errors import PiddmError, UsageError
from returning import finished

DRAW = torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def model():
    return equation_model("poisson", 16, progress=False)


@pytest.fixture(scope="module")
def made(model):
    case = Question("inverse", "u", 0.2, 0.01, solver="gaussian", samples=20)
    return case, finished(calibrate(model, case, 19))


def test_factors_are_quantiles_of_what_is_needed():
    """Of a Gaussian whose deviation is said to be half of what it is: 2 for all levels."""
    truth = torch.randn(50, 2000, generator=DRAW, dtype=torch.float64)
    wide = 1.645 / 2
    factors = [needed(t, *(torch.full_like(t, v) for v in (0.0, -wide, wide)), 0.0) for t in truth]
    assert pointwise(factors, 0.9) == pytest.approx(2.0, rel=0.02)
    inside = [float((f <= pointwise(factors, 0.9)).double().mean()) for f in factors]
    assert sum(inside) / 50 == pytest.approx(0.9, abs=1e-4)
    assert float(needed(truth[0], truth[0], truth[0], truth[0], 0.0).max()) == 0.0


def test_a_new_value_is_below_the_bound_with_the_chance_that_is_said():
    hits = 0
    for _ in range(4000):
        values = torch.randn(20, generator=DRAW).tolist()
        hits += values[0] <= exceeded(values[1:], 0.9)
    assert hits / 4000 == pytest.approx(0.9, abs=0.015)  # three standard errors
    assert exceeded([0.0] * 8, 0.9) == math.inf
    assert exceeded([*range(1, 10)], 0.9) == 9


def test_ranks_that_pile_up_are_told_from_flat_ones():
    flat = torch.randint(0, 33, (200,), generator=DRAW).tolist()
    assert uniform(flat, 32) > 0.01
    assert uniform([r // 2 for r in flat], 32) < 1e-6
    # Of flat ranks the chance itself is flat.
    every = [uniform(torch.randint(0, 21, (60,), generator=DRAW).tolist(), 20) for _ in range(300)]
    assert sum(p < 0.1 for p in every) / 300 == pytest.approx(0.1, abs=0.06)


def test_evidence_is_the_density_of_dense_algebra(model, made):
    case, _ = made
    solution, _ = asked_of(model, case, "same", 3)
    laws = Laws(model.pde, model.residual.grid, LAWS)
    assert laws.names == ["same", "rougher"]  # a source has no contrast
    packing, n = laws._packings["rougher"], packing_size(model)
    eye = torch.eye(n).view(n, packing.channels, *packing.image)
    likelihood = Likelihood.of(solution.task, ("a", "u"), packing)
    none = torch.zeros(1, packing.channels, *packing.image)
    at = likelihood.sensors(packing.relaxed(packing.colour(eye))).double()
    mean = likelihood.sensors(packing.relaxed(none)).double()
    sigma = Likelihood.of(solution.task, ("a", "u"), model.packing).sigma
    root = (at - mean) / sigma
    inner = root.mT @ root + torch.eye(len(sigma))
    away = (likelihood.sensors.values - mean[0]) / sigma
    density = torch.distributions.MultivariateNormal(torch.zeros(len(away)).double(), inner)
    found = laws.evidence(solution.task, model.packing)["rougher"]
    constant = 0.5 * len(away) * math.log(2 * math.pi)
    assert found.logarithm == pytest.approx(float(density.log_prob(away)) + constant, rel=1e-3)
    chi_squared = float(away @ torch.linalg.solve(inner, away)) / len(away)
    assert found.chi_squared == pytest.approx(chi_squared, rel=1e-3)


def test_a_law_is_another_by_as_much_as_is_said():
    (law,) = get_pde("darcy").inputs.values()
    assert shifted(law, "contrast").high == shifted(law, "contrast*2").high == 2 * law.high
    assert shifted(law, "rougher*1.5").underlying.tau == 1.5 * law.underlying.tau


def test_solutions_of_laws_are_simulated_once(model, made, tmp_path, monkeypatch):
    case, _ = made
    solution, _ = asked_of(model, case, "same", 3)
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    grid, names = model.residual.grid, ("same", "rougher")
    first = laws_of(model.pde, grid, names).evidence(solution.task, model.packing)
    with monkeypatch.context() as without:
        without.setattr("piddm.solvers._laws.simulate", None)  # a call of it would fail
        again = laws_of(model.pde, grid, names).evidence(solution.task, model.packing)
    assert again == first
    assert first["same"] != first["rougher"]
    other = drawn_from(model.pde, "rougher")  # its own "same" is not that of the data
    assert laws_of(other, grid, names[:1]).evidence(solution.task, model.packing) != {
        "same": first["same"]
    }
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    assert laws_of(model.pde, grid, names).evidence(solution.task, model.packing) == first


def packing_size(model):
    return model.packing.channels * math.prod(model.packing.image)


def test_calibrated_intervals_hold_and_bands_do(model, made):
    """On the truths that they were made of: 18 of 19 bands, mistaken ones counted."""
    case, calibration = made
    assert calibration.like.truths == 19
    assert list(calibration.unlike) == ["rougher"]
    laws = Laws(model.pde, model.residual.grid, ("same", "rougher"))
    shares, inside = {"a": [], "u": []}, {"a": 0, "u": 0}
    for seed in range(100_000, 100_019):
        solution, truth = asked_of(model, case, "same", seed)
        told = calibrated(model, solution, calibration, "c.json", laws)
        for k, v in told.covered(truth, 0.9).items():
            shares[k].append(v)
        for k, v in told.inside(truth).items():
            inside[k] += v
    for k, own in shares.items():
        assert sum(own) / 19 == pytest.approx(0.9, abs=0.01)
        assert inside[k] == 18


def test_bands_hold_what_they_say_on_the_law_and_off_it(model, made):
    """Truths that need the factor of their law, scores that tell laws nearly: 90 % on the own."""
    draw = torch.Generator().manual_seed(1)
    solution, _ = asked_of(model, made[0], "same", 3)

    def truths(count, mean, size):
        values = torch.randn(count, 2, generator=draw, dtype=torch.float64)
        even = {"u": torch.ones(3, dtype=torch.int64)}
        return [
            Scored(
                {"u": size * v[:1].exp()},
                {"u": 0.9},
                {"rougher": float(mean + v[1])},
                even,
                {"u": 1},
            )
            for v in values
        ]

    held = {"same": [], "rougher": []}
    for _ in range(60):
        found = {"same": truths(99, -1.5, 1.0), "rougher": truths(49, 1.5, 3.0)}
        calibration = made_of(solution, "", found, {}, 0.0, 0.9)
        for law, mean, size in (("same", -1.5, 1.0), ("rougher", 1.5, 3.0)):
            for new in truths(50, mean, size):
                bound = calibration.factor("u", new.scores, joint=True)
                held[law].append(new.worst("u") <= bound)
    share = {k: sum(v) / len(v) for k, v in held.items()}
    assert share["same"] == pytest.approx(0.9, abs=0.02)  # five standard errors of 3000 and splits
    assert share["rougher"] > 0.87


def test_shares_that_a_band_holds_are_those_of_many_calibrations():
    found = Calibration(pde="", task="", solver="", nodes=[], members=1, floor={},
                        like=Factors(truths=39, pointwise={}, joint={}))  # fmt: skip
    low, high = found.shares()
    values = torch.rand(20_000, 39, generator=DRAW, dtype=torch.float64).sort(1).values[:, 35]
    assert low == pytest.approx(float(values.quantile(0.05)), abs=0.005)
    assert high == pytest.approx(float(values.quantile(0.95)), abs=0.005)


def test_a_factor_makes_up_for_truths_that_have_another():
    own = [torch.linspace(0, 1, 101, dtype=torch.float64) for _ in range(8)]
    assert balanced(own, [1.0, 1.0], 0.9) == pytest.approx(0.875, abs=0.006)
    assert balanced(own, [0.5, 0.5], 0.9) == pytest.approx(1.0)
    assert balanced([], [0.5], 0.9) == 1.0


def test_a_question_off_the_law_is_told_and_stretched(model, made):
    case, calibration = made
    laws = Laws(model.pde, model.residual.grid, ("same", "rougher"))
    own = calibration.unlike["rougher"]
    for name in ("a", "u"):
        assert own.joint[name] > calibration.like.joint[name]
    only = calibration.model_copy(update={"like": own, "limits": {}})
    told = 0
    for seed in range(6):
        solution, _ = asked_of(model, case, "rougher", seed)
        found = calibrated(model, solution, calibration, "c.json", laws)
        if calibration.law(found.scores) == "rougher":
            told += 1
            assert "another law (rougher)" in found.caution
            same = calibrated(model, solution, only, "c.json", laws)
            assert found.band()[1]["a"].equal(same.band()[1]["a"])
            assert found.quantile(0.95)["u"].equal(same.quantile(0.95)["u"])
    assert told >= 4


def test_a_question_farther_off_than_all_of_the_calibration_has_no_band(model, made):
    case, calibration = made
    solution, _ = asked_of(model, case, "same", 3)
    seen = solution.task.observations
    moved = replace(seen, values={k: 9 * v for k, v in seen.values.items()})
    task = replace(solution.task, observations=moved)
    far = calibrated(model, replace(solution, task=task), calibration, "c.json")
    assert "there is no band" in far.caution
    low, high = far.band()
    assert bool(low["a"].isinf().all())
    assert bool(high["a"].isinf().all())
    own = calibrated(model, solution, calibration, "c.json")
    wide, usual = (s.quantile(0.95)["a"] - s.quantile(0.05)["a"] for s in (far, own))
    assert float((wide / usual).mean()) > 1.5


def test_a_calibration_and_its_answer_come_back_from_files(model, made, tmp_path):
    case, calibration = made
    path = tmp_path / "c.json"
    write_calibration(calibration, path)
    again = read_calibration(path)
    assert again == calibration
    solution, _ = asked_of(model, case, "same", 4)
    told = calibrated(model, solution, again, str(path))
    write_solution(told, tmp_path / "solution.h5")
    read = read_solution(tmp_path / "solution.h5")
    assert read.quantile(0.95)["a"].equal(told.quantile(0.95)["a"])
    ends, other = told.band(), read.band()
    assert ends is not None
    assert other is not None
    assert ends[1]["u"].equal(other[1]["u"])
    assert bool((ends[1]["a"] >= told.quantile(0.95)["a"]).all())
    path.write_text(path.read_text().replace("gaussian", "gausian"))
    with pytest.raises(PiddmError, match="damaged, or was edited"):
        read_calibration(path)
    for what, other_case in (("task", "reconstruct"), ("solver", "inverse")):
        moved = calibration.model_copy(update={what: other_case})
        with pytest.raises(UsageError, match=f"calibration of the {what}"):
            calibrated(model, solution, moved, "c.json")


def test_too_few_truths_are_refused(model):
    with pytest.raises(UsageError, match="take more"):
        finished(calibrate(model, Question(), 8))


def test_a_flux_has_an_interval_and_balances_the_source(model):
    """Gauss: the flux through all walls is the integral of the source, in every member."""
    case = Question("inverse", "u", 0.3, 0.02, solver="exact", samples=40)
    solution, truth = asked_of(model, case, "same", 5)
    texts = ["integral(D(u,x)) @ x=1", "integral(-D(u,x)) @ x=0", "integral(D(u,y)) @ y=1",
             "integral(-D(u,y)) @ y=0", "integral(a)"]  # fmt: skip
    asked = [quantity(t, model.pde, solution.grid) for t in texts]
    found = values_of(solution, asked, model.pde, truth)
    fluxes = [found[q.title]["mean"] for q in asked]
    # One-sided differences of second order on ten nodes.
    assert sum(fluxes[:4]) == pytest.approx(fluxes[4], abs=0.15 * max(map(abs, fluxes)))
    for own in found.values():
        low, high = own["interval"]
        assert low <= own["mean"] <= high
        assert low - own["deviation"] <= own["truth"] <= high + own["deviation"]


def test_the_shell_calibrates_and_applies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    made = run.invoke(app, ["calibrate", "inverse", "--pde", "poisson", "--size", "8", "--fields",
                            "u", "--share", "0.2", "--noise", "0.02", "--samples", "10",
                            "--truths", "9", "--json"])  # fmt: skip
    assert made.exit_code == 0, made.output
    said = json.loads(made.stdout)
    assert said["solver"] == "exact"
    assert (tmp_path / said["figures"][0]).stat().st_size > 0
    seen = run.invoke(app, ["observe", "--pde", "poisson", "--size", "8", "--fields", "u",
                            "--share", "0.2", "--noise", "0.02"])  # fmt: skip
    assert seen.exit_code == 0, seen.output
    found = run.invoke(app, ["solve", "inverse", "--pde", "poisson", "--size", "8",
                             "--observations", "observations.csv", "--truth", "truth.h5",
                             "--samples", "10", "--json", "--out", "answer", "--quantity",
                             "integral(a)", "--calibration", said["out"]])  # fmt: skip
    assert found.exit_code == 0, found.output
    summary = json.loads(found.stdout)
    assert set(summary["in_the_band"]) == {"a", "u"}
    assert summary["quantities"]["integral(a)"]["interval"][0] < summary["quantities"][
        "integral(a)"]["interval"][1]  # fmt: skip
    bad = run.invoke(app, ["solve", "inverse", "--pde", "poisson", "--size", "8", "--observations",
                           "observations.csv", "--quantity", "integral(x)"])  # fmt: skip
    assert bad.exit_code == 2
    assert "no function of the fields" in bad.output


def test_a_shipped_model_is_offered_by_name(model):
    from piddm.runs.asking import models_of

    offered = " or ".join(f"--model {name}" for name in models_of("poisson"))
    case = Question("inverse", "u", 0.3, 0.02, solver="latent")
    with pytest.raises(UsageError, match=f"{offered} or a run"):
        asked_of(model, case, "same", 5)
