"""Plugins: one that fails is recorded, stops nothing, and is named where it is missed."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from piddm import PDE, Axis, Grid, PiddmError, UsageError, hookimpl, plugins
from piddm.plugins import Plugins
from piddm.plugins.loader import DISABLE, PDEEntry
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, t, x

u = Field("u")


def make_pde(name="transport", summary="it moves"):
    return PDE(
        name=name,
        summary=summary,
        grid=Grid(t=Axis(0, 1, 8, time=True), x=Axis(0, 1, 8, periodic=True)),
        fields=[u],
        equations={"mass": D(u, t) + D(u, x)},
        inputs={u.at(t=0): GaussianField(alpha=2.0, tau=3.0)},
    )


@dataclass
class Point:
    """Stands for an entry point; a plugin that is an exception fails to import."""

    name: str
    plugin: object
    distribution: str = "third"

    def load(self):
        if isinstance(self.plugin, BaseException):
            raise self.plugin
        return self.plugin

    @property
    def dist(self):
        return SimpleNamespace(name=self.distribution, version="1.2")


class Plugin:
    """An object with hooks, as good a plugin as a module."""

    def __init__(self, **hooks):
        for name, function in hooks.items():
            setattr(self, name, hookimpl(function))


def plugin(function):
    return Plugin(piddm_register_pdes=function)


def eager(*pdes):
    def piddm_register_pdes(register):
        for pde in pdes:
            register(pde)

    return plugin(piddm_register_pdes)


def lazy(name, summary, location):
    return plugin(lambda register: register.lazy(name, summary, location))


def raising(error):
    def piddm_register_pdes(register):
        register(make_pde("half-done"))
        raise error

    return plugin(piddm_register_pdes)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes an importable module and returns its name."""

    def write(text, name):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    monkeypatch.syspath_prepend(tmp_path)
    return write


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.delenv(DISABLE, raising=False)
    yield
    plugins.reset()


def test_an_equation_comes_with_its_plugin():
    pde = make_pde()
    loaded = Plugins([Point("mine", eager(pde))])
    assert loaded.get_pde("transport") is pde
    assert loaded.list_pdes() == [PDEEntry("transport", "it moves", "mine", "third")]
    (record,) = loaded.records
    assert (record.name, record.distribution, record.version) == ("mine", "third", "1.2")
    assert (record.status, record.error) == ("ok", "")
    assert (record.pdes, record.hooks) == (("transport",), ("piddm_register_pdes",))


def test_built_in_equations_come_by_the_same_door():
    records = {record.name: record for record in plugins.list_plugins()}
    assert (records["pdes"].distribution, records["pdes"].status) == ("piddm", "ok")
    for entry in plugins.list_pdes():
        if entry.plugin == "pdes":
            assert plugins.get_pde(entry.name).name == entry.name
    assert set(records["pdes"].pdes) == {e.name for e in plugins.list_pdes() if e.plugin == "pdes"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (ImportError("no module\nnamed that"), "ImportError: no module named that"),
        (SystemExit(3), "SystemExit: 3"),
        (AssertionError(), "AssertionError"),
        (raising(ZeroDivisionError("by zero")), "ZeroDivisionError: by zero"),
        (eager("a string"), "register() takes a PDE, not str"),
        (eager(make_pde(), make_pde()), "'transport' is registered twice"),
        (eager(make_pde("Upper")), "'Upper' cannot name an equation"),
        (eager(make_pde(summary="two\nlines")), "summary must be one line"),
        (eager(make_pde(summary=" ")), "summary must be one line"),
        (lazy("a", "b", "module.attribute"), "'module:attribute', not 'module.attribute'"),
        (Plugin(), "mark its functions with piddm.hookimpl"),
        (Plugin(piddm_fly=lambda: 0), "this piddm has no hook 'piddm_fly'"),
        (Plugin(piddm_register_pde=lambda: 0), "the plugin; did you mean 'piddm_register_pdes'"),
        (SimpleNamespace(PIDDM_API=2), "written for plugin API 2 and this piddm has 1"),
        (plugin(lambda wrong: 0), "PluginValidationError"),
        ([], "unhashable"),
    ],
)
@pytest.mark.parametrize("name", ["a-before", "z-after"])
def test_a_broken_plugin_is_recorded_and_stops_nothing(bad, reason, name):
    loaded = Plugins([Point(name, bad), Point("good", eager(make_pde("sound")))])
    records = {record.name: record for record in loaded.records}
    assert records[name].status == "failed"
    assert reason in records[name].error
    assert "\n" not in records[name].error
    assert records[name].pdes == ()
    assert [entry.name for entry in loaded.list_pdes()] == ["sound"]
    assert loaded.get_pde("sound").name == "sound"


def test_damaged_metadata_stop_nothing():
    class Bare(Point):
        @property
        def dist(self):
            raise KeyError("Name")

    (record,) = Plugins([Bare("mine", eager(make_pde()))]).records
    assert (record.status, record.distribution, record.version) == ("ok", "", "")


@pytest.mark.parametrize("reverse", [False, True])
def test_a_name_clash_fails_the_later_plugin_whatever_the_order_found(reverse):
    first = make_pde(summary="first")
    points = [
        Point("pdes", eager(first), "piddm"),
        Point("alpha", eager(make_pde("fine"), make_pde(summary="second")), "alpha-package"),
    ]
    loaded = Plugins(reversed(points) if reverse else points)
    assert loaded.get_pde("transport") is first
    assert [entry.name for entry in loaded.list_pdes()] == ["transport"]
    record = loaded.records[1]
    assert (record.name, record.status) == ("alpha", "failed")
    for part in ("'transport'", "'alpha'", "'pdes'", "piddm"):
        assert part in record.error


def test_two_plugins_of_one_name_are_an_error_for_the_second():
    first, second = eager(make_pde("one")), eager(make_pde("two"))
    loaded = Plugins([Point("same", second, "b"), Point("same", first, "a")])
    assert [record.status for record in loaded.records] == ["ok", "failed"]
    assert "'same' is already loaded" in loaded.records[1].error
    assert [entry.name for entry in loaded.list_pdes()] == ["one"]


def test_a_failed_plugin_does_not_keep_its_name():
    broken, sound = raising(ValueError("broken")), eager(make_pde("one"))
    loaded = Plugins([Point("same", broken, "a"), Point("same", sound, "b")])
    assert [record.status for record in loaded.records] == ["failed", "ok"]


def test_disabled_plugins_are_not_even_imported(monkeypatch):
    monkeypatch.setenv(DISABLE, "other, mine")
    loaded = Plugins([Point("mine", SystemExit("imported")), Point("good", eager(make_pde()))])
    records = {record.name: record for record in loaded.records}
    assert (records["mine"].status, records["mine"].error) == ("disabled", "")
    assert records["good"].status == "ok"
    with pytest.raises(UsageError, match=f"{DISABLE} switches off 'mine'"):
        loaded.get_pde("gone")


def test_a_star_switches_off_all_but_the_package_s_own(monkeypatch):
    monkeypatch.setenv(DISABLE, "*")
    points = [Point("mine", SystemExit("imported")), Point("own", eager(make_pde()), "piddm")]
    assert [r.status for r in Plugins(points).records] == ["ok", "disabled"]


def test_unknown_names_get_a_hint_and_the_failed_plugins():
    points = [Point("good", eager(make_pde())), Point("bad", ImportError("no module 'wet'"))]
    with pytest.raises(UsageError) as caught:
        Plugins(points).get_pde("transprot")
    message = str(caught.value)
    assert "'transprot'" in message
    assert "did you mean 'transport'?" in message
    assert "plugin 'bad' failed: ImportError: no module 'wet'" in message
    assert "\n" not in message
    with pytest.raises(UsageError) as caught:
        Plugins(points[:1]).get_pde("transprot")
    assert "plugin" not in str(caught.value)


def test_a_lazy_equation_is_imported_on_first_use_and_once(module):
    text = "import test_plugins\ndef __getattr__(name): return test_plugins.make_pde()\n"
    name = module(text, "lazy_sound")
    loaded = Plugins([Point("mine", lazy("transport", "it moves", f"{name}:A"))])
    assert loaded.get_pde("transport") is loaded.get_pde("transport")
    assert loaded.get_pde("transport").summary == "it moves"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0", ".py:1: ZeroDivisionError: division by zero; fix third"),
        ("import sys; sys.exit('bye')", ".py:1: SystemExit: bye; fix third"),
        ("", "cannot be loaded: AttributeError"),
        ("A = 3", "is of type int, not PDE; correct its location"),
        ("from test_plugins import make_pde; A = make_pde('other')", "has the name 'other'"),
        ("from test_plugins import make_pde; A = make_pde(summary='no')", "the summary 'no'"),
    ],
)
def test_a_lazy_equation_that_is_not_what_was_announced(module, request, text, reason):
    name = module(text, f"lazy_bad_{abs(hash(request.node.name))}")
    loaded = Plugins([Point("mine", lazy("transport", "it moves", f"{name}:A"))])
    assert loaded.records[0].status == "ok"
    with pytest.raises(PiddmError) as caught:
        loaded.get_pde("transport")
    assert reason in str(caught.value)
    assert "'transport' of plugin 'mine'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_process_has_one_set_of_plugins_that_tests_can_replace():
    installed = plugins.current()
    assert plugins.current() is installed
    plugins.reset(Plugins([Point("mine", eager(make_pde("replaced")))]))
    assert [entry.name for entry in plugins.list_pdes()] == ["replaced"]
    assert [record.name for record in plugins.list_plugins()] == ["mine"]
    assert plugins.get_pde("replaced").name == "replaced"
    plugins.reset()
    assert plugins.list_pdes() == installed.list_pdes()
    assert plugins.current() is not installed
