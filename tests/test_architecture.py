"""The rules of the house that no type checker holds: who imports whom, and what never runs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import piddm

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "core").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
PLUGIN_PACKAGES = {"piddm_pdes", "piddm_baselines"}
EQUATIONS = sorted(entry.name for entry in piddm.list_pdes() if entry.plugin == "pdes")

LONGEST = 400
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
        if (
            function in UNSAFE_BUILTINS | UNSAFE_CALLS
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
    assert {"grid.py", "plugins.py", "dataset.py"} <= {path.name for path in CORE}
    assert {"burgers", "darcy-neumann"} <= set(EQUATIONS)


@pytest.mark.parametrize("path", CORE, ids=relative)
def test_core_knows_no_plugin_and_no_equation(path):
    text = path.read_text()
    assert reaches_into_plugins(text) == []
    assert names_an_equation(text) == []


@pytest.mark.parametrize("path", CORE + PLUGINS, ids=relative)
def test_nothing_read_is_ever_run(path):
    assert runs_foreign_code(path.read_text()) == []


@pytest.mark.parametrize("path", CORE + PLUGINS, ids=relative)
def test_a_file_can_be_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= LONGEST


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
    ["model.eval()", "torch.compile(f)", "re.compile('a')", "sympify(value, strict=True)"],
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
