"""What the benchmark is asked, as text, and what its tables show."""

import statistics

import pytest

from piddm import UsageError
from piddm.bench.ablations import ABLATIONS, labels_of
from piddm.bench.entries import BASELINE, TRUTH, default_labels, parse, with_baseline
from piddm.bench.report import Bench, cell, markdown
from piddm.bench.results import Result
from piddm.config import PRESETS, changed, resolve
from piddm.metrics.scores import Scores
from piddm.plugins import current


@pytest.mark.parametrize(
    ("label", "word"),
    [
        ("one-stepp", "did you mean 'one-step'"),
        ("one-step:physics_weight", "key=value"),
        ("one-step:Physics=1", "key=value"),
        ("one-step+polish", "+projection"),
        ("one-step+refine=0", "+refine=STEPS"),
        ("flow-matching+refine=3", "+refine=STEPS"),
        ("one-step+grid=9", "+grid=FACTOR"),
        ("one-step+draws=0", "+draws=N"),
        ("truth+draws=2", "truth+grid=FACTOR"),
        ("truth", "truth+grid=FACTOR"),
        ("truth+projection", "truth+grid=FACTOR"),
        ("one-step+grid=2+projection", "comes last"),
    ],
)
def test_what_cannot_be_read_is_refused(label, word):
    with pytest.raises(UsageError, match=word.replace("+", r"\+")):
        parse(label, current())


def test_labels_say_what_is_asked():
    entry = parse("one-step:physics_weight=0,pairs.steps=2+refine=3+projection", current())
    assert entry.overrides() == {
        "student.name": "one-step", "student.physics_weight": 0, "pairs.steps": 2,
    }  # fmt: skip
    assert (entry.kind, entry.refine, entry.projection) == ("student", 3, True)
    assert parse("flow-matching:steps=3", current()).settings == (("steps", 3),)


def test_every_label_that_piddm_asks_for_can_be_read():
    config = resolve("poisson")
    labels = default_labels(current()) + labels_of(["all"])
    assert with_baseline(labels)[:2] == [BASELINE, f"{BASELINE}+projection"]
    for label in with_baseline(labels):
        changed(config, parse(label, current()).overrides())
    for ablation in ABLATIONS.values():
        # An ablation's default is the preset's own: else a curve would lack its point.
        for label in ablation.labels.values():
            if label == TRUTH:
                continue
            entry = parse(label, current())
            if entry.kind == "student" and entry.settings:
                assert changed(config, entry.overrides()) != config
    # What no ablation changes: each names its student, and only a staged one is polished.
    assert PRESETS["default"].keys() == {"packing", "student"}
    assert PRESETS["default"]["student"].keys() == {"name", "polish"}


def scores(error, distance):
    return Scores(
        pde_error=error, pde_error_normalised=error, pde_error_by_row={}, constraint_distance=error,
        mmse=0.1, smse=0.1, energy_distance=distance, nfe=1, seconds_per_sample=0.5, count=8,
        distance_count=8, seed=0,
    )  # fmt: skip


def test_tables_show_mean_error_best_and_failures():
    def made(method, errors, **more):
        return [
            Result(pde="heat", seed=i, method=method, mark="", scores=scores(e, 0.5), **more)
            for i, e in enumerate(errors)
        ]

    lost = Result(pde="heat", seed=0, method="lost", mark="", status="failed", reason="it diverged")
    every_ = [*made("truth", [1e-9]), *made("a", [1.0, 1.2, 1.4]), *made("b", [3.0, 3.1, 3.2]),
              *made("c", [3.0, 3.3, 3.0]), lost]  # fmt: skip
    bench = Bench(machine={}, config=resolve("heat"), seconds=1.0, results=every_)
    a = cell(bench.of("heat", "a"), "pde_error_normalised")
    assert a.mean == pytest.approx(1.2)
    assert a.error == pytest.approx(statistics.stdev([1.0, 1.2, 1.4]) / 3**0.5)
    page = markdown(bench)
    assert "**1.2 ± 0.115**" in page
    lucky = bench.model_copy(update={"results": [*every_, *made("d", [0.5])]})
    assert lucky.complete("heat") == ["a", "b", "c"]
    assert "| `d` | 1 | 0.5 |" in markdown(lucky)  # shown, but its mean is over other seeds
    assert "**1.2 ± 0.115**" in markdown(lucky)
    some = lucky.common("heat", ["a", "d"])
    assert {(r.method, r.seed) for r in some.results} == {("a", 0), ("d", 0)}
    assert not lucky.common("heat", ["lost"]).results
    assert page.count("*3.1 ±") == 0  # b and c differ by less than their errors
    assert "failed: it diverged" in page
    assert "1.0e-09" in page


def test_no_pde_error_below_the_truth_s_own_is_better():
    """Of data that satisfy the equation only nearly, 0.02 is not better than 0.1, nor than 0.2."""

    def made(method, errors):
        return [Result(pde="heat", seed=i, method=method, mark="", scores=scores(e, 0.5))
                for i, e in enumerate(errors)]  # fmt: skip

    some = [*made("a", [0.02, 0.021, 0.022]), *made("b", [0.1, 0.101, 0.102]),
            *made("c", [3.0, 3.1, 3.2])]  # fmt: skip
    truth = made("truth", [0.2, 0.2, 0.2])
    own = {
        name: markdown(Bench(machine={}, config=resolve("heat"), seconds=1.0, results=[*t, *some]))
        for name, t in {"nearly": truth, "exact": made("truth", [1e-9] * 3)}.items()
    }
    assert "**0.021" in own["exact"]
    assert "**0.021" not in own["nearly"]
    assert "0.021" in own["nearly"]
