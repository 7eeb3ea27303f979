"""The checks that ship with piddm: over all that is registered, over a stranger's plugin, and that
they catch what does not keep its promises."""

from __future__ import annotations

import ast
import inspect
import itertools
from pathlib import Path

import pytest
import torch

import foreign
import piddm
import piddm.interfaces
from piddm import PiddmError, plugins
from piddm.bench.contest import Contest
from piddm.bench.counting import counting
from piddm.bench.entries import parse
from piddm.bench.results import every
from piddm.config import resolve
from piddm.conformance.problem import problem
from piddm.interfaces import Arrays, Method, Reader, Solver, Student, Teacher, Tracker, regression
from piddm.plugins import Plugins
from piddm.students.euler_steps import FewStepStudent
from piddm.students.one_step import OneStepStudent
from piddm.tasks.synthetic import Case, draw_truth, place, question
from piddm.tasks.task import ask
from piddm.testing import (
    check_backbone,
    check_method,
    check_metric,
    check_solver,
    check_student,
    check_teacher,
)
from piddm.tools.settings import known
from tiny import tiny

CHECKS = {
    "teacher": check_teacher, "student": check_student, "method": check_method,
    "solver": check_solver, "backbone": check_backbone, "metric": check_metric,
}  # fmt: skip
REGISTERED = [(k, e.name) for k in CHECKS for e in plugins.current().list_all(k)]
SOLVERS = [name for kind, name in REGISTERED if kind == "solver"]
JUMPS = {"level-set"}
"""Solvers that take laws which jump only."""

FEW = {"rounds": 2, "search": 2, "steps": 4, "leapfrog": 2, "during": 2, "iterations": 2}
"""Settings that make a method or solver quick, where it has them."""

ROOT = Path(__file__).parents[1]
FOREIGN = Path(__file__).with_name("foreign.py")


def few(kind, name):
    if kind not in ("method", "solver"):
        return {}
    return {k: v for k, v in FEW.items() if k in known(plugins.current().get(kind, name))}


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_what_is_registered_keeps_its_promises(kind, name):
    CHECKS[kind](name, **few(kind, name))


@pytest.mark.parametrize(
    ("kind", "made", "settings"),
    [
        ("teacher", foreign.Plain, {"sharpness": 0.5}), ("student", foreign.Linear, {}),
        ("method", foreign.Shrunk, {}), ("solver", foreign.Best, {"pool": 3}),
        ("backbone", foreign.Network, {"kernel": 5}), ("metric", foreign.shift, {}),
    ],
)  # fmt: skip
def test_a_stranger_s_plugin_keeps_them_too(kind, made, settings):
    CHECKS[kind](made, **settings)


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_take_a_stranger_s_teacher_and_student(name):
    at = problem(phases=name in JUMPS)
    teacher = foreign.Plain(at.network(), at.packing, at.schedule).requires_grad_(False)
    for student in (foreign.Linear(teacher), OneStepStudent(teacher)):
        model = at.model(teacher, student.requires_grad_(False))
        check_solver(name, model, **few("solver", name))


@pytest.mark.parametrize("name", [n for k, n in REGISTERED if k == "student"])
def test_students_take_a_stranger_s_teacher(name):
    at = problem()
    teacher = foreign.Plain(at.network(), at.packing, at.schedule).requires_grad_(False)
    make = plugins.current().get("student", name)
    more = {"pde": at.pde, "config": at.config}
    more = {k: v for k, v in more.items() if k in inspect.signature(make).parameters}
    student = make(teacher, **more).requires_grad_(False)
    with torch.no_grad():
        assert bool(student(at.noise(2)).isfinite().all())


# Calls of the network are those that were made.


@pytest.mark.parametrize("calls", [1, 2, 3])
@pytest.mark.parametrize("name", ["latent", "hybrid", "hamiltonian"])
def test_a_student_of_many_calls_is_charged_for_each(name, calls):
    """As it was, ``latent`` told 9 calls of a student of two that had made 20."""
    at = problem()
    student = FewStepStudent(at.teacher(), calls).requires_grad_(False)
    model = at.model(student=student)
    make = plugins.current().get("solver", name)
    seen, _ = question(model, Case(share=0.1, noise=0.05), 0)
    steps = make(model, **few("solver", name)).solve(
        ask("reconstruct", model.pde, seen), 2, torch.Generator().manual_seed(0)
    )
    with counting([student.network]) as made:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found = end.value
                break
    assert found.calls == -(-made.total // 2)
    if name == "latent":
        # Two rounds, four evaluations and their gradients, and the samples that it ends with.
        assert found.calls == calls * (2 + 2 * 4 + 1)


def test_labels_of_figures_tell_the_student_s_calls(tmp_path):
    run = piddm.distill(
        "heat", "quick", overrides=tiny({"student.name": "few-step", "student.settings.calls": 3}),
        progress=False, out=tmp_path / "run",
    )  # fmt: skip
    assert run.student.calls == 3
    assert run.metrics["student"].nfe == 3
    page = (run.path / "report.html").read_text()
    assert "student, 1 call" not in page


# A stranger's plugin in the whole engine.

STRANGE = {
    "network.name": "two-layers", "network.settings.kernel": 5,
    "teacher.name": "plain", "teacher.settings.sharpness": 0.9,
}  # fmt: skip


@pytest.fixture
def strangers():
    """The stranger's file among the plugins."""
    plugins.use_files([FOREIGN])
    yield plugins.current()
    plugins.use_files([])
    plugins.reset()


def test_a_stranger_s_models_train_sample_and_answer(strangers, tmp_path):
    overrides = tiny(STRANGE | {"student.name": "linear"})
    run = piddm.distill("poisson", "quick", overrides=overrides, progress=False, out=tmp_path)
    assert isinstance(run.teacher, strangers.get("teacher", "plain"))
    assert run.teacher.sharpness == 0.9
    assert run.teacher.network.enter.kernel_size == (5, 5)
    assert run.metrics["student"].nfe == 3
    assert run.metrics["teacher"].nfe == 2
    again = piddm.load_run(tmp_path)
    for source in ("student", "teacher"):
        one, other = run.sample(2, source=source), again.sample(2, source=source)
        assert all(torch.equal(one[k], other[k]) for k in one)
    truth = draw_truth(run.pde, run.residual.grid, 2)
    seen = place(truth, run.pde, "u", 0.1, 0.05, seed=1)
    for name in {e.name for e in strangers.list_all("solver")} - JUMPS:
        found = run.solve(
            "reconstruct", seen, name, 2, settings=few("solver", name), progress=False
        )
        assert len(found) == 2, name
        assert bool(found.residual.isfinite().all()), name


def test_a_stranger_s_teacher_is_benched_with_every_method_and_student(strangers, tmp_path):
    config = resolve("poisson", "quick", overrides=tiny(STRANGE))
    labels = [e.name for e in strangers.list_all("method")]
    labels = [f"{n}:{','.join(f'{k}={v}' for k, v in few('method', n).items())}".rstrip(":")
              for n in labels] + [e.name for e in strangers.list_all("student")]  # fmt: skip
    entries = [parse(label, strangers) for label in labels]
    contest = Contest(config, piddm.get_pde("poisson"), entries, tmp_path)
    for _ in contest.run():
        pass
    found = {r.method: r for r in every(tmp_path)}
    assert {k: (r.status, r.reason) for k, r in found.items() if r.status != "ok"} == {}
    assert set(labels) < set(found)
    calls = {k: r.scores.nfe for k, r in found.items() if r.scores}
    assert calls["linear"] == 3
    assert calls["flow-matching:steps=4"] == 4, "a step of this teacher is one call"


# What offers less is refused by name.


def lacking(base, *names):
    """Return a class that has all of a base but some of its methods."""
    body = {n: getattr(base, n) for n in vars(base) if not n.startswith("__") and n not in names}
    body["__init__"] = base.__init__
    return type("Half", base.__bases__, body)


@pytest.mark.parametrize(
    ("kind", "base", "name"),
    [
        ("teacher", foreign.Plain, "velocity"), ("student", foreign.Linear, "objective"),
        ("method", foreign.Shrunk, "sample"), ("solver", foreign.Best, "solve"),
    ],
)  # fmt: skip
def test_a_class_that_lacks_a_method_is_refused_at_registration(kind, base, name):
    def announce(register):
        register("half", "one that lacks something", lacking(base, name))

    hook = f"piddm_register_{kind}s"
    holder = type("Holder", (), {hook: staticmethod(piddm.hookimpl(announce))})()
    (record,) = Plugins([Named(holder)]).records
    assert record.status == "failed"
    assert f"the {kind} 'half' has no {name}, which its interface asks for" in record.error


class Named:
    """An entry point that is not installed."""

    name, dist, value = "mine", None, "mine"

    def __init__(self, plugin):
        self.plugin = plugin

    def load(self):
        return self.plugin


class NoSchedule(foreign.Plain):
    def __init__(self, network, packing, schedule):
        super().__init__(network, packing, schedule)
        del self.schedule


class NoPacking(foreign.Linear):
    def __init__(self, teacher):
        super().__init__(teacher)
        del self.packing


@pytest.mark.parametrize(
    ("check", "made", "reason"),
    [
        (check_teacher, NoSchedule, "the teacher 'NoSchedule' has no schedule, which"),
        (check_teacher, lacking(foreign.Plain, "calls", "loss"), "has no calls, loss, which"),
        (check_student, NoPacking, "the student 'NoPacking' has no packing, which"),
        (check_student, lambda teacher: 3, "is of type int, not piddm.students.student.Student"),
    ],
)
def test_what_is_built_and_lacks_something_is_refused(check, made, reason):
    with pytest.raises(PiddmError, match=reason):
        check(made)


def test_a_plugin_that_offers_less_is_refused_at_its_first_use(strangers, tmp_path):
    thin = tmp_path / "thin.py"
    thin.write_text(
        "from piddm import hookimpl\n"
        "from torch import nn\n"
        "class Thin(nn.Module):\n"
        "    def __init__(self, *given, **settings):\n        super().__init__()\n"
        "class Narrow(Thin):\n"
        "    def forward(self, x, t):\n        return x\n"
        "@hookimpl\n"
        "def piddm_register_backbones(register):\n"
        "    register('thin', 'no forward', Thin)\n"
        "    register('narrow', 'half of it', Narrow)\n"
    )
    plugins.use_files([thin])
    for name, reason in {
        "thin": "the backbone 'thin' of plugin 'thin.py' has no forward",
        "narrow": "the backbone 'narrow' of plugin 'thin.py' returns .* twice the channels",
    }.items():
        with pytest.raises(PiddmError, match=reason):
            piddm.distill(
                "poisson", "quick", overrides=tiny({"network.name": name}), progress=False
            )


# What no type checker holds.


def concrete():
    """Classes that are registered by piddm and its plugins."""
    made = [plugins.current().get(kind, name) for kind, name in REGISTERED]
    return [m for m in made if inspect.isclass(m)]


def test_bases_are_abstract_and_classes_are_final():
    for made, other in itertools.permutations(concrete(), 2):
        assert not issubclass(made, other), f"{made.__name__} is a {other.__name__}"
    for made in concrete():
        own = [b for b in made.__mro__[1:] if b.__module__.startswith("piddm")]
        assert [b.__name__ for b in own if not inspect.isabstract(b)] == [], made.__name__


def asked_for(text, names):
    """Classes to which code casts, or of which it asks whether something is an instance."""
    found = set()
    for call in (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)):
        if ast.unparse(call.func).split(".")[-1] in ("isinstance", "cast", "issubclass"):
            words = {n.id for a in call.args for n in ast.walk(a) if isinstance(n, ast.Name)}
            found |= words & names
    return found


def test_nobody_asks_for_a_concrete_class():
    names = {c.__name__ for c in concrete()}
    assert asked_for("isinstance(a, FlowTeacher) or cast(FlowTeacher, b)", names)
    files = [*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    assert {p.name: asked_for(p.read_text(), names) for p in files if
            asked_for(p.read_text(), names)} == {}  # fmt: skip


def test_the_faces_have_what_an_author_derives_from():
    assert {Teacher, Student, Method, Solver, Reader, Arrays, Tracker} == {
        t for t in vars(piddm.interfaces).values() if inspect.isclass(t) and inspect.isabstract(t)
    } - {piddm.interfaces.Residual}
    assert regression is piddm.interfaces.regression
