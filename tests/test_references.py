"""What docstrings and pages name exists: modules and members, files, targets of links."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = [p for d in ("core", "plugins", "benchmarks", "examples") for p in (ROOT / d).rglob("*.py")]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
ROLE = re.compile(r":(?:mod|class|func|meth|data|attr|exc):`~?(piddm[\w.]+)`")
DOTTED = re.compile(r"\bpiddm(?:_pdes|_baselines|_students)?(?:\.\w+)+")
FILE = re.compile(r"`([\w/-]+\.(?:py|md))`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
ROOTS = [ROOT, ROOT / "core/piddm", ROOT / "core", ROOT / "docs", ROOT / "tests"]
"""Folders from which prose names files."""


def exists(name: str) -> bool:
    """Return whether a dotted name can be imported, or is an attribute or a field of one."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            if part in getattr(found, "__annotations__", {}):
                return True
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def names_of(pattern: re.Pattern, paths: list[Path]) -> list[tuple[str, str]]:
    found = {(label(p), m) for p in paths for m in pattern.findall(p.read_text("utf-8"))}
    return sorted(found)


@pytest.mark.parametrize(
    ("pattern", "paths"), [(ROLE, CODE), (DOTTED, PAGES)], ids=["code", "docs"]
)
def test_names_exist(pattern, paths):
    found = names_of(pattern, paths)
    assert len(found) > 10
    assert [(path, name) for path, name in found if not exists(name)] == []


def test_files_of_pages_exist():
    found = names_of(FILE, PAGES)
    assert len(found) > 10
    roots = {path: [*ROOTS, (ROOT / path).parent] for path, _ in found}
    assert [(p, f) for p, f in found if not any((r / f).exists() for r in roots[p])] == []


def test_links_of_pages_lead_somewhere():
    found = names_of(LINK, PAGES)
    assert len(found) > 10
    assert [(p, link) for p, link in found if not ((ROOT / p).parent / link).exists()] == []


@pytest.mark.parametrize("name", ["piddm.packing", "piddm.api.Run.nothing", "piddm.nowhere.at_all"])
def test_a_name_that_is_not_there_is_seen(name):
    assert not exists(name)
