"""All results as one file, ``bench.json``, and as tables for people."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from piddm.bench.ablations import ablations
from piddm.bench.entries import TRUTH, default_labels
from piddm.bench.results import Result
from piddm.config import Config
from piddm.metrics.fronts import ROUND_OFF, best_two
from piddm.plugins.loader import current


class Bench(BaseModel):
    """The content of ``bench.json``.

    Attributes:
        machine: Processor, threads, versions.
        config: The configuration that all share, of the first equation and seed.
        seconds: Wall-clock of all calls that added to it.
        results: One for each competitor, equation and seed.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["piddm-bench"] = "piddm-bench"
    version: Literal[1] = 1
    machine: dict[str, Any]
    config: Config
    seconds: float
    results: list[Result]

    def equations(self) -> list[str]:
        """Return the equations, in their order."""
        return list(dict.fromkeys(r.pde for r in self.results))

    def methods(self, pde: str) -> list[str]:
        """Return the labels of an equation's competitors, in their order."""
        return list(dict.fromkeys(r.method for r in self.results if r.pde == pde))

    def of(self, pde: str, method: str) -> list[Result]:
        """Return the results of a competitor, one for each seed."""
        return [r for r in self.results if r.pde == pde and r.method == method]

    def complete(self, pde: str) -> list[str]:
        """Return the competitors that have as many seeds as any: others' means do not compare."""
        count = {m: sum(r.status == "ok" for r in self.of(pde, m)) for m in self.methods(pde)}
        return [m for m, n in count.items() if n == max(count.values())]

    def common(self, pde: str, methods: Sequence[str]) -> Bench:
        """Return the results of some competitors on the seeds that all of them have."""
        own = [r for m in methods for r in self.of(pde, m)]
        done = [{r.seed for r in own if r.method == m and r.status == "ok"} for m in methods]
        seeds = set.intersection(*(d for d in done if d)) if any(done) else set()
        return self.model_copy(update={"results": [r for r in own if r.seed in seeds]})


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Args:
        title: Its head.
        value: What it shows of a result; None where there is nothing.
        marked: Whether the best and the second best are marked.
        least: What is below this is rounding, and none is better for having less of it.
        physical: Whether none is better for having less of it than the truth: data that satisfy
            the equation only nearly support no more.
    """

    title: str
    value: Callable[[Result], float | None]
    marked: bool = True
    least: float = 0.0
    physical: bool = False


def _score(name: str) -> Callable[[Result], float | None]:
    return lambda result: None if result.scores is None else getattr(result.scores, name)


COLUMNS = {
    "pde_error_normalised": Column(
        "PDE error, normalised", _score("pde_error_normalised"), least=ROUND_OFF, physical=True
    ),
    "pde_error": Column("PDE error", _score("pde_error"), marked=False),
    "constraint_distance": Column(
        "distance to solutions", _score("constraint_distance"), least=ROUND_OFF, physical=True
    ),
    "mmse": Column("MMSE", _score("mmse")),
    "smse": Column("SMSE", _score("smse")),
    "energy_distance": Column("energy distance", _score("energy_distance")),
    "spectrum_distance": Column("spectrum distance", lambda r: r.spectrum_distance),
    "one_point_distance": Column("one-point distance", _score("one_point_distance")),
    "self_consistency": Column("self-consistency", _score("self_consistency"), least=ROUND_OFF),
    "calls": Column("calls", _score("nfe"), marked=False),
    "seconds_per_sample": Column("s per sample", _score("seconds_per_sample"), marked=False),
    "training_seconds": Column("own training, s", lambda r: r.training_seconds, marked=False),
    "end_to_end": Column("end to end, s", lambda r: r.end_to_end, marked=False),
}
"""By name; ``end_to_end`` is teacher, pairs and own training."""


@dataclass(frozen=True)
class Cell:
    """Mean over seeds, its standard error (none of one seed), and how many there are."""

    mean: float
    error: float | None
    count: int


def cell(results: Sequence[Result], column: str) -> Cell | None:
    """Return what a table shows of a competitor; nothing where no seed has it."""
    values = [v for r in results if (v := COLUMNS[column].value(r)) is not None]
    if not values:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Cell(statistics.fmean(values), error, len(values))


def table(bench: Bench, pde: str, methods: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of an equation's table, best and second best marked.

    The best is in bold, the second best in italics, where the difference to the next exceeds its
    standard error; what satisfies the equation to round-off, or as well as the truth does, is not
    told apart by how well.
    """
    cells = {m: {c: cell(bench.of(pde, m), c) for c in COLUMNS} for m in methods}
    # Errors on several grids do not compete, nor do means over other seeds.
    alike = [] if any("+grid=" in m for m in methods) else bench.complete(pde)
    rivals = {m: own for m, own in cells.items() if m in alike and m != TRUTH}
    marks = {
        name: best_two({
            m: (max(found.mean, least), math.nan if found.error is None else found.error)
            for m, own in rivals.items() if (found := own[name]) is not None
        })
        for name, column in COLUMNS.items() if column.marked
        for least in [_least(column, cells.get(TRUTH, {}).get(name))]
    }  # fmt: skip
    rows = []
    for method in methods:
        own, results = cells[method], bench.of(pde, method)
        ill = [r for r in results if r.status != "ok"]
        if all(c is None for c in own.values()):
            said = f"{ill[0].status}: {ill[0].reason}" if ill else "not on these seeds"
            rows.append([f"`{method}`", "0", said, *[""] * (len(own) - 1)])
            continue
        told = [shown(c, marks.get(name, {}).get(method, "")) for name, c in own.items()]
        note = f" ({len(ill)} of {len(results)} seeds {ill[0].status})" if ill else ""
        rows.append([f"`{method}`{note}", str(len(results) - len(ill)), *told])
    return ["method", "seeds", *(c.title for c in COLUMNS.values())], rows


def _least(column: Column, truth: Cell | None) -> float:
    """Return the value below which nothing in a column is better for being smaller."""
    if not column.physical or truth is None or not math.isfinite(truth.mean):
        return column.least
    return max(column.least, truth.mean)


def shown(cell: Cell | None, mark: str = "") -> str:
    """Return a mean and its standard error, marked as ``best`` or ``second``."""
    if cell is None:
        return ""
    text = number(cell.mean) + (f" ± {number(cell.error)}" if cell.error else "")
    return {"best": f"**{text}**", "second": f"*{text}*"}.get(mark, text)


def number(value: float) -> str:
    """Return a number of three digits at the most."""
    if value == int(value) and abs(value) < 1e4:
        return str(int(value))
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def markdown(bench: Bench) -> str:
    """Return all tables: a competition for each equation, then the ablations that were run."""
    lines: list[str] = []
    for pde in bench.equations():
        methods = [m for m in bench.methods(pde) if not is_swept(m) and "/" not in m]
        lines += [f"### {pde}", "", *lined(*table(bench, pde, methods)), ""]
        elsewhere = [m for m in bench.methods(pde) if "+grid=" in m and m not in _asked()]
        if elsewhere:
            lines += [f"### other grids, {pde}", "", *lined(*table(bench, pde, elsewhere)), ""]
        lines += _answers(bench, pde)
    for name, ablation in ablations().items():
        for pde in bench.equations():
            own = [m for m in ablation.labels.values() if m in bench.methods(pde)]
            if len(own) < len(ablation.labels) / 2 or not any(map(is_swept, own)):
                continue  # what there is of it is in the table above
            lines += [f"### {name}, {pde}", "", ablation.question, ""]
            lines += [*lined(*table(bench.common(pde, own), pde, own)), ""]
    return "\n".join(lines)


def _answers(bench: Bench, pde: str) -> list[str]:
    """Return the table of an equation's solvers, where they were asked."""
    rows = []
    for question in (m for m in bench.methods(pde) if "/" in m):
        results = bench.of(pde, question)
        told = [r.answers for r in results if r.answers is not None]
        if not told:
            rows.append([question, f"{results[0].status}: {results[0].reason}", *[""] * 4])
            continue

        def mean(name: str, told: list[Any] = told) -> str:
            return number(statistics.fmean(getattr(a, name) for a in told))

        names = ("worst", "coverage", "residual", "calls", "seconds")
        rows.append([question, *(mean(name) for name in names)])
    head = ["task/solver", "relative L2", "coverage of 90 %", "residual", "calls", "s"]
    return [*lined(head, rows), ""] if rows else []


def is_swept(method: str) -> bool:
    """Return whether a competitor is shown only with its own kind: in ablations, other grids."""
    if "+grid=" in method:
        return True
    return method in _asked() and method not in [TRUTH, *default_labels(current())]


def _asked() -> set[str]:
    """Return what all ablations ask for."""
    return {m for a in ablations().values() for m in a.labels.values()}


def lined(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    rule = "|" + "---|" * len(head)
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]
