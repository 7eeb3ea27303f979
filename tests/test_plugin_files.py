"""Plugins that are files, the methods and commands of plugins, and how what is wrong is refused."""

import os
import re

import pytest
import torch
from torch import nn

import piddm
from piddm import PDE, Axis, Grid, PiddmError, UsageError, plugins
from piddm.config import resolve
from piddm.data.inputs import draw, whole
from piddm.interfaces import Solver
from piddm.plugins import Plugins
from piddm.plugins.hooks import API
from piddm.plugins.lines import place
from piddm.priors import GaussianField, Prior
from piddm.runs.model_files import build_student, build_teacher
from piddm.students.one_step import OneStepStudent
from piddm.symbolic import D, Field, Param, t, x
from piddm.verification import verify
from plugin_commands import call, refused, write
from tiny import tiny

pytestmark = pytest.mark.usefixtures("alone")

EQUATION = """\
from piddm import PDE, Axis, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, t, x

c = Field("c")
DRIFT = PDE(
    name="drift",
    summary="it drifts",
    grid=Grid(t=Axis(0, 1, 16, time=True), x=Axis(0, 1, 16, periodic=True)),
    fields=[c],
    equations={
        "mass": D(c, t) + D(c, x),
    },
    inputs={c.at(t=0): GaussianField(alpha=2.5, tau=7.0)},
)
"""
HOOKED = "from piddm import hookimpl\n\n@hookimpl\ndef piddm_register_commands(register):\n"


# One-off files.


@pytest.mark.parametrize(
    "words",
    [
        ["--plugin", "mine.py", "show", "drift"],
        ["show", "--plugin", "mine.py", "drift"],
        ["show", "drift", "--plugin=mine.py"],
        ["show", "drift", "--plugin", "mine.py", "--plugin", "./mine.py"],
    ],
)
def test_a_file_is_a_plugin_wherever_the_option_stands(words):
    write("mine.py", EQUATION)
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert "it drifts" in result.stdout
    assert call("show", "drift").exit_code == 2  # forgotten again


def test_the_environment_names_files_that_may_fail(monkeypatch):
    write("mine.py", EQUATION)
    monkeypatch.setenv("PIDDM_PLUGINS", os.pathsep.join(["mine.py", "gone.py"]))
    result = call("list-pdes")
    assert "drift" in result.stdout
    assert "plugin 'gone.py' failed: there is no file gone.py" in result.stderr
    plugins.reset()
    monkeypatch.setenv("PIDDM_DISABLE_PLUGINS", "gone.py, mine.py")
    assert call("show", "drift").exit_code == 2
    status = {record.name: record.status for record in plugins.list_plugins()}
    assert (status["mine.py"], status["gone.py"]) == ("disabled", "disabled")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import os\nimport not_there", "mine.py:2: ModuleNotFoundError"),
        ("x = 1\ny = (", "mine.py:2: SyntaxError"),
        ("def f():\n    1 / 0\n\nf()", "mine.py:2: ZeroDivisionError"),
        ("import sys\nsys.exit('bye')", "mine.py:2: SystemExit: bye"),
        ("x = 1", "mine.py: it has no hook and no equation; write NAME = PDE(...)"),
        (EQUATION + "PIDDM_API = 2", f"written for plugin API 2 and this piddm has {API}"),
        (EQUATION + "AGAIN = __import__('dataclasses').replace(DRIFT)", "'drift' is registered tw"),
        (EQUATION.replace('"drift"', '"burgers"'), "already brought by plugin 'pdes' (piddm)"),
        (EQUATION.replace("[c]", "[]"), "mine.py:6: drift: a PDE needs at least one field"),
        (EQUATION.replace("D(c, x)", "D(c, 'x')"), "mine.py:12: D(..., x) needs a coordinate"),
        (HOOKED + "    register('show', 's', print)", "mine.py:5: the command 'show' of plugin"),
        (HOOKED + "    register('fine', 's', 3)", "mine.py:5: 'fine': int cannot be called"),
        (HOOKED + "    register('Fine', 's', print)", "'Fine' cannot name a command"),
        (HOOKED.replace("commands", "command") + "    0", "mean 'piddm_register_commands'"),
    ],
)
def test_a_file_that_fails_is_one_line_with_its_place(text, reason):
    write("mine.py", text)
    assert reason in refused(call("show", "burgers", "--plugin", "mine.py"))
    listed = call("plugins", "--plugin", "mine.py")
    assert listed.exit_code == 0
    assert reason.removeprefix("mine.py: ") in listed.stdout
    assert call("show", "burgers").exit_code == 0


@pytest.mark.parametrize("name", ["mine.txt", "gone.py", "."])
def test_what_is_no_file_of_python(name):
    write("mine.txt", EQUATION)
    assert name in refused(call("list-pdes", "--plugin", name))


def test_the_option_needs_a_value():
    assert call("show", "burgers", "--plugin").exit_code == 2


def test_where_an_equation_is_written():
    path = write("mine.py", EQUATION)
    plugins.use_files([path])
    pde = plugins.get_pde("drift")
    assert (place(pde), place(pde, "mass"), place(pde, "nothing")) == (
        "mine.py:6",
        "mine.py:12",
        "mine.py:6",
    )
    (burgers,) = [e for e in plugins.list_pdes() if e.name == "burgers"]
    assert "burgers.py:" in place(plugins.get_pde(burgers.name))
    assert place(make()) == ""


# Commands and methods.


def test_commands_of_plugins():
    text = (
        HOOKED + "    register('hail', 'Say hello.', hail)\n    register.lazy('later', 'Waits.', "
    )
    text += (
        "'hails:later')\n\ndef hail(who: str, times: int = 1):\n    print('hail ' * times + who)\n"
    )
    write("mine.py", text)
    assert call("hail", "all", "--times", 2, "--plugin", "mine.py").stdout == "hail hail all\n"
    listed = call("--plugin", "mine.py", "--help").stdout
    assert "Say hello." in listed
    assert "Waits." in listed
    assert "--times" in call("hail", "--help", "--plugin", "mine.py").stdout
    result = call("later", "--plugin", "mine.py")
    assert result.exit_code == 1
    assert "the command 'later' of plugin 'mine.py' (hails:later) cannot be loaded" in result.stderr
    assert call("hail", "all").exit_code == 2


def loaded(**hooks):
    """Put one plugin with these hooks in the place of all others."""
    holder = type("Holder", (), {k: staticmethod(piddm.hookimpl(f)) for k, f in hooks.items()})()
    made = Plugins([Named(holder)])
    assert made.records[0].error == ""
    plugins.reset(made)
    return made


class Named:
    name, dist = "mine", None

    def __init__(self, plugin):
        self.load = lambda: plugin


def make(**changes):
    c, k = Field("c"), Param("k", 0.1)
    said = {
        "name": "drift", "summary": "it drifts", "fields": [c], "params": [k],
        "grid": Grid(t=Axis(0, 1, 16, time=True), x=Axis(0, 1, 16, periodic=True)),
        "equations": {"mass": D(c, t) - k * D(c, x, 2)},
        "inputs": {c.at(t=0): GaussianField(alpha=2.5, tau=7.0)},
    }  # fmt: skip
    return PDE(**(said | changes))


def small(**overrides):
    return resolve("drift", "quick", overrides=tiny(overrides))


def test_built_in_methods_come_through_the_hooks():
    known = plugins.current()
    names = {
        k: [e.name for e in known.list_all(k) if known.built_in(k, e.name)]
        for k in ("teacher", "student", "backbone")
    }
    assert names == {
        "teacher": ["flow"],
        "student": ["one-step", "few-step", "staged"],
        "backbone": ["unet", "fno"],
    }
    assert all(known.get(kind, name) for kind, every in names.items() for name in every)


class Echo(nn.Module):
    def __init__(self, channels, image, periodic, **settings):
        super().__init__()
        self.settings = settings

    def forward(self, state, level):
        return torch.cat([state, state], dim=1)


class Fresh(OneStepStudent):
    def __init__(self, teacher):
        super().__init__(teacher)
        self.extra = nn.Linear(3, 3)


class Guess(Solver):
    def solve(self, task, count, generator):
        raise NotImplementedError


def test_a_configuration_takes_the_methods_of_plugins():
    made = loaded(
        piddm_register_backbones=lambda register: register("echo", "it repeats", Echo),
        piddm_register_students=lambda register: register("fresh", "more weights", Fresh),
        piddm_register_solvers=lambda register: register("guess", "it guesses", Guess),
    )
    assert made.records[0].methods == ("student fresh", "solver guess", "backbone echo")
    assert made.get("solver", "guess") is Guess
    config = small(**{"network.name": "echo", "student.name": "fresh"})
    teacher = build_teacher(config, make(), make().grid)
    assert isinstance(teacher.network, Echo)
    assert teacher.network.settings["widths"] == (8, 8)
    state = torch.random.get_rng_state()
    first, again = (build_student(config, teacher, make()) for _ in range(2))
    assert isinstance(first, Fresh)
    torch.testing.assert_close(first.extra.weight, again.extra.weight, rtol=0, atol=0)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("overrides", "error", "reason"),
    [
        ({"network.name": "ecko"}, UsageError, "no backbone 'ecko'; did you mean 'echo'?"),
        ({"teacher.name": "flaw"}, UsageError, "no teacher 'flaw'; did you mean 'flow'?"),
        ({"student.name": "two-step"}, UsageError, "no student 'two-step'; did you mean"),
        ({"teacher.schedule": "lunar"}, UsageError, "no noise schedule 'lunar'; did you mean"),
        ({"network.name": "number"}, PiddmError, "is of type int, not torch.nn"),
        ({"network.name": "raises"}, PiddmError, r"built: .*test_plugin_files.py:\d+: ZeroDiv"),
    ],
)
def test_methods_that_are_not_there_or_not_what_they_should_be(overrides, error, reason):
    def backbones(register):
        register("echo", "it repeats", Echo)
        register("number", "no network", lambda *_, **settings: 3)
        register("raises", "it fails", lambda *_, **settings: 1 / 0)

    loaded(piddm_register_backbones=backbones)
    with pytest.raises(error, match=reason):
        build_teacher(small(**overrides), make(), make().grid)


class Flat(Echo):
    def __init__(self, channels, image, periodic, widths, depth, fold, mixed):
        super().__init__(channels, image, periodic)


def test_a_backbone_says_whether_it_knows_spheres():
    def backbones(register):
        register("echo", "it repeats", Echo)
        register("flat", "it knows planes alone", Flat)

    loaded(piddm_register_backbones=backbones)
    sphere, plane = Grid.sphere(16), make().grid
    echo, flat = small(**{"network.name": "echo"}), small(**{"network.name": "flat"})
    assert build_teacher(echo, make(), sphere).network.settings["spherical"] is True
    assert "spherical" not in build_teacher(echo, make(), plane).network.settings
    assert isinstance(build_teacher(flat, make(), plane).network, Flat)
    with pytest.raises(UsageError, match="'flat' takes no 'spherical' and knows no poles"):
        build_teacher(flat, make(), sphere)


def test_a_clash_with_a_method_of_piddm_refuses_the_plugin():
    def flow(register):
        register("flow", "another", Echo)

    holder = type("Holder", (), {"piddm_register_teachers": staticmethod(piddm.hookimpl(flow))})()
    (record,) = Plugins([Named(holder)]).records
    assert "the teacher 'flow' of plugin 'mine' is already brought by piddm itself" in record.error


# Specifications and data that are wrong.


class Law(Prior):
    def __init__(self, draw):
        self.draw = draw

    def sample(self, grid, count, generator):
        return self.draw(count, grid)

    def __repr__(self):
        return "Law()"


LAWS = {
    "not finite": lambda n, g: torch.full((n, *g.shape), torch.nan).double(),
    "shape": lambda n, g: torch.zeros(n, 3),
    "list": lambda n, g: [0.0],
}
SOLVERS = {
    "values of 32 that are not finite": lambda n, g: {"c": torch.full((n, *g.shape), torch.inf)},
    "the shape (2, 3), not (2, 4, 4)": lambda n, g: {"c": torch.zeros(n, 3)},
    "gives no c": lambda n, g: {"k": torch.zeros(n)},
    "gives 'd', which is neither": lambda n, g: {k: torch.zeros(n, *g.shape) for k in "cd"},
    "gives a NoneType": lambda n, g: None,
}


@pytest.mark.parametrize("kind", LAWS)
def test_a_law_is_refused_by_name(kind):
    initial = Field("c").at(t=0)
    pde = make(inputs={initial: Law(LAWS[kind])})
    (law,) = pde.inputs.values()
    with pytest.raises(PiddmError, match=rf"drift: the law of c\(t=0\), Law\(\), gives .*{kind}"):
        draw(pde, initial, law, pde.grid, 2, torch.Generator())
    floor = verify(pde, ["floor"])
    assert [check.name for check in floor.failed] == ["floor"]


@pytest.mark.parametrize("reason", SOLVERS)
def test_a_solver_is_refused_by_name(reason):
    pde = make(simulate=lambda pde, grid, count, generator: SOLVERS[reason](count, grid))
    grid = pde.grid.resized(4)
    with pytest.raises(PiddmError, match=re.escape(reason)) as caught:
        whole(pde, grid, 2, SOLVERS[reason](2, grid))
    assert str(caught.value).startswith("drift: its own simulate")


@pytest.mark.parametrize(
    ("changes", "check", "reason"),
    [
        ({"inputs": {}}, "rows", "ill-posed: 20 rows (mass: 20) for 25 unknown values"),
        ({"inputs": {}}, "floor", "ill-posed"),
        (
            {"simulate": lambda p, g, n, z: {"c": torch.randn(n, *g.shape, generator=z)}},
            "solver_agreement",
            "one of the two solves another equation",
        ),
    ],
)
def test_a_specification_is_refused_by_the_check_that_finds_it(changes, check, reason):
    (found,) = verify(make(**changes), [check]).checks
    assert not found.passed
    assert reason in found.detail


def test_sound_values_pass_as_they_are():
    pde = make()
    (initial,) = pde.inputs
    assert draw(pde, initial, pde.inputs[initial], pde.grid, 3, torch.Generator()).shape == (3, 16)
    made = {"c": torch.zeros(2, 16, 16), "k": torch.ones(2)}
    assert whole(pde, pde.grid, 2, made) == made
