"""What an installation brings: the recipe says what pyproject.toml does, and extras stay extras."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
"""Names of conda-forge that differ from PyPI's."""

BASE = {
    "accelerate", "h5py", "jinja2", "matplotlib", "numpy", "pluggy", "pydantic", "pyyaml", "rich",
    "safetensors", "scipy", "sympy", "threadpoolctl", "torch", "torch-harmonics", "typer",
}  # fmt: skip
"""What everybody installs; anything else is an extra."""

EXTRAS = (
    "sklearn", "huggingface_hub", "starlette", "uvicorn", "onnx", "onnxruntime", "tensorboard",
    "wandb", "xarray", "mkdocs", "playwright",
)  # fmt: skip
"""Modules of extras, which looking around does not import."""


def requirements(lines):
    """Name to bounds."""
    pairs = (re.fullmatch(r"([\w-]+)(?:\[.*\])?\s*(.*)", line).groups() for line in lines)  # pyright: ignore
    return {CONDA.get(name, name): bounds for name, bounds in pairs}


def recipe():
    """The recipe as YAML, its templates filled."""
    text = (ROOT / ".github" / "conda" / "meta.yaml").read_text()
    (version,) = re.findall(r'set version = "(.*)"', text)
    text = re.sub(r"{%.*?%}", "", text).replace("{{ version }}", version)
    return yaml.safe_load(re.sub(r"{{.*?}}", "x", text))


def test_the_recipe_says_what_pyproject_does():
    made = recipe()
    assert set(made) == {"package", "source", "build", "requirements", "test", "about"}
    assert made["package"] == {"name": "piddm", "version": PROJECT["version"]}
    run = requirements(made["requirements"]["run"])
    assert run.pop("python") == ">=x"
    assert run == requirements(PROJECT["dependencies"])
    scripts = [f"{name} = {place}" for name, place in PROJECT["scripts"].items()]
    assert made["build"]["entry_points"] == scripts
    assert made["about"]["license"] == PROJECT["license"]


def test_nobody_installs_more_than_before():
    assert set(requirements(PROJECT["dependencies"])) == BASE
    for name, lines in PROJECT["optional-dependencies"].items():
        assert not {"torch", "torchvision", "deepinv"} & set(requirements(lines)), name


def test_the_workflow_has_each_python_and_both_packages():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    versions = yaml.safe_load(text)["jobs"]["readme"]["strategy"]["matrix"]["python"]
    told = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert versions == told == ["3.11", "3.12", "3.13"]
    assert "python -m build" in text
    assert ".github/packages.sh dist" in text


def test_looking_around_imports_no_extra():
    code = (
        "import sys\nfrom piddm.cli.app import app\nimport piddm\n"
        "for words in (['list-pdes'], ['models'], ['push', '--help'], ['view', '--help']):\n"
        "    try:\n        app(words)\n    except SystemExit as end:\n        assert not end.code\n"
        f"assert not set({EXTRAS!r}) & set(sys.modules), set({EXTRAS!r}) & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
