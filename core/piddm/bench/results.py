"""Results of one competitor on one equation and seed: a file each, so that nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from piddm.bench.answers import Answers
from piddm.metrics.scores import Scores, mean_scores
from piddm.runs.fingerprints import digest
from piddm.tools.errors import PiddmError
from piddm.tools.files import read_json, write_json


class Result(BaseModel):
    """One competitor's scores and costs, or why there are none.

    Attributes:
        pde: The equation.
        seed: Seed of data, training and samples.
        method: Label, see :mod:`piddm.bench.entries`; ``truth`` is one draw of data against
            another.
        mark: What the result depends on.
        status: ``ok``; ``failed``, it diverged or broke down; ``refused``, it cannot take this.
        reason: Why there are no scores.
        scores: PDE errors and distances; ``nfe`` is counted, backward passes included.
        spectrum_distance: See :mod:`piddm.metrics.spectra`.
        training_seconds: What the method trained for itself, on top of the teacher.
        pairs_seconds: What making the pairs that it used took.
        teacher_seconds: What training the teacher took.
        answers: Of a solver on a task, in the place of scores; ``method`` is then ``TASK/SOLVER``.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["piddm-bench-result"] = "piddm-bench-result"
    version: Literal[1] = 1
    pde: str
    seed: int
    method: str
    mark: str
    status: Literal["ok", "failed", "refused"] = "ok"
    reason: str = ""
    scores: Scores | None = None
    spectrum_distance: float | None = None
    training_seconds: float | None = None
    pairs_seconds: float | None = None
    teacher_seconds: float | None = None
    answers: Answers | None = None

    @property
    def end_to_end(self) -> float | None:
        """Seconds from data to a sampler: teacher, pairs and own training, for what uses them."""
        parts = (self.teacher_seconds, self.pairs_seconds, self.training_seconds)
        return None if all(p is None for p in parts) else sum(p or 0.0 for p in parts)


def averaged(results: Sequence[Result]) -> Result:
    """Return the means of what one competitor scored in several draws of noise."""
    scores = [r.scores for r in results if r.scores is not None]
    if len(results) == 1 or not scores:
        return results[0]
    means = mean_scores(scores)
    change = {"scores": means, "spectrum_distance": means.spectrum_distance}
    return results[0].model_copy(update=change)


def result_path(folder: Path, pde: str, seed: int, label: str) -> Path:
    """Return where a competitor's result is kept."""
    plain = re.sub(r"[^a-z0-9.=_-]+", "_", label)
    return folder / "results" / f"{pde}-{seed}" / f"{plain}-{digest(label)[:6]}.json"


def kept(path: Path, mark: str) -> Result | None:
    """Return a result that is there and still holds; what is damaged is made again."""
    found = _there(path)
    return found if found is not None and found.mark == mark else None


def finished(path: Path) -> bool:
    """Return whether there are scores, whatever they depend on: no failure is worth more."""
    found = _there(path)
    return found is not None and found.status == "ok"


def _there(path: Path) -> Result | None:
    try:
        return read_json(path, Result) if path.exists() else None
    except PiddmError:
        return None


def keep(path: Path, result: Result) -> None:
    """Write a result."""
    write_json(path, result)


def every(folder: Path) -> list[Result]:
    """Return all results in a folder, but damaged ones."""
    paths = sorted((folder / "results").glob("*/*.json"))
    return [found for path in paths if (found := _there(path)) is not None]
