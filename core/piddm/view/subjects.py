"""What the page can be asked about: what it was opened for, and the models that come along.

Each is opened when it is first asked for. Nothing here imports torch before that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from piddm.tools.errors import UsageError, nearest
from piddm.view.recipes import Opened

if TYPE_CHECKING:
    from piddm.api import Run
    from piddm.tasks.model import Model
    from piddm.tasks.solver import Solver

KEPT = 6
"""Solvers that a subject keeps, each with its factors."""

WATCHED = ("manifest.json", "student.safetensors", "metrics.json")
"""Files of a run that tell that it went on."""


@dataclass
class Subject:
    """A run, a model, or an equation alone.

    Args:
        title: What people call it.
        opened: How commands name it.
        load: What opens it: what is asked, and the run that it is, or none.
        folder: A run's folder, which is watched; none of what comes with a package.
    """

    title: str
    opened: Opened
    load: Callable[[], tuple[Model, Run | None]]
    folder: Path | None = None
    _made: tuple[Model, Run | None] | None = None
    _marks: tuple[object, ...] = ()
    _solvers: OrderedDict[tuple[object, ...], Solver] = field(default_factory=OrderedDict)

    def open(self, again: bool = False) -> None:
        """Open it, unless it is open; ``again`` reads its files anew."""
        if self._made is None or again:
            marks = self._seen()
            self._made, self._marks = self.load(), marks
            self._solvers.clear()

    @property
    def model(self) -> Model:
        """What is asked."""
        self.open()
        assert self._made is not None
        return self._made[0]

    @property
    def run(self) -> Run | None:
        """The run that it is, or none where it is an equation alone."""
        self.open()
        assert self._made is not None
        return self._made[1]

    def solver(self, name: str, settings: Mapping[str, str]) -> Solver:
        """Return a solver: that of an earlier question, with what it keeps, if there was one."""
        from piddm.tasks.ensemble import built  # torch comes with it

        key = name, *sorted(settings.items())
        found = self._solvers.pop(key, None) or built(self.model, name, settings)
        self._solvers[key] = found
        while len(self._solvers) > KEPT:
            self._solvers.popitem(last=False)
        return found

    @property
    def state(self) -> str:
        """What became of the folder since it was opened: ``same``, ``changed`` or ``removed``."""
        if self.folder is None or self._made is None:
            return "same"
        if not (self.folder / WATCHED[0]).is_file():
            return "removed"
        return "same" if self._seen() == self._marks else "changed"

    def _seen(self) -> tuple[object, ...]:
        found: list[object] = []
        for name in WATCHED if self.folder else ():
            try:
                status = (self.folder or Path()).joinpath(name).stat()
                found.append((status.st_mtime_ns, status.st_size))
            except OSError:
                found.append(None)
        return tuple(found)


class Subjects:
    """All of them by key; the first is the one that the page was opened for."""

    def __init__(self, first: Subject, others: Mapping[str, Subject]) -> None:
        self.all = {"first": first, **{k: v for k, v in others.items() if v.title != first.title}}

    def __getitem__(self, key: str) -> Subject:
        if key not in self.all:
            raise UsageError(f"there is no subject {key[:40]!r}{nearest(key, self.all)}")
        return self.all[key]


def model_subject(name: str, device: str = "cpu") -> Subject:
    """Return a trained model."""

    def load() -> tuple[Model, Run]:
        from piddm.pretrained import load_model  # torch comes with it

        run = load_model(name, device=device)
        _ = run.student
        return run, run

    opened = Opened(("--model", name), f"import piddm\n\nrun = piddm.load_model({name!r})")
    return Subject(name, opened, load)


def run_subject(folder: Path, device: str = "cpu") -> Subject:
    """Return a run."""

    def load() -> tuple[Model, Run]:
        from piddm.api import load_run  # torch comes with it

        run = load_run(folder, device=device)
        _ = run.student  # which says so where there is none yet
        return run, run

    opened = Opened((str(folder),), f"import piddm\n\nrun = piddm.load_run({str(folder)!r})")
    return Subject(str(folder), opened, load, folder)
