"""All that a benchmark's folder holds, as one file, a page and the points of its figures."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from piddm.bench.ablations import ablations
from piddm.bench.entries import BASELINE, OURS, TRUTH
from piddm.bench.report import COLUMNS, Bench, cell, is_swept, markdown
from piddm.bench.results import every
from piddm.bench.running import Plan
from piddm.figures.ablation import Curve
from piddm.figures.pareto_points import Family, ParetoPoint
from piddm.plugins.loader import current
from piddm.reports.terms import ANCHORS, defined
from piddm.runs.folder import software
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.files import atomic_path, read_json, write_json

FILE, PAGE = "bench.json", "bench.md"
"""Names of the results' file and of the page about them, in the benchmark's folder."""


def read(folder: Path) -> Bench:
    """Read ``bench.json``.

    Raises:
        PiddmError: If it is missing, damaged, or something else.
    """
    return read_json(folder / FILE, Bench)


def check(plan: Plan) -> None:
    """Check that a folder's benchmark, where there is one, is of the same configuration.

    Raises:
        UsageError: If it is of another: their rows would stand in one table.
    """
    try:
        there = read(plan.folder).config
    except PiddmError:
        return  # none, or a damaged one: it is made anew from the results
    own = plan.configs[0].model_copy(update={"pde": there.pde, "seed": there.seed})
    if own != there:
        raise UsageError(
            f"{plan.folder} holds a benchmark of another configuration; choose another --out"
        )


@contextmanager
def collected(plan: Plan) -> Iterator[None]:
    """Write ``bench.json`` and its page when the work within ends, in whatever way it does."""
    start, before = time.monotonic(), 0.0
    with suppress(PiddmError):  # none, or a damaged one: it is made anew from the results
        before = read(plan.folder).seconds
    try:
        yield
    finally:
        _write(plan, before + time.monotonic() - start)


def _write(plan: Plan, seconds: float) -> None:
    results = every(plan.folder)
    if not results:
        return
    equations = list(dict.fromkeys(c.pde for c in plan.configs))
    labels = [TRUTH, *(e.label for e in plan.entries)]

    def place(names: list[str], name: str) -> int:
        return names.index(name) if name in names else len(names)

    results.sort(
        key=lambda r: (place(equations, r.pde), r.pde, place(labels, r.method), r.method, r.seed)
    )
    machine = {**software(), "processors": os.cpu_count()}
    found = Bench(machine=machine, config=plan.configs[0], seconds=seconds, results=results)
    write_json(plan.folder / FILE, found)
    with atomic_path(plan.folder / PAGE) as part:
        part.write_text(f"{markdown(found)}\n{glossary()}\n", encoding="utf-8")


def glossary() -> str:
    """Return the definitions of the table's columns, as a section of the page."""
    terms = defined(["truth", "scale", *(a for c in COLUMNS if (a := ANCHORS.get(c)))])
    return "\n".join(["### Vocabulary", "", *(f"- **{name}**: {text}" for _, name, text in terms)])


def points(bench: Bench) -> list[ParetoPoint]:
    """Return the points of the Pareto figure: all competitors but those of sweeps.

    Truth, teacher and students have colours of their own there; the others are rivals.
    """
    found = []
    families: dict[str, Family] = {e.name: "ours" for e in current().list_all("student")}
    families |= {TRUTH: "truth", BASELINE: "teacher"}
    for pde in bench.equations():
        for method in bench.complete(pde):
            results = bench.of(pde, method)
            error, distance = (
                cell(results, c) for c in ("pde_error_normalised", "energy_distance")
            )
            if error is None or distance is None or is_swept(method):
                continue
            calls = cell(results, "calls")
            name = method.partition("+")[0].partition(":")[0]
            found.append(
                ParetoPoint(
                    pde,
                    method,
                    families.get(name, "rival"),
                    distance.mean,
                    error.mean,
                    cost=1.0 if calls is None else calls.mean,
                    projected="+projection" in method,
                    distance_error=distance.error,
                    pde_error_error=error.error,
                )
            )
    return found


def curves(bench: Bench) -> list[Curve]:
    """Return the curves of the ablations that were run, most of each at least, with a default."""
    found = []
    for name, ablation in ablations().items():
        for pde in bench.equations():
            there = set(bench.methods(pde))
            shown = {value: m for value, m in ablation.labels.items() if m in there}
            if (
                len(shown) < 2
                or not any(map(is_swept, shown.values()))
                or any("+grid=" in m for m in shown.values())  # a table tells that better
                or OURS not in shown.values()
                or len(shown) < len(ablation.labels) / 2
            ):
                continue
            alike = bench.common(pde, list(shown.values()))
            cells = {
                column: [cell(alike.of(pde, m), column) for m in shown.values()]
                for column in ("pde_error_normalised", "energy_distance")
            }
            means = [[None if c is None else c.mean for c in own] for own in cells.values()]
            errors = [[None if c is None else c.error for c in own] for own in cells.values()]
            found.append(
                Curve(
                    name,
                    pde,
                    [_number(v) for v in shown],
                    *means,
                    default=list(shown.values()).index(OURS),
                    pde_error_error=errors[0],
                    energy_distance_error=errors[1],
                )
            )
    return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
