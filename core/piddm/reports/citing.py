"""Sources of exactly the methods that a run used, as BibTeX.

A module that implements a published method says so by a constant ``CITATION``; a plugin's may, too.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from piddm.config import Config
from piddm.equation import PDE
from piddm.metrics import energy
from piddm.plugins.loader import current
from piddm.tools.about import __version__

PIDDM = r"""
@misc{zhang2025physics,
  title = {Physics-Informed Distillation of Diffusion Models for {PDE}-Constrained Generation},
  author = {Zhang, Yi and Wang, Peng and Zou, Difan},
  year = {2025},
  eprint = {2505.22391},
  archivePrefix = {arXiv},
}
"""
"""The method that all runs follow."""

ENTRY = re.compile(r"^@\w+\{([^,\s]+),.*?^\}", re.MULTILINE | re.DOTALL)
"""An entry of BibTeX that begins and ends a line, and its key."""


@dataclass(frozen=True)
class Source:
    """A publication that a run relies on.

    Args:
        key: Its key in BibTeX.
        used: The part of the run that relies on it: ``"network fno"``.
        bibtex: The entry.
    """

    key: str
    used: str
    bibtex: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def sources(config: Config) -> list[Source]:
    """Return the publications behind a run's method, network, teacher, student and losses."""
    chosen = {
        "backbone": config.network.name, "teacher": config.teacher.name,
        "student": config.student.name,
    }  # fmt: skip
    software = f"@software{{piddm,\n  title = {{piddm}},\n  version = {{{__version__}}},\n}}"
    found = [Source("piddm", "software", software), *_entries(PIDDM, "method")]
    for kind, name in chosen.items():
        for text in _texts(current().get(kind, name)):
            found += _entries(text, f"{kind} {name}")
    if config.student.energy_weight > 0:
        found += _entries(energy.CITATION, "energy distance")
    return list({source.key: source for source in reversed(found)}.values())[::-1]


def equation_note(pde: PDE) -> str:
    """Return a comment with the source of an equation, as its author wrote it."""
    said = " ".join(pde.source.split())
    return f"% equation {pde.name}: {said or 'no source is given'}"


def _texts(made: Any) -> Iterator[str]:
    """Yield the citations of a class's module and of those that it is derived from."""
    classes = inspect.getmro(made) if inspect.isclass(made) else (made,)
    for name in dict.fromkeys(c.__module__ for c in classes):
        text = getattr(sys.modules.get(name), "CITATION", "")
        if isinstance(text, str):
            yield text


def _entries(text: str, used: str) -> list[Source]:
    return [Source(found[1], used, found[0]) for found in ENTRY.finditer(text)]
