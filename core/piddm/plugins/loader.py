"""Plugins: the hooks they may implement, a guarded loader, and a record of what each one brought.

Built-in and third-party equations come through the same door, an entry point of the group
``piddm``; a file that a person names comes in as well. A plugin that fails is recorded with its
reason and stops nothing else. Nothing here imports torch or sympy, so that listings are instant.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pluggy

from piddm.plugins import file_plugins
from piddm.plugins.contracts import obtained, one_line
from piddm.plugins.hooks import API, GROUP, KIND_OF, Hooks
from piddm.plugins.lines import in_package, line_of, shown
from piddm.plugins.records import PDEEntry, PluginRecord, package_of, resolve
from piddm.plugins.registers import register_of
from piddm.tools.about import NO_EQUATION
from piddm.tools.errors import UsageError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from piddm.equation import PDE

DISABLE = "PIDDM_DISABLE_PLUGINS"
"""Environment variable: plugins to leave out, separated by commas; ``*`` is all but piddm's own."""


class Plugins:
    """All plugins, loaded one by one, each in a guard of its own.

    The package's own plugins go first, the others by package name, files last, so that the winner
    of a name clash does not depend on the order of installation.

    Args:
        entry_points: What to load; every installed entry point of the group by default.
        paths: Files to load as plugins.
    """

    def __init__(
        self, entry_points: Iterable[EntryPoint] | None = None, paths: Sequence[Path] = ()
    ) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(Hooks)
        self._entries: dict[str, dict[str, PDEEntry]] = {k: {} for k in KIND_OF.values()}
        self._targets: dict[tuple[str, str], Any] = {}
        self._earlier: dict[tuple[str, str], tuple[str, ...]] = {}
        self._add_built_in()
        if entry_points is None:
            from importlib import metadata

            entry_points = metadata.entry_points(group=GROUP)
        found = [(point, *package_of(point)) for point in entry_points]
        found.sort(key=lambda item: (item[1] != GROUP, item[1], item[0].name))
        self._disabled = {n for n in map(str.strip, os.environ.get(DISABLE, "").split(",")) if n}
        self.records: list[PluginRecord] = []
        for point, distribution, version in found:
            package = getattr(point, "value", "").partition(":")[0].partition(".")[0]
            record = PluginRecord(point.name, distribution, version)
            self.records.append(self._load(record, point.load, in_package(package)))
        for point in file_plugins.distinct(paths):
            record = PluginRecord(point.name, shown(point.path))
            self.records.append(self._load(record, point.load, point.owns))

    def _add_built_in(self) -> None:
        from piddm.plugins import builtin

        record = PluginRecord(GROUP, GROUP)
        self._bring(record, self._admit(record.name, builtin))

    def _load(
        self, record: PluginRecord, load: Callable[[], Any], owns: Callable[[FrameType], bool]
    ) -> PluginRecord:
        all_off = "*" in self._disabled and record.distribution != GROUP
        if all_off or record.name in self._disabled:
            return replace(record, status="disabled")
        if self._manager.has_plugin(record.name):
            reason = f"a plugin named {record.name!r} is already loaded; rename this one"
            return replace(record, status="failed", error=reason)
        try:
            return self._bring(record, self._admit(record.name, load()))
        except (Exception, SystemExit) as error:  # anything at all: it is somebody else's code
            if self._manager.has_plugin(record.name):
                self._manager.unregister(name=record.name)
            line = line_of(error, owns)
            reason = f"{line}: {one_line(error)}" if line else one_line(error)
            return replace(record, status="failed", error=reason)

    def _admit(self, name: str, plugin: Any) -> tuple[str, ...]:
        """Register a plugin; return the names of its hooks."""
        declared = getattr(plugin, "PIDDM_API", API)
        if declared != API:
            raise UsageError(
                f"it is written for plugin API {declared!r} and this piddm has {API}; update "
                "piddm or the plugin"
            )
        hash(plugin)  # pluggy keeps plugins in sets: refuse here what would fail for all others
        self._manager.register(plugin, name=name)
        callers = self._manager.get_hookcallers(plugin) or []
        if not callers:
            raise UsageError("it has no hook; mark its functions with piddm.hookimpl")
        for caller in callers:
            if not caller.has_spec():
                hint = nearest(caller.name, KIND_OF)
                raise UsageError(
                    f"this piddm has no hook {caller.name!r}, update piddm or the plugin{hint}"
                )
        own = {caller.name for caller in callers}
        return tuple(hook for hook in KIND_OF if hook in own)

    def _bring(self, record: PluginRecord, hooks: tuple[str, ...]) -> PluginRecord:
        """Call a plugin's hooks, and take what they registered once all of them went well."""
        registers = {hook: register_of(KIND_OF[hook], self._clash(record, hook)) for hook in hooks}
        for hook, register in registers.items():
            self._only(record.name, hook)(register=register)
        for register in registers.values():
            for name, (summary, target) in register.found.items():
                entry = PDEEntry(name, summary, record.name, record.distribution)
                self._entries[register.kind][name] = entry
                self._targets[register.kind, name] = target
                self._earlier[register.kind, name] = register.earlier.get(name, ())
        names = [(r.kind, name) for r in registers.values() for name in r.found]
        return replace(
            record,
            hooks=hooks,
            pdes=tuple(name for kind, name in names if kind == "equation"),
            methods=tuple(f"{kind} {name}" for kind, name in names if kind != "equation"),
        )

    def _only(self, name: str, hook: str) -> pluggy.HookCaller:
        """Return the caller of a hook for only one plugin, so that one failure stays its own."""
        others = [plugin for other, plugin in self._manager.list_name_plugin() if other != name]
        return self._manager.subset_hook_caller(hook, others)

    def _clash(self, record: PluginRecord, hook: str) -> Callable[[str], str]:
        """Return what says why a name is not to be had."""
        kind = KIND_OF[hook]

        def taken(name: str) -> str:
            entry = self._entries[kind].get(name)
            if entry is None:
                return ""
            by = "piddm itself"
            if entry.plugin != GROUP:
                by = f"plugin {entry.plugin!r} ({entry.distribution or 'unknown package'})"
            return (
                f"the {kind} {name!r} of plugin {record.name!r} is already brought by {by}; "
                "rename one"
            )

        return taken

    def list_pdes(self) -> list[PDEEntry]:
        """Return every registered equation, without importing any."""
        return self.list_all("equation")

    def list_all(self, kind: str) -> list[PDEEntry]:
        """Return all of one kind, built-in or not, without importing any."""
        return list(self._entries[kind].values())

    def get_pde(self, name: str) -> PDE:
        """Return an equation by name, imported on first use.

        Raises:
            UsageError: If no plugin brings it; failed and disabled plugins are named.
            PiddmError: If it cannot be imported, or is not what its plugin announced.
        """
        if name == NO_EQUATION:
            from piddm.data.no_equation import no_equation  # torch comes with it

            return no_equation()
        return self.get("equation", name)

    def get(self, kind: str, name: str) -> Any:
        """Return what was registered of a kind under a name, imported on first use.

        Raises:
            UsageError: If no plugin brings it; failed and disabled plugins are named.
            PiddmError: If it cannot be imported, or is not what its plugin announced.
        """
        known = self._entries[kind]
        if name not in known:
            raise UsageError(f"no {kind} {name!r}{nearest(name, known)}{self._absent()}")
        target = self._targets[kind, name]
        if isinstance(target, str):
            target = self._targets[kind, name] = resolve(kind, known[name], target)
        return target

    def built_in(self, kind: str, name: str) -> bool:
        """Return whether piddm itself brings it, rather than a plugin."""
        entry = self._entries[kind].get(name)
        return entry is not None and entry.plugin == GROUP

    def earlier(self, kind: str, name: str) -> tuple[str, ...]:
        """Return the earlier sources of something that gave the same results."""
        return self._earlier[kind, name]

    def described(self, kind: str, name: str) -> str:
        """Return what messages call it: ``the teacher 'plain' of plugin 'mine'``."""
        return f"the {kind} {name!r} of plugin {self._entries[kind][name].plugin!r}"

    def build(self, kind: str, name: str, interface: type, *given: Any, **settings: Any) -> Any:
        """Call what was registered; a failure of a plugin's own code is told by name.

        Raises:
            PiddmError: If it fails, or is not what the interface asks for.
        """
        make = self.get(kind, name)
        if self.built_in(kind, name):  # a mistake of piddm's own is not to be blamed on a plugin
            return make(*given, **settings)
        return obtained(self.described(kind, name), make, interface, *given, **settings)

    def _absent(self) -> str:
        """Say which plugins did not load: what is missed may be one of theirs."""
        failed = (f"; plugin {r.name!r} failed: {r.error}" for r in self.records if r.error)
        disabled = [repr(r.name) for r in self.records if r.status == "disabled"]
        off = f"; {DISABLE} switches off {', '.join(disabled)}" if disabled else ""
        return "".join(failed) + off


_current: Plugins | None = None
_paths: tuple[Path, ...] = ()


def current() -> Plugins:
    """Return the process's plugins, loaded on first use."""
    global _current
    if _current is None:
        _current = Plugins(paths=[*_paths, *file_plugins.from_environment()])
    return _current


def reset(plugins: Plugins | None = None) -> None:
    """Forget the process's plugins, or put others in their place: for tests."""
    global _current
    _current = plugins


def use_files(paths: Sequence[Path]) -> None:
    """Load these files as plugins too, from now on; those named before are forgotten.

    Importing a file runs it: name none that you would not run.
    """
    global _paths
    if tuple(paths) != _paths:
        _paths = tuple(paths)
        reset()


def files_in_use() -> tuple[Path, ...]:
    """Return the files that :func:`use_files` named."""
    return _paths


def get_pde(name: str) -> PDE:
    """Return an equation by name; see :meth:`Plugins.get_pde`."""
    return current().get_pde(name)


def list_pdes() -> list[PDEEntry]:
    """Return every registered equation, without importing any."""
    return current().list_pdes()


def list_plugins() -> list[PluginRecord]:
    """Return what became of each plugin."""
    return list(current().records)
