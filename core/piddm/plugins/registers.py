"""Registers, which the hooks of plugins are handed: they collect names and import nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piddm.plugins.contracts import unwritten
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.equation import PDE

NAME = re.compile(r"[a-z][a-z0-9_-]*")
"""Names that can be typed on the command line and be those of folders."""

_LOCATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
"""Where something is: ``module:attribute``."""


class Register:
    """Collects what one plugin brings of one kind.

    Args:
        kind: One of the values of :data:`piddm.plugins.hooks.KIND_OF`.
        taken: Returns why a name cannot be had, or nothing. It is asked at once, so that the
            plugin's own line is in the traceback.
    """

    def __init__(self, kind: str, taken: Callable[[str], str] = lambda name: "") -> None:
        self.kind, self._taken = kind, taken
        self.found: dict[str, tuple[str, Any]] = {}
        self.earlier: dict[str, tuple[str, ...]] = {}

    def lazy(self, name: str, summary: str, location: str, earlier: Sequence[str] = ()) -> None:
        """Register what is imported only when it is asked for.

        Args:
            name: Its name; an equation's own.
            summary: One line for listings; an equation's own.
            location: Where it is: ``"module:attribute"``.
            earlier: Of a backbone, teacher or student: earlier sources that gave the same results,
                as ``"module.Name hash"``, so that runs made with them stay valid. The hash is the
                first 16 digits of SHA-256 of the source of the class or function.
        """
        if not isinstance(location, str) or not _LOCATION.fullmatch(location):
            raise UsageError(
                f"{name!r}: write its location as 'module:attribute', not {location!r}"
            )
        self._add(name, summary, location)
        self.earlier[name] = tuple(earlier)

    def _add(self, name: str, summary: str, target: Any) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            a = "an" if self.kind[0] in "aeiou" else "a"
            raise UsageError(
                f"{name!r} cannot name {a} {self.kind}; use lower-case letters, digits, '-' and "
                "'_', a letter first"
            )
        one_line = isinstance(summary, str) and len(summary.splitlines()) == 1
        if not one_line or not summary.strip():
            raise UsageError(f"{name!r}: its summary must be one line")
        if name in self.found:
            raise UsageError(f"the {self.kind} {name!r} is registered twice; rename one")
        if reason := self._taken(name):
            raise UsageError(reason)
        self.found[name] = (summary, target)


class EquationRegister(Register):
    """The register of ``piddm_register_pdes``."""

    def __call__(self, pde: PDE) -> None:
        """Register an equation that is already built."""
        from piddm.equation import PDE

        if not isinstance(pde, PDE):
            raise UsageError(f"register() takes a PDE, not {type(pde).__name__}")
        self._add(pde.name, pde.summary, pde)


class MethodRegister(Register):
    """The register of the hooks of classes and functions."""

    def __call__(self, name: str, summary: str, build: Callable[..., Any]) -> None:
        """Register a class or function; :class:`piddm.plugins.hooks.Hooks` says how.

        Args:
            name: Name, as configurations or the command line use it.
            summary: One line for listings.
            build: What makes it, or for a command the function that it runs.
        """
        if not callable(build):
            raise UsageError(f"{name!r}: {type(build).__name__} cannot be called; give a class")
        if missing := unwritten(build):
            raise UsageError(
                f"the {self.kind} {name!r} has no {', '.join(missing)}, which its interface asks "
                "for; write it"
            )
        self._add(name, summary, build)


class ModelRegister(Register):
    """The register of ``piddm_register_models``."""

    def __call__(self, name: str, summary: str, folder: Path) -> None:
        """Register a trained model.

        Args:
            name: Name, as the command line uses it.
            summary: One line for listings.
            folder: Its folder, which :func:`piddm.runs.model_weights.make` wrote.
        """
        if not isinstance(folder, Path) or not (folder / "model.json").is_file():
            raise UsageError(f"{name!r}: {folder} is no folder of a model, with a model.json")
        self._add(name, summary, folder)


class AblationRegister(Register):
    """The register of ``piddm_register_ablations``."""

    def __call__(self, name: str, question: str, labels: Mapping[str, str]) -> None:
        """Register an ablation, or rows that one of piddm's own gains.

        Args:
            name: Name, as ``piddm bench --ablations`` takes it.
            question: What it answers, in one line; piddm's own keeps its question.
            labels: Competitors, as ``--methods`` takes them, by what is shown of each.
        """
        texts = isinstance(labels, Mapping) and all(
            isinstance(text, str) and text for pair in labels.items() for text in pair
        )
        if not texts or not labels:
            raise UsageError(f"{name!r}: give its competitors as a dict, what is shown to a label")
        self._add(name, question, dict(labels))


REGISTERS: dict[str, type[Register]] = {
    "equation": EquationRegister, "model": ModelRegister, "ablation": AblationRegister,
}  # fmt: skip
"""Register of each kind that does not take classes or functions."""


def register_of(kind: str, taken: Callable[[str], str] = lambda name: "") -> Register:
    """Return an empty register of a kind."""
    return REGISTERS.get(kind, MethodRegister)(kind, taken)
