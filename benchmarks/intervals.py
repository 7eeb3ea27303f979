"""Do calibrated intervals and bands hold, on the law of the data and off it?

python benchmarks/intervals.py [--truths 300] [--calibrate 99] [--case poisson:exact ...]
                               [--keep FOLDER] [--minutes M]

For each case (an equation and a solver) truths of the data's law are answered, and two thirds as
many of each other law (rougher, of another contrast). Random ones of them make a calibration as
``piddm calibrate`` does, the others are tried with it, and that again for other random ones: what
is printed is the mean over these splits, and in brackets the deviation from one calibration to
another. The standard error of a share of T truths is that of T coins. "never seen" are truths of
laws that the calibration has none of: those of ``--unseen``, and each other law where the
calibration is made again without it. ``--keep`` goes on from the answers that a folder has, and
``--minutes`` ends where there is time for no more.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from piddm.metrics.conformal import own_width
from piddm.runs.asking import equation_model
from piddm.runs.calibrating import FLOOR, LAWS, OWN_FLOOR, Question, asked_of, laws_of, scored_case
from piddm.runs.interval_factors import Scored, made_of
from piddm.solvers._laws import Laws
from piddm.tasks.interval_calibration import Calibration
from piddm.tasks.solution import Solution
from piddm.tasks.synthetic import drawn_from

LEVEL = 0.9


@dataclass
class Tried:
    """An answered truth: what its intervals need, and their width with the floor over without."""

    scored: Scored
    wider: Mapping[str, float]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=16)
    options.add_argument("--truths", type=int, default=300)
    options.add_argument("--calibrate", type=int, default=99)
    options.add_argument("--splits", type=int, default=200)
    options.add_argument("--share", type=float, default=0.1)
    options.add_argument("--noise", type=float, default=0.02)
    options.add_argument("--samples", type=int, default=32)
    options.add_argument(
        "--case", nargs="*", default=["poisson:exact", "poisson:gaussian", "darcy:gaussian"]
    )
    options.add_argument("--unseen", nargs="*", default=["rougher*1.5", "contrast*1.5"])
    options.add_argument("--keep", type=Path, default=None)
    options.add_argument("--minutes", type=float, default=math.inf)
    given = options.parse_args()
    end = time.monotonic() + 60 * given.minutes
    for text in given.case:
        name, solver = text.split(":")
        model = equation_model(name, given.size, progress=False)
        case = Question("inverse", "u", given.share, given.noise, False, solver, given.samples)
        known = laws_of(model.pde, model.residual.grid, LAWS)
        floor = {k: FLOOR * v for k, v in model.packing.field_scale().items()}
        kept = _Kept(given.keep, f"{name}-{solver}-{given.size}-{given.samples}")
        new = [k for k in given.unseen if drawn_from(model.pde, k) is not None]
        last = _answered(model, case, known, new, floor, given.truths, kept, end)
        seen = {k: kept.found[k] for k in known.names}
        _print(text, last, seen, floor, given.calibrate, given.splits)
        for law in new:
            _print(text, last, seen | {law: kept.found[law]}, floor, given.calibrate, given.splits,
                   law)  # fmt: skip
        for law in known.names[1:]:
            left = {k: [_blind(t, law) for t in every] for k, every in seen.items()}
            print(f"calibrated without {law}:")
            _print(text, last, left, floor, given.calibrate, given.splits, law)


def _answered(
    model: Any, case: Question, known: Laws, new: Sequence[str], floor: Mapping[str, float],
    truths: int, kept: _Kept, end: float,
) -> Solution:  # fmt: skip
    """Answer what is not kept, all laws in turn, and return an answer."""
    last = None
    for seed in range(truths):
        for law in (*known.names, *new):
            wanted = law == LAWS[0] or seed < 2 * truths // 3
            if not wanted or seed < len(kept.found.get(law, [])):
                continue
            if last is not None and time.monotonic() > end:
                return last
            answered = asked_of(model, case, law, seed)
            assert answered is not None
            last, truth = answered
            own = scored_case(model, last, truth, known, floor, LEVEL, seed)
            kept.add(law, Tried(own, _wider(last, floor)))
    if last is None:
        answered = asked_of(model, case, LAWS[0], 0)
        assert answered is not None
        last = answered[0]
    return last


class _Kept:
    """What answered truths need, law by law; a line of a file each, where there is a folder."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self.found: dict[str, list[Tried]] = {}
        self._path = folder / f"{name}.jsonl" if folder else None
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for line in self._path.read_text().splitlines() if self._path.exists() else []:
            law, own = json.loads(line)
            factors = {k: torch.tensor(v).double() for k, v in own["factors"].items()}
            ranks = {k: torch.zeros(1) for k in factors}
            scored = Scored(factors, own["covered"], own["scores"], ranks, own["one"])
            self.found.setdefault(law, []).append(Tried(scored, own["wider"]))

    def add(self, law: str, tried: Tried) -> None:
        """Keep one more."""
        own = tried.scored
        ranks = {k: torch.zeros(1) for k in own.factors}  # of which nothing is printed
        tried = Tried(replace(own, ranks=ranks), tried.wider)
        self.found.setdefault(law, []).append(tried)
        if self._path is not None:
            factors = {k: v.tolist() for k, v in own.factors.items()}
            line = json.dumps([law, {"factors": factors, "covered": own.covered, "one": own.one,
                                     "scores": own.scores, "wider": tried.wider}])  # fmt: skip
            with self._path.open("a") as file:
                file.write(line + "\n")


def _blind(tried: Tried, law: str) -> Tried:
    """Return what is known of a truth where a law is not."""
    scores = {k: v for k, v in tried.scored.scores.items() if k != law}
    return Tried(replace(tried.scored, scores=scores), tried.wider)


def _wider(solution: Solution, floor: Mapping[str, float]) -> dict[str, float]:
    low, high = (solution.raw_quantile((1 + sign * LEVEL) / 2) for sign in (-1, 1))
    least = {k: floor.get(k, 0.0) + OWN_FLOOR * own_width(low[k], high[k]) for k in low}
    return {k: 1 + least[k] / float((high[k] - low[k]).mean() / 2) for k in low}


def _print(
    text: str, solution: Solution, found: Mapping[str, Sequence[Tried]],
    floor: Mapping[str, float], calibrate: int, splits: int, unseen: str = "",
) -> None:  # fmt: skip
    """Print the shares of each law; of the one that is never seen alone, where there is one."""
    draw = torch.Generator().manual_seed(0)
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for _ in range(splits):
        used, tried = {}, {}
        for law, every in found.items():
            order = torch.randperm(len(every), generator=draw).tolist()
            count = 0 if law == unseen else calibrate if law == LAWS[0] else calibrate // 2
            if count:
                used[law] = [every[i].scored for i in order[:count]]
            if not unseen or law == unseen:
                tried[law] = [every[i] for i in order[count:]]
        calibration = made_of(solution, "", used, floor, OWN_FLOOR, LEVEL)
        for law, cases in tried.items():
            for field in calibration.like.pointwise:
                rows.setdefault((law, field), []).append(_scores(calibration, cases, law, field))
    for (law, field), own in rows.items():
        raw, inside, wide, band, told, none = map(statistics.mean, zip(*own, strict=True))
        apart = [100 * statistics.stdev(r[k] for r in own) for k in (1, 3)]
        error = 100 * (band * (1 - band) / len(found[law])) ** 0.5
        seen = f"{law}, never seen" if unseen else law
        print(f"{text} {seen:9} {field}: in the 90 % interval {100 * raw:.1f} %, calibrated "
              f"{100 * inside:.1f} % [{apart[0]:.1f}] (width x {wide:.2f}), whole field in the "
              f"band {100 * band:.1f} ± {error:.1f} % [{apart[1]:.1f}]; taken for another law's "
              f"{100 * told:.0f} %, without a band {100 * none:.1f} %", flush=True)  # fmt: skip


def _scores(
    calibration: Calibration, cases: Sequence[Tried], law: str, field: str
) -> tuple[float, ...]:
    """Return shares: in the interval before and after, width, in the band, told, without a band.

    A band that is refused counts neither as one that holds nor as one that does not.
    """
    inside, wide, band, told = [], [], [], 0
    for case in cases:
        own = case.scored
        factor = calibration.factor(field, own.scores)
        assert factor is not None
        hits = own.factors[field] <= factor
        inside.append(float(hits.double().mean()) if len(hits) else 1.0)
        wide.append(factor * case.wider[field])
        bound = calibration.factor(field, own.scores, joint=True)
        if bound is not None:
            band.append(own.worst(field) <= bound)
        told += bool(calibration.law(own.scores))
    n = len(cases)
    return (
        sum(c.scored.covered[field] for c in cases) / n, sum(inside) / n, sum(wide) / n,
        sum(band) / len(band) if band else 1.0, told / n, 1 - len(band) / n,
    )  # fmt: skip


if __name__ == "__main__":
    main()
