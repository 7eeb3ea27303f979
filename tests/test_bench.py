"""The benchmark: what it asks, that failures stay their own, that nothing finished is lost."""

import json
import math
import statistics

import pytest
import torch

from piddm.bench import contest
from piddm.bench.contest import Contest
from piddm.bench.counting import counting
from piddm.bench.entries import BASELINE, OURS, default_labels, parse, with_baseline
from piddm.bench.regrid import OtherGrid, carried
from piddm.bench.report import Bench, markdown
from piddm.bench.results import every, result_path
from piddm.config import resolve
from piddm.plugins import current, get_pde, use_files
from piddm.teachers.sampling import noises
from piddm.tools.progress import follow
from plugin_commands import call, refused
from tiny import tiny

TINY = tiny({
    "data.size": 12, "network.widths": [8], "pairs.batch": 8,
    "evaluation.count": 12, "evaluation.distance_count": 4,
})  # fmt: skip
SETS = [w for k, v in TINY.items() for w in ("--set", f"{k}={json.dumps(v)}")]

ODD = """
import os
import torch
from piddm import hookimpl
from piddm.interfaces import Method
from piddm.tools.errors import UsageError

class Echo(Method):
    def __init__(self, shared, *, factor=1.0):
        self.shared, self.factor = shared, factor
    def sample(self, noise, generator):
        with torch.enable_grad():
            x = noise.clone().requires_grad_()
            mean = self.shared.teacher.denoise(x, torch.ones(len(x)))
            (slope,) = torch.autograd.grad(mean.sum(), x)
        return self.factor * self.shared.packing.colour(noise)

class Breaks(Echo):
    def sample(self, noise, generator):
        raise TypeError("it broke")

class Diverges(Echo):
    def sample(self, noise, generator):
        x = noise.clone()
        x[0] = float("inf")
        return x

class Explodes(Echo):
    def sample(self, noise, generator):
        return 1e5 * super().sample(noise, generator)

class Refuses(Echo):
    def __init__(self, shared):
        raise UsageError("it takes no such equation")

class Dies(Echo):
    def sample(self, noise, generator):
        if "a" in self.shared.residual.field_names:
            os._exit(7)
        return super().sample(noise, generator)

@hookimpl
def piddm_register_methods(register):
    for build in (Echo, Breaks, Diverges, Explodes, Refuses, Dies):
        register(build.__name__.lower(), "for a test", build)
"""


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """A home of its own, with methods that go wrong."""
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    plugin = tmp_path / "odd.py"
    plugin.write_text(ODD)
    use_files([plugin])
    yield tmp_path
    use_files([])


def held(folder, *labels, pde="poisson", **changes):
    config = resolve(pde, "quick", overrides=TINY | changes)
    entries = [parse(label, current()) for label in labels]
    return Contest(config, get_pde(pde), entries, folder / "bench")


def results(folder):
    return {r.method: r for r in every(folder / "bench")}


def test_what_fails_is_shown_and_the_rest_goes_on(odd):
    asked = held(odd, "breaks", "diverges", "explodes", "refuses", "echo:nothing=1", "echo")
    follow(asked.run(), quiet=True)
    found = results(odd)
    assert found["breaks"].status == "failed"
    assert "farther than 1000 deviations" in found["explodes"].reason
    assert "it broke" in found["breaks"].reason
    assert found["diverges"].status == "failed"
    assert "1 of 12 samples are not finite" in found["diverges"].reason
    assert found["refuses"].status == "refused"
    assert found["refuses"].reason == "it takes no such equation"
    assert found["echo:nothing=1"].status == "failed"  # an unknown setting of a plugin's method
    scores = found["echo"].scores
    assert scores is not None
    assert math.isfinite(scores.pde_error_normalised)
    assert scores.nfe == 2  # one forward, one backward
    assert found["truth"].scores.nfe is None


def test_where_nothing_can_be_made_all_say_why(odd):
    follow(held(odd, "echo", **{"data.size": 2}).run(), quiet=True)
    found = results(odd)
    assert {r.status for r in found.values()} <= {"refused", "failed"}
    assert "poisson" in found["echo"].reason or "grid" in found["echo"].reason
    assert set(found) == {"truth", "echo"}


def test_what_is_there_is_not_made_again(odd, monkeypatch):
    follow(held(odd, "echo").run(), quiet=True)
    first = result_path(odd / "bench", "poisson", 0, "echo")
    made = first.stat().st_mtime_ns
    again = follow(held(odd, "echo", "echo:factor=2.0").run(), quiet=True)
    assert first.stat().st_mtime_ns == made
    assert again == 1  # a batch of the new one
    first.write_text(first.read_text()[:40])  # half-written
    assert "echo" not in results(odd)
    follow(held(odd, "echo").run(), quiet=True)
    assert results(odd)["echo"].status == "ok"


def test_an_interruption_keeps_what_is_finished(odd, monkeypatch):
    def stop(*given):
        raise KeyboardInterrupt

    asked = held(odd, "echo", f"{OURS}")
    monkeypatch.setattr(contest, "changed", stop)
    with pytest.raises(KeyboardInterrupt):
        follow(asked.run(), quiet=True)
    assert set(results(odd)) == {"truth", "echo"}


def test_a_student_is_trained_once_however_it_ends(odd):
    endings = [OURS, f"{OURS}+refine=2", f"{OURS}+projection"]
    follow(held(odd, *endings).run(), quiet=True)
    found = results(odd)
    plain, refined, projected = (found[label] for label in endings)
    assert plain.training_seconds == refined.training_seconds == projected.training_seconds
    assert plain.pairs_seconds > 0
    assert (plain.scores.nfe, refined.scores.nfe, projected.scores.nfe) == (1, 5, 1)
    assert projected.scores.pde_error_normalised < 1e-12  # samples are float32
    assert refined.scores.pde_error_normalised < plain.scores.pde_error_normalised
    assert plain.end_to_end == pytest.approx(
        plain.teacher_seconds + plain.pairs_seconds + plain.training_seconds
    )
    assert found["truth"].end_to_end is None
    runs = [p.name for p in (odd / "bench" / "runs" / "poisson-0").iterdir()]
    assert sorted(run.partition("-")[0] for run in runs) == ["one", "shared"]


def test_scores_are_those_of_the_samples(odd):
    """The truth against an own computation; a method that returns noise of the data's colour."""
    asked = held(odd, "echo")
    follow(asked.run(), quiet=True)
    train, held_out = (asked.job.packing.pack(d.fields).double() for d in asked.job.data)
    gap = (train[:12].mean(0) - held_out.mean(0)).square().mean()
    assert results(odd)["truth"].scores.mmse == pytest.approx(float(gap), rel=1e-6)


def test_solvers_are_asked_beside(odd):
    """The Gaussian solver knows a Poisson problem's whole answer; an unknown one is refused."""
    asked = held(odd, "echo")
    asked.questions = ("forward/gaussian", "reconstruct/latent", "reconstruct/nobody")
    follow(asked.run(), quiet=True)
    found = results(odd)
    told = found["forward/gaussian"].answers
    assert told.truths == 5
    assert told.relative_l2["a"] < 0.01  # it is given
    assert found["reconstruct/latent"].status == "ok", found["reconstruct/latent"].reason
    assert found["reconstruct/nobody"].status == "refused"
    page = markdown(
        Bench(machine={}, config=asked.config, seconds=1.0, results=list(found.values()))
    )
    assert "| forward/gaussian |" in page
    assert "refused: no solver 'nobody'" in page


def test_calls_are_counted():
    net = torch.nn.Linear(3, 3)
    with counting([net, net]) as calls:
        x = torch.ones(5, 3, requires_grad=True)
        net(net(x)).sum().backward()
        with torch.no_grad():
            net(x)
    net(torch.ones(1, 3))
    assert (calls.forward, calls.backward, calls.total) == (15, 10, 25)


def test_the_command(odd):
    words = ["bench", "--plugin", odd / "odd.py", "--pdes", "poisson", "--methods", "echo breaks",
             "--seeds", 2, "--preset", "quick", *SETS]  # fmt: skip
    done = call(*words)
    assert done.exit_code == 0, done.output
    found = json.loads((odd / "bench" / "quick" / "bench.json").read_text())
    methods = {(r["method"], r["seed"]) for r in found["results"]}
    names = ("truth", *with_baseline([]), "echo", "breaks")
    assert methods == {(m, s) for m in names for s in (0, 1)}
    assert "failed: TypeError: it broke" in done.stdout
    assert (odd / "bench" / "quick" / "pareto.png").stat().st_size > 10_000
    page = (odd / "bench" / "quick" / "bench.md").read_text()
    assert "### poisson" in page
    assert "- **distance to solutions**: " in page.partition("### Vocabulary")[2]
    again = call(*words, "--json")
    assert json.loads(again.stdout)["results"] == found["results"]
    other = call(*words, "--set", "data.train=24")
    assert "another configuration; choose another --out" in refused(other)
    assert "no device 'abacus'" in refused(call(*words, "--device", "abacus"))
    after = json.loads((odd / "bench" / "quick" / "bench.json").read_text())
    assert after["results"] == found["results"]


def test_a_failure_of_what_is_shared_leaves_finished_rows(odd, monkeypatch):
    follow(held(odd, "echo").run(), quiet=True)
    before = results(odd)
    again = held(odd, "echo", "breaks")
    monkeypatch.setattr(Contest, "_mark", lambda *_: 1 / 0)
    follow(again.run(), quiet=True)
    after = results(odd)
    assert after["breaks"].status == "failed"
    assert {k: after[k] for k in before} == before


@pytest.mark.slow
def test_competitors_at_once(odd):
    """Processes find what one process finds."""
    words = ["bench", "--plugin", odd / "odd.py", "--pdes", "poisson,burgers", "--methods",
             "echo one-step one-step+projection", "--seeds", 1, "--preset", "quick",
             *SETS]  # fmt: skip
    found = []
    for jobs in (1, 3):  # more than equations
        out = odd / f"jobs{jobs}"
        done = call(*words, "--jobs", jobs, "--out", out)
        assert done.exit_code == 0, done.output
        found.append(json.loads((out / "bench.json").read_text())["results"])
    assert len(found[0]) == 2 * 6
    for one, two in zip(*found, strict=True):
        assert (one["pde"], one["method"], one["status"]) == (two["pde"], two["method"], "ok")
        assert one["scores"]["energy_distance"] == two["scores"]["energy_distance"]


@pytest.mark.slow
def test_a_process_that_dies_takes_no_other_with_it(odd):
    words = ["bench", "--plugin", odd / "odd.py", "--pdes", "poisson,burgers", "--jobs", 2,
             "--methods", "dies", "--seeds", 1, "--preset", "quick", *SETS]  # fmt: skip
    done = call(*words)
    assert done.exit_code == 1, done.output
    assert "poisson 0: its process ended with code 7" in done.stderr
    found = json.loads((odd / "bench" / "quick" / "bench.json").read_text())["results"]
    assert {r["status"] for r in found if r["pde"] == "burgers"} == {"ok"}
    assert BASELINE in {r["method"] for r in found if r["pde"] == "poisson"}


def test_the_command_refuses():
    assert "--pdes NAME" in refused(call("bench"))
    assert "no equation 'poison'" in refused(call("bench", "--pdes", "poison"))
    words = ["bench", "--pdes", "poisson"]
    assert "no method 'pcfn'" in refused(call(*words, "--methods", "pcfn"))
    assert "no setting 'student.foo'" in refused(call(*words, "--methods", "one-step:foo=1"))
    assert "method eci has no setting 'stepps'" in refused(
        call(*words, "--methods", "eci:stepps=1")
    )
    assert "steps of the method eci" in refused(call(*words, "--methods", "eci:steps=many"))
    assert "no ablation 'ordr'" in refused(call(*words, "--ablations", "ordr"))
    assert "no task 'invert'" in refused(call(*words, "--tasks", "invert"))
    assert "no preset 'qick'" in refused(call(*words, "--preset", "qick"))


def nothing_fails(folder, pde, **changes):
    """Every competitor that is asked by default, on one equation."""
    labels = with_baseline(default_labels(current()))
    follow(held(folder, *labels, pde=pde, **changes).run(), quiet=True)
    found = results(folder)
    assert {label: r.reason for label, r in found.items() if r.status != "ok"} == {}
    assert set(found) == {"truth", *labels}
    for label, result in found.items():
        own = result.scores
        assert math.isfinite(result.spectrum_distance)
        assert (own.nfe is None) == (label == "truth")
        if label.endswith("+projection"):
            assert own.constraint_distance < 1e-9


@pytest.mark.parametrize("pde", ["darcy", "poisson", "burgers"])
def test_every_method_takes_an_equation(pde, tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    nothing_fails(tmp_path, pde)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pde", "size"),
    [
        ("stokes", 8), ("kolmogorov", 8), ("navier-stokes", 8),
        ("darcy-neumann", 12), ("sphere-poisson", 8),  # 64 modes of its medium need more nodes
    ],
)  # fmt: skip
def test_every_method_takes_unknown_params_films_and_spheres(pde, size, tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    nothing_fails(tmp_path, pde, **{"data.size": size, "data.times": 4, "evaluation.count": 8})


def test_several_draws_are_several_scores_and_their_mean(odd):
    asked = held(odd, "echo", "echo+draws=3")
    follow(asked.run(), quiet=True)
    once, found = (results(odd)[label].scores for label in ("echo", "echo+draws=3"))
    packing, shape = asked.job.packing, asked.job.context.shape
    scored = []
    for n in range(3):
        noise = torch.cat(noises(shape, 12, 1 + contest.APART * n, asked.job.device))
        scored.append(asked.yardstick.scores(packing.colour(noise).double(), 1))
    assert scored[0].energy_distance == pytest.approx(once.energy_distance)
    for name in ("energy_distance", "pde_error_normalised", "mmse"):
        values = [getattr(s, name) for s in scored]
        assert getattr(found, name) == pytest.approx(statistics.fmean(values), rel=1e-5)
        assert max(values) > 1.01 * min(values)  # they are other draws
    assert (found.nfe, found.count) == (once.nfe, once.count)


def test_samples_are_scored_between_the_nodes_of_training(odd):
    """A smooth field carried to finer nodes is still that field, and data still alike to data."""
    grid = get_pde("burgers").grid.resized({"t": 12, "x": 12})
    finer = grid.resized({"t": 24, "x": 24})

    def smooth(on):
        t, x = (torch.from_numpy(a.coordinates()) for a in on.axes.values())
        return {"u": (1 + t[:, None] ** 3) * torch.sin(2 * math.pi * x)[None, None]}

    gap = carried(smooth(grid), grid, finer)["u"] - smooth(finer)["u"]
    assert float(gap.abs().max()) < 1e-10  # a cubic times a wave: both are exact
    film = get_pde("kolmogorov").grid.resized({"t": 4, "x": 8, "y": 6})
    more = film.resized({"t": 7, "x": 16, "y": 6})
    x = torch.from_numpy(film.axes["x"].coordinates())[:, None].expand(3, 4, 8, 6)
    moved = carried({"w": torch.cos(x), "nu": torch.ones(3)}, film, more)
    x = torch.from_numpy(more.axes["x"].coordinates())[:, None].expand(3, 7, 16, 6)
    torch.testing.assert_close(moved["w"], torch.cos(x))
    assert moved["nu"].shape == (3,)

    asked = held(odd, "truth+grid=2", "echo+grid=2", "echo+projection+grid=0.5")
    follow(asked.run(), quiet=True)
    found = results(odd)
    assert all(r.status == "ok" for r in found.values()), found
    own, there = found["truth"].scores, found["truth+grid=2"].scores
    assert there.pde_error_normalised > 1e3 * own.pde_error_normalised
    assert there.energy_distance == pytest.approx(own.energy_distance, rel=0.1)
    other, part = OtherGrid(asked.job, 2), asked.job.packing.pack(asked.job.data[0].fields)[:3]
    fields = carried(asked.job.packing.unpack(part.double()), asked.job.grid, other.grid)
    torch.testing.assert_close(other.packing.unpack(other(part).double()), fields,
                               rtol=1e-4, atol=1e-5)  # fmt: skip
    on_sphere = held(odd, "truth+grid=2", pde="sphere-poisson", **{"data.size": 8})
    follow(on_sphere.run(), quiet=True)
    refusal = next(
        r for r in results(odd).values() if r.pde == "sphere-poisson" and "+" in r.method
    )
    assert (refusal.status, "sphere" in refusal.reason) == ("refused", True)
