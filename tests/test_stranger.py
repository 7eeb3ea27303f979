"""A stranger's test: CONTRIBUTING's table, tried on a copy of the tree, a file and a line each."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILTIN = "core/piddm/plugins/builtin.py"
PDES = "plugins/piddm_pdes/__init__.py"
RIVALS = "plugins/piddm_baselines/__init__.py"


@dataclass(frozen=True)
class Addition:
    """A row of the table.

    Args:
        file: What is added.
        text: Its content.
        into: The file that makes it known, and
        after: the text in it that the line follows.
        line: The line.
        use: An expression that is true where it works.
    """

    file: str
    text: str
    into: str
    after: str
    line: str
    use: str


def hook(kind: str) -> str:
    """Return the start of the function of the built-ins that names one kind."""
    text = (ROOT / BUILTIN).read_text()
    (found,) = re.findall(rf"def piddm_register_{kind}\(register\):\n    \"\"\".*\"\"\"\n", text)
    return found


def built_in(kind: str, room: str, text: str, use: str) -> Addition:
    dotted = room.replace("/", ".")
    line = f'    register.lazy("stranger", "of a stranger", "piddm.{dotted}.stranger:made")\n'
    return Addition(f"core/piddm/{room}/stranger.py", text, BUILTIN, hook(kind), line, use)


EQUATION = """
from piddm import PDE, Axis, Grid, priors
from piddm.symbolic import D, Field, t, x

u = Field("u")
GRID = Grid(t=Axis(0, 1, 8, time=True), x=Axis(0, 1, 8, periodic=True))
STRANGER = PDE("stranger", "of a stranger", GRID, [u], {"heat": D(u, t) - D(u, x, 2) / 50},
               inputs={u.at(t=0): priors.GaussianField(2.5, 7.0)})
"""
METHOD = """
from piddm.interfaces import Method

class made(Method):
    def __init__(self, context):
        self.packing = context.packing

    def sample(self, noise, generator):
        return self.packing.colour(noise)
"""
BACKBONE = """
from torch import nn

class made(nn.Module):
    def __init__(self, channels, image, periodic, widths, depth, fold, mixed):
        super().__init__()
        self.layer = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x, t):
        return self.layer(x) * t[:, None, None, None]
"""
SOLVER = """
import torch
from piddm.interfaces import Members, Progress, Solver

class made(Solver):
    def __init__(self, run):
        self.run = run

    def solve(self, task, count, generator):
        packing = self.run.packing
        shape = (count, packing.channels, *packing.image)
        yield Progress("stranger", 1, 1, {})
        return Members(packing.unpack(packing.colour(torch.randn(shape, generator=generator))))
"""
STUDENT = """
from piddm.students.one_step import OneStepStudent as made
"""
COMMAND = """
import typer

def made(word: str = "nothing"):
    \"\"\"Say a word, of a stranger.\"\"\"
    typer.echo(f"said {word}")
"""
READER = """
import numpy as np
from piddm.interfaces import Reader
from piddm.data.readers.named_arrays import Held

class made(Reader):
    def opens(self, path, first):
        return first.startswith(b"STRANGER")

    def arrays(self, path):
        return Held(path, {"u": np.frombuffer(path.read_bytes()[8:])})
"""
METRIC = """
def made(comparison):
    return float((comparison.samples.mean() - comparison.data.mean()).abs())
"""

ADDITIONS = {
    "an equation": Addition(
        "plugins/piddm_pdes/stranger.py", EQUATION, PDES, "EQUATIONS = {\n",
        '    "stranger": "of a stranger",\n', "'heat' in piddm.get_pde('stranger').equations",
    ),
    "a rival, a variant of the student": Addition(
        "plugins/piddm_baselines/stranger.py", METHOD, RIVALS,
        "METHODS: dict[str, tuple[str, str]] = {\n",
        '    "rival": ("of a stranger", "stranger:made"),\n', "t.check_method('rival') is None",
    ),
    "a backbone": built_in("backbones", "networks", BACKBONE, "t.check_backbone(NAME) is None"),
    "a solver": built_in("solvers", "solvers", SOLVER, "t.check_solver(NAME) is None"),
    "a teacher, a student": built_in(
        "students", "students", STUDENT, "t.check_student(NAME) is None"
    ),
    "a command": built_in(
        "commands", "cli", COMMAND,
        "'said word' in call(NAME, '--word', 'word') and 'of a stranger' in call('--help')",
    ),
    "a reader of a file format": built_in(
        "readers", "data/readers", READER, "reader_of(b'STRANGER' + bytes(16)) == NAME"
    ),
    "a metric": built_in("metrics", "metrics", METRIC, "t.check_metric(NAME) is None"),
}  # fmt: skip
"""By the first column of CONTRIBUTING's table."""

USE = """
import piddm
import piddm.testing as t
from typer.testing import CliRunner
from piddm.cli.app import app

from pathlib import Path
from piddm.runs.reading import opened

NAME = 'stranger'

def reader_of(content):
    Path("file").write_bytes(content)
    return opened("file")[0]

def call(*words):
    return CliRunner().invoke(app, list(words)).output
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """What each addition's use gives, in a tree with all of them."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("core", "plugins"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for addition in ADDITIONS.values():
        assert not (tree / addition.file).exists()
        (tree / addition.file).write_text(addition.text)
        known = (tree / addition.into).read_text()
        assert known.count(addition.after) == 1
        changed = known.replace(addition.after, addition.after + addition.line)
        assert len(changed.splitlines()) == len(known.splitlines()) + 1
        (tree / addition.into).write_text(changed)
    uses = {row: addition.use for row, addition in ADDITIONS.items()}
    code = USE + f"print({json.dumps(list(uses))!r})\n"
    for use in uses.values():
        code += f"print(bool({use}))\n"
    path = f"import sys; sys.path[:0] = [{str(tree / 'core')!r}, {str(tree / 'plugins')!r}]\n"
    run = subprocess.run(
        [sys.executable, "-c", path + code], capture_output=True, text=True, check=False, cwd=tree
    )
    assert run.returncode == 0, run.stderr
    return dict(zip(uses, run.stdout.split("\n")[1:], strict=False))


@pytest.mark.parametrize("row", ADDITIONS)
def test_one_file_and_one_line_make_it_known(used, row):
    assert used[row] == "True"


def test_the_table_has_these_rows():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    table = page[page.index("| to add |") :].split("\n\n")[0].splitlines()[2:]
    rows = {row.split("|")[1].strip(): row for row in table}
    assert set(ADDITIONS) <= set(rows)
    for name, addition in ADDITIONS.items():
        folder = str(Path(addition.file).parent)
        assert folder.split("/")[-1] + "/`" in rows[name]
        assert addition.into in rows[name] or "`__init__.py`" in rows[name]
