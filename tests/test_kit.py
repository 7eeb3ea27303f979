"""What authors of plugins get: a package to begin with, an example, and a page whose code runs."""

import importlib.util
import json
import os
import re
import shlex
import site
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

import piddm.testing
from piddm import PiddmError
from piddm.plugins import Plugins
from piddm.plugins.hooks import API, KIND_OF
from piddm.plugins.new_plugin import new_plugin
from piddm.verification import verify
from plugin_commands import call, refused, write
from tiny import TINY

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("alone")

FISHER = ROOT / "examples" / "piddm-fisher"
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


# The package to begin with.


@pytest.mark.parametrize("name", ["tracer", "piddm-odd_name-2"])
def test_a_new_package_announces_its_equation(name):
    assert call("new-plugin", name, "--out", "sub").exit_code == 0
    (folder,) = Path("sub").iterdir()
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    ((entry, module),) = project["project"]["entry-points"]["piddm"].items()
    assert entry == name.removeprefix("piddm-")
    assert (folder / "src" / module / "equation.py").is_file()
    assert len((folder / "src" / module / "equation.py").read_text().splitlines()) <= 60
    assert "{{" not in "".join(p.read_text() for p in folder.rglob("*") if p.is_file())


def test_what_the_command_says_to_do_next_can_be_done():
    said = call("new-plugin", "tracer").stdout
    (line,) = [li for li in said.splitlines() if "piddm verify" in li]
    words = shlex.split(line.split("piddm ", 1)[1])
    assert call(*words, "--check", "rows").exit_code == 0
    assert "piddm-tracer" in refused(call("new-plugin", "tracer"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Upper", "cannot name"), ("a--b", "cannot name"), ("1st", "cannot name"),
        ("../up", "cannot name"), ("piddm-", "cannot name"), ("burgers", "from plugin 'pdes'"),
        ("pdes", "'piddm_pdes' is installed already"),
    ],
)  # fmt: skip
def test_names_that_a_package_cannot_have(name, reason):
    assert reason in refused(call("new-plugin", "--", name))
    assert not list(Path().iterdir())


def test_a_place_that_cannot_be_written(tmp_path):
    write("file", "")
    with pytest.raises(PiddmError, match="choose another --out"):
        new_plugin("tracer", Path("file"))


def python(*words, folder=None, executable=sys.executable, **environment):
    run = subprocess.run(
        [executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_a_new_package_passes_its_own_tests():
    folder = new_plugin("tracer", Path())
    quick = "rows or floor or gradient or brings"
    said = python("-m", "pytest", "-q", "-k", quick, folder=folder)
    assert "4 passed" in said


# The example package.


def test_the_example_comes_from_its_entry_point(monkeypatch):
    monkeypatch.syspath_prepend(FISHER / "src")
    project = tomllib.loads((FISHER / "pyproject.toml").read_text())
    ((name, value),) = project["project"]["entry-points"]["piddm"].items()
    installed = Plugins()
    made = Plugins([*_installed(), EntryPoint(name, value, "piddm")])
    record = next(r for r in made.records if r.name == name)
    assert (record.status, record.error) == ("ok", "")
    assert not set(record.pdes) & {entry.name for entry in installed.list_pdes()}
    for pde in map(made.get_pde, record.pdes):
        found = verify(pde, ["rows", "floor", "order_of_residual"])
        assert found.passed, found.failed


def _installed():
    from importlib import metadata

    return metadata.entry_points(group="piddm")


def test_the_example_s_readme_runs(monkeypatch):
    monkeypatch.syspath_prepend(FISHER / "src")
    (code,) = re.findall(r"```python\n(.*?)```", (FISHER / "README.md").read_text(), re.DOTALL)
    exec(code, names := {})
    rates = names["residual"].fit({"u": names["data"].fields["u"]})["r"]
    torch.testing.assert_close(rates, names["data"].fields["r"], rtol=1e-3, atol=0)


# The page.


def test_the_page_names_every_hook_and_the_version():
    assert all(f"`{hook}`" in PAGE for hook in KIND_OF)
    assert f"It is {API}." in PAGE
    assert {kind for kind, _ in BLOCKS} == {"python", "console", "toml", "sh"}


def test_every_block_of_the_page_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    names = {"__name__": "page"}
    for kind, text in BLOCKS:
        file = re.match(r"# (\w+\.py)\n", text)
        if file:
            write(file[1], text)
        if kind == "sh":
            continue  # needs the hub: tests/test_hub.py has a stand-in
        if kind == "console":
            check_console(text)
        elif kind == "toml":
            project = tomllib.loads(Path("piddm-tidal-flat/pyproject.toml").read_text())["project"]
            assert tomllib.loads(text)["project"]["entry-points"] == project["entry-points"]
        elif not file or file[1] != "broken.py":
            exec(compile(text, "extending.md", "exec"), names)


def check_console(text):
    """Run each command; one that is followed by an error must end with it."""
    lines = text.splitlines()
    for line, then in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith("$ piddm "):
            assert line.startswith("error: ")
            continue
        words = shlex.split(line.removeprefix("$ piddm "))
        result = call(*words, *less_work(words[0]))
        if then.startswith("error: "):
            assert result.stderr.strip() == then
            assert result.exit_code == 2
        else:
            assert result.exit_code == 0, result.output


def less_work(command):
    """What makes a command of the page quick enough for a test."""
    if command in ("distill", "train"):
        tiny = [["--set", f"{k}={v}"] for k, v in TINY.items()]
        return [word for pair in tiny for word in pair]
    return ["--check", "rows", "--check", "floor"] if command == "verify" else []


# In an environment of its own, with pip.


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A Python that sees this one's packages, with piddm installed into it from a wheel."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("building a wheel needs hatchling, which is not installed")
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, system_site_packages=True, with_pip=True)
    own = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", own))
    # Where this Python is itself a virtual environment, the new one does not see its packages.
    seen = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    (packages / "seen.pth").write_text("\n".join(sorted(seen)))
    executable = Path(sysconfig.get_path("scripts", "venv", own)) / "python"
    install(executable, ROOT)
    return executable


def install(executable, source):
    words = ["--no-build-isolation", "--no-deps", "--ignore-installed", "--quiet"]
    python("-m", "pip", "install", *words, source, executable=executable)


@pytest.mark.slow
def test_the_example_installs_and_works(environment, tmp_path):
    install(environment, FISHER)

    def piddm_says(*words):
        return python(
            "-m", "piddm", *words, executable=environment, folder=tmp_path, PIDDM_HOME=str(tmp_path)
        )

    where = python("-c", "import piddm; print(piddm.__file__)", executable=environment)
    assert Path(where).is_relative_to(environment.parents[1])
    assert "piddm-fisher" in piddm_says("list-pdes")
    assert "fisher-walls passes" in piddm_says("verify", "fisher-walls", "--check", "floor")
    said = piddm_says("distill", "--pde", "fisher-walls", "--preset", "quick")
    assert "student" in said
    code = "import piddm; from piddm_fisher.equation import u; import torch\n"
    code += "pde = piddm.get_pde('fisher-walls'); start = torch.full((1, 64), 0.5).double()\n"
    code += "print(float(pde.solve({u.at(t=0): start})['u'][0, -1].mean()))"
    assert abs(float(python("-c", code, executable=environment)) - 0.982) < 1e-3


@pytest.mark.slow
def test_the_example_passes_all_of_its_own_tests():
    assert "passed" in python("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=FISHER)


@pytest.mark.slow
def test_a_new_package_installs_and_passes_all_of_its_own_tests(environment, tmp_path):
    # By the installed piddm: its templates must be in the wheel.
    words = ["-m", "piddm", "new-plugin", "tracer", "--out", tmp_path]
    assert "passes its own tests" in python(*words, executable=environment)
    page = "from piddm.reports.run_page import _TEMPLATES; _TEMPLATES.get_template('run.html')"
    python("-c", page, executable=environment)
    folder = tmp_path / "piddm-tracer"
    install(environment, folder)
    assert "tracer" in python("-m", "piddm", "list-pdes", executable=environment)
    assert "passed" in python("-m", "pytest", "-q", folder=folder, executable=environment)


@pytest.mark.slow
def test_the_equation_of_the_tutorial_passes_every_check():
    cells = json.loads((ROOT / "docs/tutorials/own_equation.ipynb").read_text())["cells"]
    (text,) = ["".join(c["source"][1:]) for c in cells if c["source"][0].startswith("%%writefile")]
    exec(text, names := {"__name__": "page"})
    assert piddm.testing.conforms(names["SEEPAGE"]).passed
