"""What competes: ``NAME[:key=value,...][+refine=N][+projection][+draws=N][+grid=F]``.

NAME is a registered method or student. A method's settings go to its constructor; a student's are
settings of the run, those without a section of ``student``: ``one-step:physics_weight=0``,
``one-step:pairs.steps=2``. ``+projection`` ends at the nearest solutions, to round-off;
``+refine=STEPS`` moves a student's noise against the residual first (PIDDM-ref); ``+draws=N``
samples and scores N times from other noise, and takes the means: what a distance of some hundred
samples is by chance, all who are given the same noise share. ``+grid=FACTOR`` scores on that many
times as many nodes an axis, between which nothing was trained. The data themselves, ``truth``, can
be scored there too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from piddm.config import Config, changed, literal
from piddm.errors import UsageError, nearest
from piddm.plugins import Plugins
from piddm.settings import checked

BASELINE = "flow-matching"
"""The teacher as it is; with a projection, the strongest plain baseline: in every table."""

OURS = "one-step"
"""The paper's student."""

TRUTH = "truth"
"""One draw of data against another: the floor, in every table."""

OWN_ENDINGS = (
    ":physics_weight=0", ":physics_weight=0+projection", ":energy_weight=0", "+refine=10",
)  # fmt: skip
"""What is asked of it besides: without the energy score it has the loss of the paper alone."""


@dataclass(frozen=True)
class Entry:
    """One competitor.

    Args:
        label: As it was written, which names it in tables.
        name: Name of a method or a student.
        kind: Which of the two.
        settings: Its settings.
        refine: Steps of refinement.
        projection: Whether it ends with the projection.
        draws: How many times it samples.
        grid: Nodes along an axis where it is scored, over those of the run.
    """

    label: str
    name: str
    kind: Literal["method", "student", "data"]
    settings: tuple[tuple[str, Any], ...] = ()
    refine: int = 0
    projection: bool = False
    draws: int = 1
    grid: float = 1.0

    @property
    def training(self) -> str:
        """What it trains, by name and settings, however it ends."""
        return self.label.partition("+")[0]

    def overrides(self) -> dict[str, Any]:
        """Return what it changes of a run's configuration; only a student changes anything."""
        if self.kind != "student":
            return {}
        own = {k if "." in k else f"student.{k}": v for k, v in self.settings}
        return {"student.name": self.name} | own

    def check(self, config: Config, plugins: Plugins) -> None:
        """Check its settings before any work.

        Raises:
            UsageError: If a student's are none of a configuration, or a method takes no such.
        """
        changed(config, self.overrides())
        if self.kind == "method":
            checked(f"method {self.name}", plugins.get("method", self.name), dict(self.settings))


def parse(label: str, plugins: Plugins) -> Entry:
    """Read a competitor as people write it.

    Raises:
        UsageError: If it names nothing that is registered, or is not written like that.
    """
    head, *endings = label.split("+")
    name, _, text = head.partition(":")
    known = {k: [e.name for e in plugins.list_all(k)] for k in ("method", "student")}
    data = re.fullmatch(rf"{TRUTH}\+grid=[^+]*", label)
    if not data and name not in known["method"] + known["student"]:
        every = sorted(known["method"] + known["student"])
        if name == TRUTH:
            raise UsageError("truth is in every table; what can be asked for is truth+grid=FACTOR")
        raise UsageError(f"no method {name!r}{nearest(name, every)}")
    kind: Literal["method", "student", "data"] = "data"
    if not data:
        kind = "method" if name in known["method"] else "student"
    settings = []
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", key):
            raise UsageError(f"{label}: write its settings as {name}:key=value,key=value")
        settings.append((key, literal(value)))
    refine, projection, draws, grid = 0, False, 1, 1.0
    for ending in endings:
        what, equals, value = ending.partition("=")
        if grid != 1:
            raise UsageError(f"{label}: +grid=FACTOR comes last, samples are scored there")
        if what == "projection" and not equals:
            projection = True
        elif what == "refine" and kind == "student" and value.isdigit() and int(value):
            refine = int(value)
        elif what == "draws" and re.fullmatch(r"[1-9]\d?", value):
            draws = int(value)
        elif what == "grid" and re.fullmatch(r"\d(\.\d+)?", value) and 0.25 <= float(value) <= 4:
            grid = float(value)
        else:
            raise UsageError(
                f"{label}: it may end with +projection, +draws=N (1 to 99) and +grid=FACTOR (0.25 "
                "to 4), a student with +refine=STEPS before that"
            )
    return Entry(label, name, kind, tuple(settings), refine, projection, draws, grid)


def default_labels(plugins: Plugins) -> list[str]:
    """Return all that is compared unless something is chosen.

    Every method; every student, as it is and projected; the paper's also without physics, refined.
    """
    students = [entry.name for entry in plugins.list_all("student")]
    students.sort(key=lambda name: name != OURS)
    found = [BASELINE, f"{BASELINE}+projection"]
    for name in students:
        found += [name, f"{name}+projection"]
        if name == OURS:
            found += [f"{name}{ending}" for ending in OWN_ENDINGS]
    found += [e.name for e in plugins.list_all("method") if e.name != BASELINE]
    return found


def with_baseline(labels: list[str]) -> list[str]:
    """Return the labels, each once, with the rows that no table goes without."""
    return list(dict.fromkeys([BASELINE, f"{BASELINE}+projection", *labels]))
