"""Records of plugins and of their contributions, and the import of what was announced."""

from __future__ import annotations

import importlib
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from piddm.plugins.contracts import one_line
from piddm.plugins.lines import in_package, line_of
from piddm.tools.errors import PiddmError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True)
class PluginRecord:
    """The record of one plugin.

    Args:
        name: Name of its entry point, or of its file.
        distribution: Package that declares it, or the file's path, and
        version: that package's version; both empty where the metadata do not say.
        status: ``ok``, ``failed`` (see ``error``) or ``disabled``.
        error: One line, with the line of the plugin's file where it is known; empty unless it
            failed.
        pdes: Names of the equations it brought.
        hooks: Names of the hooks it implements.
        methods: What else it brought: ``"teacher ideal"``.
    """

    name: str
    distribution: str = ""
    version: str = ""
    status: Literal["ok", "failed", "disabled"] = "ok"
    error: str = ""
    pdes: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class PDEEntry:
    """One line of a listing: an equation, or a method, and the plugin it comes from."""

    name: str
    summary: str
    plugin: str
    distribution: str


def resolve(kind: str, entry: PDEEntry, location: str) -> Any:
    """Import what was announced by its location.

    Raises:
        PiddmError: If it cannot be imported, or is not what its plugin announced.
    """
    what = f"the {kind} {entry.name!r} of plugin {entry.plugin!r} ({location})"
    module, _, attribute = location.partition(":")
    try:
        found = operator.attrgetter(attribute)(importlib.import_module(module))
    except (Exception, SystemExit) as error:
        owner = entry.distribution or "the plugin"
        line = line_of(error, in_package(module.partition(".")[0]))
        at = f" at {line}" if line else ""
        raise PiddmError(f"{what} cannot be loaded{at}: {one_line(error)}; fix {owner}") from error
    if kind != "equation":
        if not callable(found):
            raise PiddmError(f"{what} is of type {type(found).__name__} and cannot be called")
        return found
    from piddm.equation import PDE

    if not isinstance(found, PDE):
        raise PiddmError(f"{what} is of type {type(found).__name__}, not PDE; correct its location")
    for part in ("name", "summary"):
        if (actual := getattr(found, part)) != (announced := getattr(entry, part)):
            raise PiddmError(
                f"{what} has the {part} {actual!r}, but was registered with {announced!r}; "
                "make them the same"
            )
    return found


def package_of(point: EntryPoint) -> tuple[str, str]:
    """Return the name and version of the package that declares an entry point."""
    try:
        of = point.dist
        return (of.name or "", of.version or "") if of else ("", "")
    except Exception:  # damaged metadata must not stop the others
        return "", ""
