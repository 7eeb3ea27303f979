"""The tutorials: notebooks that are run when the site is made, and shown with their output.

A notebook of ``docs/tutorials`` is kept without outputs. It is run here as Jupyter would, in a
process, a folder and a ``$PIDDM_HOME`` of its own: Python with its last expression shown,
``!command``, ``%%writefile NAME``, ``%matplotlib inline``. No kernel is needed for that. A cell
that fails is a warning, which ends a strict build; one that is tagged ``raises-exception``, as
Jupyter has it, must fail.

``python docs/.site/notebooks.py FILE...`` runs some by hand, and prints what each took.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from html import escape
from pathlib import Path
from typing import Any

TUTORIALS = Path(__file__).parents[1] / "tutorials"
"""Folder of the notebooks."""

DOTS = 100
"""Dots per inch of figures."""

PATIENCE = 600
"""Seconds that a notebook may take on a machine with other work."""


class CellError(Exception):
    """A cell that failed, or did not where it should."""


def shown(path: Path) -> tuple[str, dict[str, bytes]]:
    """Run a notebook in a process of its own; return its page and the pictures by name.

    Raises:
        CellError: If a cell fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        home, out = Path(folder) / "home", Path(folder) / "out"
        home.mkdir()
        out.mkdir()
        own = {"PIDDM_HOME": str(home), "PIDDM_TUTORIAL": "1", "MPLBACKEND": "agg"}
        own["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        left_out = {k: v for k, v in os.environ.items() if k != "PIDDM_PLUGINS"}
        # Two threads beside another program take ten times what one takes.
        own["OMP_NUM_THREADS"] = "1"
        words = [sys.executable, str(Path(__file__).resolve()), "--into", str(out)]
        done = subprocess.run(
            [*words, str(path.resolve())], cwd=home, env=left_out | own, timeout=PATIENCE,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CellError(f"{path.name}: {done.stderr.strip()[-2000:]}")
        pictures = {p.name: p.read_bytes() for p in sorted(out.glob("*.png"))}
        return (out / "page.md").read_text("utf-8"), pictures


def page(path: Path, out: Path) -> None:
    """Run a notebook in this process and this folder; write ``page.md`` and pictures."""
    names: dict[str, Any] = {"__name__": "__main__"}
    sys.path.insert(0, "")  # files that cells write can be imported
    parts, pictures = [], Pictures(out, path.stem)
    for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"], 1):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(fence(source))
        fails = "raises-exception" in cell["metadata"].get("tags", [])
        text, value, error = run(source, names)
        if bool(error) != fails:
            raise CellError(f"cell {number}: {error or 'did not fail, as its tag says'}\n{text}")
        parts += told(text + (error.splitlines()[-1] if error else ""), value, pictures)
    parts.append(
        f"\nThis page is a notebook, run when the site was made: [{path.name}]({path.name})."
    )
    (out / "page.md").write_text("\n\n".join(parts) + "\n", "utf-8")


def run(source: str, names: dict[str, Any]) -> tuple[str, Any, str]:
    """Run a cell; return what it printed, the value of its last line, and its error if any."""
    first, _, rest = source.partition("\n")
    if first.startswith("%%writefile "):
        Path(first.split()[1]).write_text(rest + "\n", "utf-8")
        return "", None, ""
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        try:
            for kind, text in _pieces(source):
                value = _command(text) if kind == "!" else _python(text, names)
        except SystemExit:
            return printed.getvalue(), None, "SystemExit"
        except Exception:
            return printed.getvalue(), None, traceback.format_exc()
    return printed.getvalue(), value, ""


def _pieces(source: str) -> list[tuple[str, str]]:
    """Return a cell as commands of the shell and Python between them."""
    found: list[tuple[str, str]] = []
    for line in source.replace("\\\n", "").splitlines():  # continued lines
        if line.startswith("%matplotlib"):
            continue
        if line.startswith("!"):
            found.append(("!", line[1:]))
        elif found and found[-1][0] == "py":
            found[-1] = ("py", f"{found[-1][1]}\n{line}")
        else:
            found.append(("py", line))
    return found


def _command(text: str) -> None:
    """Run a command; what it says of its progress, on standard error, is not shown."""
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False)
    print(done.stdout, end="")
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:]
        raise CellError(f"'{text}' ended with code {done.returncode}: {''.join(said)}")


def _python(text: str, names: dict[str, Any]) -> Any:
    tree, value = ast.parse(text), None
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr) and not text.rstrip().endswith(";"):
        tree.body.pop()
    exec(compile(tree, "cell", "exec"), names)
    if isinstance(last, ast.Expr) and last not in tree.body:
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return value


class Pictures:
    """Writes pictures under names that follow one another.

    Args:
        folder: Where to.
        stem: What the names begin with.
    """

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder, self.stem, self.count = folder, stem, 0

    def keep(self, figure: Any) -> str:
        """Write a figure of matplotlib; return the name of its file."""
        self.count += 1
        name = f"{self.stem}-{self.count}.png"
        figure.savefig(self.folder / name, dpi=DOTS)
        return name


def fence(source: str) -> str:
    """Return a cell's source as Markdown: files by their name, commands as at a prompt."""
    lines = [line for line in source.splitlines() if not line.startswith("%matplotlib")]
    if lines[0].startswith("%%writefile "):
        return "\n".join([f'```python title="{lines[0].split()[1]}"', *lines[1:], "```"])
    if all(line.startswith("!") for line in lines):
        return "\n".join(["```console", *(f"$ {line[1:]}" for line in lines), "```"])
    if lines[0].startswith("!") and all(line.endswith("\\") for line in lines[:-1]):
        return "\n".join(["```console", f"$ {lines[0][1:]}", *lines[1:], "```"])
    return "\n".join(["```python", *lines, "```"])


def told(text: str, value: Any, pictures: Pictures) -> list[str]:
    """Return what a cell printed and its last value, as Markdown."""
    parts = (
        [f'<div class="cell-output"><pre>{escape(text.rstrip())}</pre></div>']
        if text.strip()
        else []
    )
    if value is None:
        return parts
    if hasattr(value, "savefig"):  # first: a figure's HTML is nothing
        return [*parts, f"![What the cell above draws]({pictures.keep(value)})"]
    if hasattr(value, "_repr_html_"):
        # Formulas as the site's own are written; hooks.py turns them into MathML.
        text = re.sub(r"\$([^$]+)\$", r'<span class="arithmatex">\\(\1\\)</span>',
                      value._repr_html_())  # fmt: skip
        return [*parts, f'<div class="cell-output">{text}</div>']
    return [*parts, f'<div class="cell-output"><pre>{escape(repr(value))}</pre></div>']


def main(words: list[str]) -> int:
    """Run notebooks by hand, or one into a folder."""
    if words[:1] == ["--into"]:
        try:
            page(Path(words[2]), Path(words[1]))
        except CellError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    for word in words or map(str, sorted(TUTORIALS.glob("*.ipynb"))):
        began = time.perf_counter()
        _, pictures = shown(Path(word))
        print(f"{word}: {time.perf_counter() - began:.0f} s, {len(pictures)} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
