"""piddm without any of its own plugins: core names none of them, and works with them disabled."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import piddm
from piddm import PiddmError, plugins
from piddm.bench.ablations import ABLATIONS, ablations, labels_of
from piddm.bench.entries import default_labels, parse, with_baseline
from piddm.cli.app import app
from piddm.plugins import Plugins, current

CORE = sorted((Path(__file__).parents[1] / "core").rglob("*.py"))
OWN = [r.name for r in current().records if r.distribution == "piddm"]
KINDS = ("teacher", "student", "method", "solver", "backbone", "ablation")
BROUGHT = sorted(
    {e.name for kind in KINDS[:-1] for e in current().list_all(kind) if e.plugin in OWN}
)
EQUATION = """
from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, x, y

f, u = Field("f"), Field("u")
MEMBRANE = PDE(
    name="membrane", summary="a membrane under a load",
    grid=Grid(x=Axis(0, 1, 16), y=Axis(0, 1, 16)), fields=[f, u],
    equations={"balance": D(u, x, 2) + D(u, y, 2) + f}, conditions={"rim": Dirichlet(u, 0)},
    inputs={f: GaussianField(alpha=2.5, tau=4.0)},
)
"""
TINY = {
    "data.size": 16, "data.train": 16, "data.held_out": 8, "network.widths": [8, 8],
    "teacher.steps": 4, "teacher.batch": 4, "pairs.count": 8, "pairs.steps": 2, "pairs.batch": 4,
    "student.steps": 4, "student.batch": 4, "student.physics_batch": 2,
    "student.operator": {"widths": [8], "fold": 2},
    "evaluation.count": 8, "evaluation.distance_count": 2,
}  # fmt: skip


@pytest.fixture(params=[*OWN, "all"])
def without(request, monkeypatch, tmp_path):
    """The installed plugins but one of piddm's own, or but all of them."""
    names = OWN if request.param == "all" else [request.param]
    monkeypatch.setenv(plugins.DISABLE, ",".join(names))
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    plugins.reset()
    yield names
    plugins.use_files([])
    plugins.reset()


def test_there_is_something_to_leave_out():
    assert {"pdes", "baselines"} <= set(OWN)
    assert len(BROUGHT) > 10


def named(text):
    """Methods of plugins that code names, alone or at the head of a label."""
    tree = ast.parse(text)
    bare = {
        id(n.value) for n in ast.walk(tree)
        if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    }  # fmt: skip
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            found |= {b for b in BROUGHT if re.match(rf"{re.escape(b)}($|[:+])", node.value)}
    return found


def test_the_check_sees_names_of_methods():
    assert named("x = 'd-flow:iterations=1'") == {"d-flow"}
    assert named("x = {'two-step': 2}") == {"two-step"}
    assert named('"""d-flow"""') == set()


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(CORE[0].parents[1])))
def test_core_names_no_method_of_a_plugin(path):
    assert named(path.read_text()) == set()


def test_listings_and_help_work(without):
    run = CliRunner()
    words = ["list-pdes", "list-methods", "list-solvers", "plugins", "models", "--help"]
    for word in words:
        assert run.invoke(app, [word]).exit_code == 0, word
    assert {r.status for r in current().records if r.name in without} == {"disabled"}


def test_what_is_compared_by_default_and_every_ablation_can_be_read(without):
    labels = with_baseline(default_labels(current()) + labels_of(["all"]))
    entries = [parse(label, current()) for label in labels]
    assert {"flow-matching", "one-step"} <= {e.name for e in entries}
    own = {e.name for kind in KINDS for e in Plugins([]).list_all(kind)}
    rivals = {e.name for e in entries if e.kind != "data"} - own
    assert bool(rivals) == ("baselines" not in without)


def test_a_rival_s_rows_come_with_it():
    every = ablations()
    assert "d-flow, 5 iterations" in every["refinement"].labels
    assert "d-flow, 5 iterations" not in ABLATIONS["refinement"].labels
    assert list(every["refinement"].labels)[: len(ABLATIONS["refinement"].labels)] == list(
        ABLATIONS["refinement"].labels
    )


def test_an_equation_of_a_person_s_own_is_distilled_answered_and_benched(tmp_path):
    """In a process of its own, with all of piddm's own plugins off."""
    (tmp_path / "membrane.py").write_text(EQUATION)
    text = f"""
import piddm
from piddm import plugins
from pathlib import Path
plugins.use_files([Path({str(tmp_path / "membrane.py")!r})])
assert [e.name for e in piddm.list_pdes()] == ["membrane"], piddm.list_pdes()
run = piddm.distill("membrane", "quick", overrides={TINY!r}, progress=False)
assert set(run.metrics) >= {{"truth", "teacher", "student"}}
from piddm.tasks.synthetic import draw_truth, place
truth = draw_truth(run.pde, run.residual.grid, 2)
found = run.solve("reconstruct", place(truth, run.pde, "u", 0.1, 0.05), "latent", 2,
                  settings={{"rounds": 1, "steps": 1}}, progress=False)
assert len(found) == 2
from piddm.cli.app import app
from typer.testing import CliRunner
words = ["bench", "--plugin", {str(tmp_path / "membrane.py")!r}, "--pdes", "membrane"]
words += ["--preset", "quick", "--seeds", "1", "--methods", "one-step"]
words += [w for k, v in {TINY!r}.items() for w in ("--set", f"{{k}}={{v}}")
          if k != "student.operator"]
done = CliRunner().invoke(app, words)
assert done.exit_code == 0, done.output
assert "flow-matching" in done.output
"""
    environment = {
        "PIDDM_HOME": str(tmp_path), plugins.DISABLE: ",".join(OWN), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [({}, "give its competitors"), (["one-step"], "give its competitors"), ({"a": 3}, "give its")],
)
def test_an_ablation_that_is_none_is_refused(labels, reason, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from piddm import hookimpl\n"
        "@hookimpl\n"
        "def piddm_register_ablations(register):\n"
        f"    register('mine', 'a question', {labels!r})\n"
    )
    made = Plugins([], [file])
    assert reason in made.records[0].error
    with pytest.raises(PiddmError):
        made.get("ablation", "mine")


assert piddm
