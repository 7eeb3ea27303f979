"""The rules of the house that no type checker holds: who imports whom, and what never runs."""

import ast
import graphlib
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

import piddm
from piddm.plugins import Plugins, current

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "core").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PLUGIN_PACKAGES = {"piddm_pdes", "piddm_baselines", "piddm_students"}
EQUATIONS = sorted(entry.name for entry in piddm.list_pdes() if entry.plugin == "pdes")

LONGEST = 300
"""Lines of a file of core or plugins."""

LONGEST_TEST = 400
"""Lines of a file of tests."""

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_BUILTINS = {"eval", "exec", "compile", "__import__"}
UNSAFE_CALLS = {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
UNSAFE_PARSERS = {"parse_expr", "lambdify", "S"}


def imports(tree):
    """Names of the modules a file imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strings(tree):
    """Strings of a file that are not docstrings."""
    bare = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.value


def reaches_into_plugins(text):
    tree = ast.parse(text)
    names = {name.split(".")[0] for name in imports(tree)}
    words = {word for value in strings(tree) for word in re.findall(r"\w+", value)}
    return sorted((names | words) & PLUGIN_PACKAGES)


def identifiers(tree):
    """Names that a file gives or takes: of variables, attributes, arguments, functions, modules."""
    for node in ast.walk(tree):
        for part in ("id", "attr", "arg", "name", "asname", "module"):
            if isinstance(name := getattr(node, part, None), str):
                yield name


def names_an_equation(text):
    """Equations that code names, in whatever spelling: prose may, in docstrings and comments."""
    tree = ast.parse(text)
    words = "\n".join([*strings(tree), *identifiers(tree)])
    # CamelCase is words, too, and so is each part of a name.
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words).lower()
    return [
        name
        for name in EQUATIONS
        if re.search(rf"(?<![a-z]){name.replace('-', '[-_ ]?')}(?![a-z])", words)
    ]


def runs_foreign_code(text):
    tree = ast.parse(text)
    found = {name for name in imports(tree) if name.split(".")[0] in UNSAFE_MODULES}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        function = ast.unparse(call.func)
        last = function.split(".")[-1]
        keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
        # torch's reader of tensors only, which refuses whatever else a file holds.
        tensors = function == "torch.load" and keywords.get("weights_only") == "True"
        if (
            (function in UNSAFE_BUILTINS | UNSAFE_CALLS and not tensors)
            or last in UNSAFE_PARSERS
            or (last == "sympify" and keywords.get("strict") != "True")
            or keywords.get("allow_pickle", "False") != "False"
            or keywords.get("weights_only", "True") != "True"
        ):
            found.add(function)
    return sorted(found)


def relative(path):
    return str(path.relative_to(ROOT))


def test_there_is_something_to_check():
    assert {"grid.py", "loader.py", "dataset.py"} <= {path.name for path in CORE}
    assert {"burgers", "darcy-neumann"} <= set(EQUATIONS)


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_core_knows_no_plugin_and_no_equation(path):
    text = path.read_text()
    assert reaches_into_plugins(text) == []
    assert names_an_equation(text) == []


@pytest.mark.parametrize("path", CORE + PLUGINS, ids=relative)
def test_nothing_read_is_ever_run(path):
    assert runs_foreign_code(path.read_text()) == []


@pytest.mark.parametrize("path", CORE + PLUGINS + TESTS, ids=relative)
def test_a_file_can_be_read_in_one_sitting(path):
    longest = LONGEST_TEST if path in TESTS else LONGEST
    assert len(path.read_text().splitlines()) <= longest


def test_no_two_files_have_one_name():
    names = [path.stem for path in CORE + PLUGINS if path.stem != "__init__"]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def untold(text):
    """Constants of a module without a docstring after them or after those that follow at once."""
    body, found, group = ast.parse(text).body, [], []
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        called = isinstance(node.value, ast.Call) and ast.unparse(node.value.func)
        if called != "PDE":  # which has a summary
            group += [name for name in names if re.fullmatch(r"[A-Z][A-Z0-9_]+", name)]
        told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if told:
            group = []
        elif after is None or after.lineno > node.end_lineno + 1:
            found, group = found + group, []
    return found


@pytest.mark.parametrize("path", CORE + PLUGINS, ids=relative)
def test_constants_say_what_they_are(path):
    assert untold(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("A1 = 1\n", ["A1"]),
        ("A1 = 1\nB1: int = 2\n\nC1 = 3\n'three'\n", ["A1", "B1"]),
        ("A1 = 1\nB1 = 2\n'both'\nlower = 3\n", []),
        ("X1 = PDE('x')\n", []),
    ],
)
def test_the_check_sees_constants_that_say_nothing(text, names):
    assert untold(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "import piddm_pdes",
        "def f():\n    from piddm_pdes.any import ANY",
        "from piddm_baselines import rival",
        "importlib.import_module('piddm_pdes.any')",
    ],
)
def test_the_check_sees_imports_of_plugins(text):
    assert reaches_into_plugins(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("if pde.name == 'burgers': pass", ["burgers"]),
        ("f'{n} is not like Darcy flow'", ["darcy"]),
        ("kind = 'allen-cahn'", ["allen-cahn"]),
        ("SCALE = {'Fisher KPP': 2}", ["fisher-kpp"]),
        ("def solve_heat(f): pass", ["heat"]),
        ("class DarcyNeumann: pass", ["darcy", "darcy-neumann"]),
        ("NAVIER_STOKES = 1", ["navier-stokes", "stokes"]),
        ("import kdv as k", ["kdv"]),
        ("f(poisson=True)", ["poisson"]),
        ("x.advection", ["advection"]),
        ("def f():\n    'As for burgers.'\n    # and darcy\n    x = 1", []),
        ("wheat = 'cheating, preheated'", []),
    ],
)
def test_the_check_sees_names_of_equations(text, names):
    assert names_an_equation(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "def f():\n    import joblib",
        "eval('1')",
        "exec(text)",
        "compile(text, 'a', 'exec')",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.save(model, path)",
        "np.load(path, allow_pickle=True)",
        "load(path, weights_only=False)",
        "yaml.load(text)",
        "sympy.sympify(text)",
        "sympify(text, strict=False)",
        "sympy.parsing.sympy_parser.parse_expr(text)",
        "sympy.S('x')",
    ],
)
def test_the_check_sees_code_that_runs_text(text):
    assert runs_foreign_code(text)


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        "torch.load(path, weights_only=True)",
        "torch.compile(f)",
        "re.compile('a')",
        "sympify(value, strict=True)",
    ],
)
def test_the_check_lets_pass_what_is_safe(text):
    assert runs_foreign_code(text) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import piddm; dir(piddm); piddm.hookimpl",
        "import piddm.plugins",
        "import piddm; assert piddm.list_pdes()",
        "from piddm.plugins import list_plugins; assert list_plugins()",
    ],
)
def test_listing_imports_nothing_heavy(statement):
    heavy = "{'torch', 'sympy', 'numpy', 'scipy', 'h5py', 'pydantic', 'matplotlib'}"
    code = f"import sys\n{statement}\nprint(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


FACES = {"piddm", "piddm.__main__", "piddm.interfaces", "piddm.testing"}
"""For people and authors: nothing inside imports them."""

ROOMS = "A room imports only rooms below it"
PLUGINS_OUT = "Core knows no plugin"
DOOR = "Compiled programs have one door"


def lint(core):
    """Run the contracts of pyproject.toml on a copy of core, or on core itself."""
    code = (
        "import sys; from importlinter.cli import lint_imports; "
        f"sys.exit(lint_imports(config_filename={str(ROOT / 'pyproject.toml')!r}, no_cache=True))"
    )
    path = f"import sys; sys.path[:0] = [{str(core)!r}, {str(ROOT / 'plugins')!r}]; "
    return subprocess.run(
        [sys.executable, "-c", path + code], capture_output=True, text=True, check=False, cwd=ROOT
    )


def imports_inside():
    """Each module of core and those it imports, wherever it does."""
    graph = grimp.build_graph("piddm", cache_dir=None)
    return {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}


def cycle(imported):
    try:
        graphlib.TopologicalSorter(imported).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def floors():
    """The floors of the map in the package's docstring, ground first."""
    found = []
    for bar, room in re.findall(r"^(\| )?([a-z]+) {2,}\S", piddm.__doc__, re.MULTILINE):
        if bar:
            found[-1].add(room)
        else:
            found.append({room})
    return found


def test_imports_go_down():
    run = lint(ROOT / "core")
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("contract", "file", "line"),
    [
        (ROOMS, "tools/errors.py", "    from piddm.grids.grid import Grid"),
        (ROOMS, "numerics/newton.py", "    from piddm.equation import PDE"),
        (ROOMS, "plugins/loader.py", "    from piddm.cli.app import app"),
        (ROOMS, "figures/sphere_maps.py", "    from piddm.runs.folder import home"),
        (PLUGINS_OUT, "residuals/residual.py", "    from piddm_pdes.burgers import BURGERS"),
        (DOOR, "numerics/jacobian.py", "    from piddm.residuals.programs.steps import Step"),
    ],
)
def test_an_import_that_goes_up_is_seen(tmp_path, contract, file, line):
    shutil.copytree(ROOT / "core" / "piddm", tmp_path / "piddm")
    with (tmp_path / "piddm" / file).open("a") as more:
        more.write(f"\n\ndef lazily():\n{line}\n")
    run = lint(tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"{contract} BROKEN" in run.stdout, run.stdout


def test_no_files_import_each_other_in_a_circle():
    assert cycle(imports_inside()) == []


def test_a_circle_is_seen():
    imported = imports_inside()
    below = "piddm.runs.workspace"
    assert below in imported["piddm.runs.stages"]
    found = cycle(imported | {below: {"piddm.runs.stages"}})
    assert {below, "piddm.runs.stages"} <= set(found)


def test_nothing_inside_imports_a_face():
    imported = imports_inside()
    assert {m: faces for m in imported if m not in FACES and (faces := imported[m] & FACES)} == {}


def test_the_map_shows_the_rooms_and_floors_that_there_are():
    rooms = {path.stem for path in (ROOT / "core" / "piddm").iterdir() if path.suffix != ".typed"}
    others = {"__init__", "__main__", "__pycache__", "interfaces", "testing"}
    assert set().union(*floors()) == rooms - others
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    assert floors() == [set(layer.split(" | ")) for layer in reversed(layers)]


def test_the_list_of_commands_says_what_their_own_help_does():
    commands = Plugins([]).list_all("command")
    assert {"list-pdes", "distill", "solve", "new-plugin"} <= {e.name for e in commands}
    for entry in commands:
        function = current().get("command", entry.name)
        own = " ".join(inspect.getdoc(function).split("\n\n")[0].split())
        assert own.startswith(entry.summary), entry.name
