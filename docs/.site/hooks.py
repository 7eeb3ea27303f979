"""The site's hooks for MkDocs (``.mkdocs.yml``): made pages, links that leave ``docs``, formulas.

Formulas become MathML when the site is built, and docstrings' roles become code; a reader's browser
fetches nothing from elsewhere.
"""

from __future__ import annotations

import html
import logging
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

import griffe
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

from piddm.portable.page_file import write_page
from piddm.pretrained import load_model
from piddm.tools.errors import PiddmError

sys.path.insert(0, str(Path(__file__).parent))

import generated
import notebooks

log = logging.getLogger("mkdocs.hooks.piddm")
ROOT = Path(__file__).parents[2]
COPIED = {
    "index.md": "README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
"""Pages of the site to files above ``docs``."""


DEMONSTRATION, MODEL = "demonstration.html", "burgers-64"
"""The page that runs a student in the browser, and whose."""


def on_config(config: Any) -> Any:
    """List the equations' pages below their section."""
    for entry in config.nav:
        if (section := entry.get("Equations")) is not None:
            pages = sorted((ROOT / "docs" / "equations").glob("*.md"))
            section += [f"equations/{path.name}" for path in pages]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made, and those that lie above ``docs``."""
    made = {generated.page(face): generated.reference(face) for face in generated.FACES}
    made |= {
        "reference/commands.md": generated.commands(),
        "reference/settings.md": generated.settings(),
        "reference/hooks.md": generated.hooks(),
    }
    made |= {name: (ROOT / source).read_text() for name, source in COPIED.items()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    for path in sorted(notebooks.TUTORIALS.glob("*.ipynb")):
        for name, content in tutorial(path).items():
            files.append(File.generated(config, f"tutorials/{name}", content=content))
    if (text := demonstration()) is not None:
        files.append(File.generated(config, DEMONSTRATION, content=text))
    return files


@cache
def _run(path: Path, text: str) -> dict[str, str | bytes]:
    text, pictures = notebooks.shown(path)
    return {path.with_suffix(".md").name: text, **pictures}


def tutorial(path: Path) -> dict[str, str | bytes]:
    """Return a notebook's page, run, and its pictures; what fails is a warning."""
    try:
        return _run(path, path.read_text("utf-8"))
    except notebooks.CellError as error:
        log.warning("%s", error)
        return {path.with_suffix(".md").name: f"# {path.stem}\n\nIt failed.\n"}


def demonstration() -> str | None:
    """Return the demonstration; None where its runtime cannot be had, which is told."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / DEMONSTRATION
            write_page(load_model(MODEL), path, unpolished=True, say=log.info)
            return path.read_text("utf-8")
    except PiddmError as error:
        log.info("the site has no demonstration: %s", error)
        return None


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links between files of the repository into links between pages, or into plain text."""
    source = COPIED.get(page.file.src_uri, join("docs", page.file.src_uri))
    back = {above: name for name, above in COPIED.items()}

    def moved(found: re.Match[str]) -> str:
        mark, text, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return found[0]
        whole = normpath(join(dirname(source), path))
        name = back.get(whole, whole.removeprefix("docs/"))
        if name.endswith(".ipynb") and name.removeprefix("tutorials/") != page.file.name + ".ipynb":
            name = name.replace(".ipynb", ".md")  # as it is shown; its own page has the file
        if files.get_file_from_path(name) is None:
            return text  # a file of the source, which is no page
        up = "../" * page.file.src_uri.count("/")
        return f"{mark}[{text}]({up}{name}{'#' + anchor if anchor else ''})"

    if files.get_file_from_path(DEMONSTRATION):
        # A link of the site alone: the file is in no repository.
        up = "../" * page.file.src_uri.count("/")
        markdown = markdown.replace("`demonstration.html`", f"[demonstration]({up}{DEMONSTRATION})")
    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", moved, markdown)


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """Turn formulas into MathML."""
    tag = r'<(span|div) class="arithmatex">(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>'

    def shown(found: re.Match[str]) -> str:
        display = "block" if found[1] == "div" else "inline"
        return convert(html.unescape(found[2]), display=display)

    return re.sub(tag, shown, content, flags=re.S)


class Docstrings(griffe.Extension):
    """Formulas and roles of docstrings, as the site's Markdown writes them."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of what was read."""
        if obj.docstring:
            obj.docstring.value = generated.plain(obj.docstring.value)
