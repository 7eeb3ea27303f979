"""What a check of data found, as plain data and as tables for people."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from piddm.checking.fitted import Fitted
from piddm.checking.row_errors import Errors, RowError
from piddm.checking.suspects import Suspect
from piddm.data.replaying import Replay

LARGE = 0.05
"""Size of a residual over its scale, median over nodes, or of a replay's distance, above which data
do not satisfy an equation."""

WORST = 5
"""Samples that are named as the worst."""

Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Report:
    """Is this data the equation's?

    Args:
        pde: Name of the equation.
        data: What was checked.
        grid: Its grid, as text.
        errors: The residual of all samples.
        params: Params as the data have them.
        factors: Factors of terms as the data have them, by equation; all are 1 where it is right.
        replay: What solving from the samples' own inputs found.
        suspects: What is probably wrong.
        seconds: How long it took.
        axes: Names of the last two axes, of the picture.
        picture: Row name to abs(R)/scale of the worst sample, one plane of it, for a figure.
        computed: By field that the data lack, the names of the equations that it was computed from.
    """

    pde: str
    data: str
    grid: str
    errors: Errors
    params: tuple[Fitted, ...]
    factors: dict[str, tuple[Fitted, ...]]
    replay: Replay
    suspects: tuple[Suspect, ...]
    seconds: float
    axes: tuple[str, ...] = ()
    picture: dict[str, np.ndarray] = field(default_factory=dict)
    computed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def tested(self) -> list[RowError]:
        """The equations and conditions from which no field was computed."""
        silent = {row for rows in self.computed.values() for row in rows}
        return [r for r in self.errors.rows.values() if r.name not in silent]

    @property
    def satisfied(self) -> bool:
        """Whether the data are the equation's: small residuals, or a replay that comes near.

        Anything that lowers the residual much, and is not a matter of accuracy, says that they are
        not as they are said to be.
        """
        return self.small and not self.suspects

    @property
    def small(self) -> bool:
        """Whether the residual, or a replay's distance, is small."""
        replayed = self.replay.distance and max(self.replay.distance.values()) <= LARGE
        return bool(replayed) or all(
            (math.sqrt(r.error[self.errors.order]) if r.boundary else r.median) <= LARGE
            for r in self.tested
        )

    @property
    def worst(self) -> list[tuple[int, float]]:
        """The worst samples, by index in the data, with their normalised PDE errors."""
        values, index = self.errors.samples.topk(min(WORST, len(self.errors.samples)))
        kept = [i for i in range(self.errors.count + len(self.errors.bad))
                if i not in set(self.errors.bad)]  # fmt: skip
        return [(kept[int(k)], float(v)) for k, v in zip(index, values, strict=True)]

    def verdict(self) -> list[str]:
        """Return what all this says, in a few sentences."""
        said = [f"{name} is not in the data and was computed from {', '.join(rows)}, which "
                "therefore tests nothing" for name, rows in self.computed.items()]  # fmt: skip
        if not self.tested:
            return [*said, f"nothing of {self.pde} is left to test"]
        own = max(self.tested, key=lambda r: r.median)
        if self.satisfied:
            said.append(f"the data satisfy {self.pde}: abs(R)/scale is {own.median:.2g} in the "
                        f"median over nodes ({own.name})")  # fmt: skip
        elif self.small:
            said.append(f"the residual of {self.pde} is small, and a change makes it much smaller")
        else:
            said.append(f"the data do not satisfy {self.pde}: abs(R)/scale is {own.median:.2g} in "
                        f"the median over nodes ({own.name})")  # fmt: skip
        if self.replay.distance:
            name = max(self.replay.distance, key=self.replay.distance.__getitem__)
            said.append(f"solved from their own inputs they differ by "
                        f"{self.replay.distance[name]:.2g} in {name}")  # fmt: skip
        said += [f"probably {s.what}: the residual falls from {s.before:.2g} to {s.after:.2g}"
                 for s in self.suspects[:1]]  # fmt: skip
        if len(self.errors.bad):
            said.append(f"{len(self.errors.bad)} samples have values that are not finite, and "
                        "were left out")  # fmt: skip
        if self.errors.missing:
            left = ", ".join(f"{v:.1%} of {k}" for k, v in self.errors.unseen.items())
            said.append(f"{self.errors.missing} values are missing; left out were the rows that "
                        f"touch one: {left}")  # fmt: skip
        return said

    def row_table(self) -> Table:
        """Return a row for each equation and condition, a column for each order."""
        orders = list(next(iter(self.errors.rows.values())).error)
        header = ["equation or condition", "scale", "median abs(R)/scale",
                  *(f"PDE error, order {o}" for o in orders), "near walls", "away"]  # fmt: skip
        rows = [
            [r.name, f"{r.scale:.3g}", f"{r.median:.2e}", *(f"{r.error[o]:.2e}" for o in orders),
             *("-" if v is None else f"{v:.2e}" for v in (r.near, r.far))]
            for r in self.tested
        ]  # fmt: skip
        return header, rows

    def term_table(self) -> Table:
        """Return a row for each term of each equation, with the factor that the data give it."""
        rows = []
        for name, row in self.errors.rows.items():
            found = {f.name: f for f in self.factors.get(name, ())}
            for term, size in row.terms.items():
                own = found.get(term)
                rows.append([name, term, f"{size:.3g}", "-" if own is None else _interval(own)])
        return ["equation", "term", "root mean square", "factor in the data (1 is right)"], rows

    def param_table(self) -> Table:
        """Return a row for each param."""
        rows = [[f.name, f"{f.stated:.6g}", _interval(f)] for f in self.params]
        return ["param", "stated", "fitted, 95 %"], rows

    def suspect_table(self) -> Table:
        """Return a row for each suspicion."""
        rows = [[s.what, f"{s.before:.2e}", f"{s.after:.2e}"] for s in self.suspects]
        return ["probably", "residual as given", "residual then"], rows

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        plain = {
            "pde": self.pde, "data": self.data, "grid": self.grid, "satisfied": self.satisfied,
            "verdict": self.verdict(), "count": self.errors.count, "bad": list(self.errors.bad),
            "missing": self.errors.missing, "unseen": self.errors.unseen,
            "order": self.errors.order, "refused": self.errors.refused,
            "rows": {k: asdict(r) for k, r in self.errors.rows.items()},
            "worst": [{"sample": i, "error": v} for i, v in self.worst],
            "params": [asdict(f) for f in self.params],
            "factors": {k: [asdict(f) for f in v] for k, v in self.factors.items()},
            "replay": asdict(self.replay), "suspects": [asdict(s) for s in self.suspects],
            "computed": {k: list(v) for k, v in self.computed.items()}, "seconds": self.seconds,
        }  # fmt: skip
        return _finite(plain)


def _interval(own: Fitted) -> str:
    return f"{own.value:.6g} ({own.low:.6g} to {own.high:.6g})"


def _finite(data: Any) -> Any:
    """Return plain data with none for what is not finite, of which JSON has nothing."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {k: _finite(v) for k, v in data.items()}
    return [_finite(v) for v in data] if isinstance(data, (list, tuple)) else data
