"""Competitors: ``NAME[:key=value,...][+refine=N][+END][+draws=N][+grid=F]``.

END is ``correction``, ``projection`` or ``solved``. NAME is a registered method or student. A
method's settings go to its constructor; a student's are settings of the run, those without a
section of ``student``: ``one-step:physics_weight=0``,
``one-step:pairs.steps=2``. ``+correction`` brings samples onto the equation in a few cheap
steps of single precision; ``+projection`` ends at the nearest solutions, to round-off;
``+solved`` keeps a sample's own inputs and solves for the rest;
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

from piddm.config import Config, changed
from piddm.plugins.loader import Plugins
from piddm.tools.errors import UsageError, nearest
from piddm.tools.settings import checked
from piddm.tools.settings_files import literal

BASELINE = "flow-matching"
"""The teacher as it is; with a projection, the strongest plain baseline: in every table."""

OURS = "one-step"
"""The paper's student."""

PLAIN = "gaussian"
"""The data's Gaussian law, and no network: what a network has to beat, in every table."""

TRUTH = "truth"
"""One draw of data against another: the floor, in every table."""

OWN_ENDINGS = (
    ":physics_weight=0", ":physics_weight=0+projection", ":energy_weight=0", "+refine=10",
    "+solved",
)  # fmt: skip
"""Its entry without the energy score, which has only the loss of the paper."""


@dataclass(frozen=True)
class Entry:
    """One competitor.

    Args:
        label: As it was written, which names it in tables.
        name: Name of a method or a student.
        kind: Which of the two.
        settings: Its settings.
        refine: Steps of refinement.
        correction: Whether it ends with the correction.
        projection: Whether it ends with the projection.
        solved: Whether it ends with the solution that belongs to its own inputs.
        draws: How many times it samples.
        grid: Nodes along an axis where it is scored, over those of the run.
    """

    label: str
    name: str
    kind: Literal["method", "student", "data"]
    settings: tuple[tuple[str, Any], ...] = ()
    refine: int = 0
    projection: bool = False
    solved: bool = False
    draws: int = 1
    grid: float = 1.0
    correction: bool = False

    @property
    def training(self) -> str:
        """The network that it trains, by name and settings, however it ends."""
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
    refine, projection, solved, draws, grid = 0, False, False, 1, 1.0
    correction = False
    for ending in endings:
        what, equals, value = ending.partition("=")
        if grid != 1:
            raise UsageError(f"{label}: +grid=FACTOR comes last, samples are scored there")
        ended = projection or solved or correction
        if what in ("correction", "projection", "solved") and not equals and not ended:
            correction, projection = what == "correction", what == "projection"
            solved = what == "solved"
        elif what == "refine" and kind == "student" and value.isdigit() and int(value):
            refine = int(value)
        elif what == "draws" and re.fullmatch(r"[1-9]\d?", value):
            draws = int(value)
        elif what == "grid" and re.fullmatch(r"\d(\.\d+)?", value) and 0.25 <= float(value) <= 4:
            grid = float(value)
        else:
            raise UsageError(
                f"{label}: it may end with +correction, +projection or +solved, +draws=N (1 to 99) "
                "and +grid=FACTOR (0.25 to 4), a student with +refine=STEPS before that"
            )
    return Entry(
        label, name, kind, tuple(settings), refine, projection, solved, draws, grid, correction
    )


def default_labels(plugins: Plugins) -> list[str]:
    """Return all that is compared unless something is chosen.

    Every method; every student, as it is, corrected and projected; the paper's also without
    physics, refined.
    """
    students = [entry.name for entry in plugins.list_all("student")]
    students.sort(key=lambda name: name != OURS)
    found = with_baseline([])
    for name in students:
        found += [name, f"{name}+correction", f"{name}+projection"]
        if name == OURS:
            found += [f"{name}{ending}" for ending in OWN_ENDINGS]
    found += [e.name for e in plugins.list_all("method") if e.name not in (BASELINE, PLAIN)]
    return found


def with_baseline(labels: list[str]) -> list[str]:
    """Return the labels, each once, with the rows that no table goes without."""
    plain = [PLAIN, f"{PLAIN}+projection", f"{PLAIN}+solved"]
    return list(dict.fromkeys([BASELINE, f"{BASELINE}+projection", *plain, *labels]))
