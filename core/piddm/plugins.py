"""Plugins: the hooks they may implement, a guarded loader, and a record of what each one brought.

Built-in and third-party equations come through the same door, an entry point of the group
``piddm``. A plugin that fails is recorded with its reason and stops nothing else. Nothing here
imports torch or sympy, so that listings are instant.
"""

from __future__ import annotations

import importlib
import operator
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pluggy

from piddm.errors import PiddmError, UsageError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from piddm.pde import PDE

GROUP = "piddm"
DISABLE = "PIDDM_DISABLE_PLUGINS"
"""Environment variable: entry-point names to leave out, separated by commas."""

_NAME = re.compile(r"[a-z][a-z0-9_-]*")  # it is typed on the command line and names a folder
_LOCATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

_hookspec = pluggy.HookspecMarker(GROUP)


class Hooks:
    """What a plugin may implement, each marked with ``piddm.hookimpl``."""

    @_hookspec
    def piddm_register_pdes(self, register: Register) -> None:
        """Name the plugin's equations, with ``register(pde)`` or ``register.lazy(...)``."""


@dataclass(frozen=True)
class PluginRecord:
    """What became of one plugin.

    Args:
        name: Name of its entry point.
        distribution: Package that declares it, and
        version: that package's version; both empty where the metadata do not say.
        status: ``ok``, ``failed`` (see ``error``) or ``disabled``.
        error: One line; empty unless it failed.
        pdes: Names of the equations it brought.
        hooks: Names of the hooks it implements.
    """

    name: str
    distribution: str = ""
    version: str = ""
    status: Literal["ok", "failed", "disabled"] = "ok"
    error: str = ""
    pdes: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PDEEntry:
    """One line of a listing: an equation and the plugin it comes from."""

    name: str
    summary: str
    plugin: str
    distribution: str


class Register:
    """What ``piddm_register_pdes`` is handed; it collects equations without importing them."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, PDE | str]] = {}

    def __call__(self, pde: PDE) -> None:
        """Register an equation that is already built."""
        from piddm.pde import PDE

        if not isinstance(pde, PDE):
            raise UsageError(f"register() takes a PDE, not {type(pde).__name__}")
        self._add(pde.name, pde.summary, pde)

    def lazy(self, name: str, summary: str, location: str) -> None:
        """Register an equation that is imported when it is asked for.

        Args:
            name: The equation's own name.
            summary: The equation's own summary.
            location: Where the :class:`~piddm.pde.PDE` is: ``"module:attribute"``.
        """
        if not _LOCATION.fullmatch(location):
            raise UsageError(
                f"{name!r}: write its location as 'module:attribute', not {location!r}"
            )
        self._add(name, summary, location)

    def _add(self, name: str, summary: str, target: PDE | str) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot name an equation; use lower-case letters, digits, '-' and '_', "
                "a letter first"
            )
        if not summary.strip() or len(summary.splitlines()) != 1:
            raise UsageError(f"{name!r}: its summary must be one line")
        if name in self.found:
            raise UsageError(f"the equation {name!r} is registered twice; rename one")
        self.found[name] = (summary, target)


class Plugins:
    """All plugins, loaded one by one, each in a guard of its own.

    The package's own plugins go first and the others by package name, so that the winner of a
    name clash does not depend on the order of installation.

    Args:
        entry_points: What to load; every installed entry point of the group by default.
    """

    def __init__(self, entry_points: Iterable[EntryPoint] | None = None) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(Hooks)
        self._entries: dict[str, PDEEntry] = {}
        self._targets: dict[str, PDE | str] = {}
        if entry_points is None:
            from importlib import metadata

            entry_points = metadata.entry_points(group=GROUP)
        found = [(point, *_distribution(point)) for point in entry_points]
        found.sort(key=lambda item: (item[1] != GROUP, item[1], item[0].name))
        self._disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
        self.records: list[PluginRecord] = []
        for item in found:
            self.records.append(self._load(*item))

    def _load(self, point: EntryPoint, distribution: str, version: str) -> PluginRecord:
        record = PluginRecord(point.name, distribution, version)
        if record.name in self._disabled:
            return replace(record, status="disabled")
        if self._manager.has_plugin(record.name):
            reason = f"a plugin named {record.name!r} is already loaded; rename this entry point"
            return replace(record, status="failed", error=reason)
        try:
            hooks = self._admit(point)
            register = Register()
            if "piddm_register_pdes" in hooks:
                self._only(record.name, "piddm_register_pdes")(register=register)
            self._refuse_clashes(record, register)
        except (Exception, SystemExit) as error:  # anything at all: it is somebody else's code
            if self._manager.has_plugin(record.name):
                self._manager.unregister(name=record.name)
            return replace(record, status="failed", error=_one_line(error))
        for name, (summary, target) in register.found.items():
            self._entries[name] = PDEEntry(name, summary, record.name, distribution)
            self._targets[name] = target
        return replace(record, pdes=tuple(register.found), hooks=hooks)

    def _admit(self, point: EntryPoint) -> tuple[str, ...]:
        """Import a plugin and register it; return the names of its hooks."""
        plugin = point.load()
        hash(plugin)  # pluggy keeps plugins in sets: refuse here what would fail for all others
        self._manager.register(plugin, name=point.name)
        callers = self._manager.get_hookcallers(plugin) or []
        if not callers:
            raise UsageError("it has no hook; mark its functions with piddm.hookimpl")
        if unknown := [caller.name for caller in callers if not caller.has_spec()]:
            raise UsageError(f"this piddm has no hook {unknown[0]!r}; update piddm or the plugin")
        return tuple(caller.name for caller in callers)

    def _only(self, name: str, hook: str) -> pluggy.HookCaller:
        """Return the caller of a hook for one plugin alone, so that one failure stays its own."""
        others = [plugin for other, plugin in self._manager.list_name_plugin() if other != name]
        return self._manager.subset_hook_caller(hook, others)

    def _refuse_clashes(self, record: PluginRecord, register: Register) -> None:
        for name in register.found:
            if entry := self._entries.get(name):
                raise UsageError(
                    f"the equation {name!r} of plugin {record.name!r} is already brought by plugin "
                    f"{entry.plugin!r} ({entry.distribution or 'unknown package'}); rename one"
                )

    def list_pdes(self) -> list[PDEEntry]:
        """Return every registered equation, without importing any."""
        return list(self._entries.values())

    def get_pde(self, name: str) -> PDE:
        """Return an equation by name, imported on first use.

        Raises:
            UsageError: If no plugin brings it; failed and disabled plugins are named.
            PiddmError: If it cannot be imported, or is not what its plugin announced.
        """
        if name not in self._entries:
            raise UsageError(f"no equation {name!r}{nearest(name, self._entries)}{self._absent()}")
        target = self._targets[name]
        if isinstance(target, str):
            target = self._targets[name] = _resolve(self._entries[name], target)
        return target

    def _absent(self) -> str:
        """Say which plugins did not load: the equation that is missed may be one of theirs."""
        failed = (f"; plugin {r.name!r} failed: {r.error}" for r in self.records if r.error)
        disabled = [repr(r.name) for r in self.records if r.status == "disabled"]
        off = f"; {DISABLE} switches off {', '.join(disabled)}" if disabled else ""
        return "".join(failed) + off


def _resolve(entry: PDEEntry, location: str) -> PDE:
    what = f"the equation {entry.name!r} of plugin {entry.plugin!r} ({location})"
    module, _, attribute = location.partition(":")
    try:
        pde = operator.attrgetter(attribute)(importlib.import_module(module))
    except (Exception, SystemExit) as error:
        owner = entry.distribution or "the plugin"
        raise PiddmError(f"{what} cannot be loaded: {_one_line(error)}; fix {owner}") from error
    from piddm.pde import PDE

    if not isinstance(pde, PDE):
        raise PiddmError(f"{what} is of type {type(pde).__name__}, not PDE; correct its location")
    for part in ("name", "summary"):
        if (actual := getattr(pde, part)) != (announced := getattr(entry, part)):
            raise PiddmError(
                f"{what} has the {part} {actual!r}, but was registered with {announced!r}; "
                "make them the same"
            )
    return pde


def _distribution(point: EntryPoint) -> tuple[str, str]:
    """Return the name and version of the package that declares an entry point."""
    try:
        distribution = point.dist
        return (distribution.name or "", distribution.version or "") if distribution else ("", "")
    except Exception:  # damaged metadata must not stop the others
        return "", ""


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return text if isinstance(error, PiddmError) else f"{kind}: {text}" if text else kind


_current: Plugins | None = None


def current() -> Plugins:
    """Return the process's plugins, loaded on first use."""
    global _current
    if _current is None:
        _current = Plugins()
    return _current


def reset(plugins: Plugins | None = None) -> None:
    """Forget the process's plugins, or put others in their place: for tests."""
    global _current
    _current = plugins


def get_pde(name: str) -> PDE:
    """Return an equation by name; see :meth:`Plugins.get_pde`."""
    return current().get_pde(name)


def list_pdes() -> list[PDEEntry]:
    """Return every registered equation, without importing any."""
    return current().list_pdes()


def list_plugins() -> list[PluginRecord]:
    """Return what became of each plugin."""
    return list(current().records)
