"""The tutorials: notebooks without outputs, and what runs them when the site is made."""

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
BROKEN = [["ok = 1\n", "ok"], ["raise KeyError('why')"]]


@pytest.fixture
def notebooks(monkeypatch, tmp_path):
    """The site's module, which is no package's, in a folder of its own."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / ".site"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return importlib.import_module("notebooks")


def notebook(path, cells, tags=()):
    code = [{"cell_type": "code", "metadata": {"tags": list(tags)}, "source": c} for c in cells]
    path.write_text(json.dumps({"cells": code}))
    return path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_kept_without_outputs_and_are_on_the_site(path):
    content = json.loads(path.read_text("utf-8"))
    assert content["nbformat"] == 4
    assert path.stat().st_size < 50_000
    first = content["cells"][0]
    assert (first["cell_type"], first["source"][0][:2]) == ("markdown", "# ")
    for cell in content["cells"]:
        assert cell["cell_type"] != "code" or (cell["outputs"], cell["execution_count"]) == (
            [],
            None,
        )
    assert f"tutorials/{path.stem}.md" in (ROOT / ".mkdocs.yml").read_text()


def test_what_a_tutorial_is_about_is_there():
    assert {p.stem for p in NOTEBOOKS} == {
        "own_equation", "own_data", "sensors_to_map", "own_rival", "cluster",
    }  # fmt: skip


def test_cells_show_what_they_print_return_and_draw(notebooks, tmp_path):
    cells = [
        ["%%writefile mine.py\n", "ANSWER = 42\n"],
        ["%matplotlib inline\n", "from mine import ANSWER\n", "print('<b>', ANSWER)\n",
         "ANSWER + 1"],
        ["!echo one && \\\n", "  echo two"],
        ["from matplotlib.figure import Figure\n", "drawn = Figure((2, 1))\n", "drawn"],
        ["drawn;"],
        ["class Formula:\n", "    def _repr_html_(self):\n", "        return '<p>$a < b$</p>'\n",
         "Formula()"],
    ]  # fmt: skip
    notebooks.page(notebook(tmp_path / "n.ipynb", cells), tmp_path)
    page = (tmp_path / "page.md").read_text()
    for words in ('```python title="mine.py"', "<pre>&lt;b&gt; 42</pre>", "<pre>43</pre>",
                  "$ echo one && \\", "<pre>one\ntwo</pre>", "](n-1.png)", "\\(a < b\\)",
                  "[n.ipynb](n.ipynb)"):  # fmt: skip
        assert words in page, words
    assert "matplotlib inline" not in page
    assert page.count(".png") == 1  # a line that ends with a semicolon shows nothing
    assert (tmp_path / "n-1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("cells", "why"),
    [(BROKEN, "cell 2: .*KeyError: 'why'"), ([["!exit 3"]], "ended with code 3"),
     ([["%matplotlib inline\n", "nothing"]], "NameError")],
)  # fmt: skip
def test_a_cell_that_fails_fails_the_site(notebooks, tmp_path, cells, why):
    with pytest.raises(notebooks.CellError, match=f"(?s){why}"):
        notebooks.page(notebook(tmp_path / "n.ipynb", cells), tmp_path)


def test_a_cell_may_be_there_to_fail(notebooks, tmp_path):
    notebooks.page(notebook(tmp_path / "n.ipynb", BROKEN[1:], ["raises-exception"]), tmp_path)
    assert "KeyError: &#x27;why&#x27;" in (tmp_path / "page.md").read_text()
    with pytest.raises(notebooks.CellError, match="did not fail"):
        notebooks.page(notebook(tmp_path / "n.ipynb", BROKEN[:1], ["raises-exception"]), tmp_path)
