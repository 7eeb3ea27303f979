r"""From what known truths need to the factors of intervals and bands.

A question that is taken for another law's has that law's factors. Those of the data's law are such
that intervals hold over all its truths, the ones that are mistaken for another's counted with the
factors that they get: the guarantee of split conformal prediction stands, since factors and limits
of the other laws are of other truths. A truth that is held by another law's band has the score 0,
one that is not infinity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from piddm.metrics.conformal import balanced, exceeded, pointwise, uniform
from piddm.tasks.interval_calibration import Calibration, Factors
from piddm.tasks.solution import Solution

LIMIT = 0.85
"""Share of the questions of the data's law that are taken for such, of each other law."""

CAREFUL = 0.97
"""Share that bands of other laws hold: those of a tenth of such questions are taken for the data's,
and are too narrow."""


@dataclass
class Scored:
    """What one truth needs: factors by field, scores, ranks."""

    factors: dict[str, Tensor]
    covered: dict[str, float]
    scores: dict[str, float]
    ranks: dict[str, Tensor]
    one: dict[str, int]

    def worst(self, field: str) -> float:
        """Return the factor that a band of a field needs."""
        own = self.factors[field]
        return float(own.max()) if len(own) else 0.0


def made_of(
    solution: Solution, seen: str, found: Mapping[str, Sequence[Scored]],
    floor: Mapping[str, float], own_floor: float, level: float,
) -> Calibration:  # fmt: skip
    """Return the calibration that scored truths make.

    Args:
        solution: One of the answers.
        seen: What was seen of the truths, for people.
        found: Law to what its truths need, that of the data first.
        floor: What stood beside half an interval, by field.
        own_floor: The same over the mean half interval of each answer.
        level: Share that intervals are to hold.
    """
    same, *others = found
    own, every = found[same], [c for cases in found.values() for c in cases]
    names = list(own[0].factors)
    absolute = [k for k in own[0].scores if k not in others]
    made = Calibration(
        pde=solution.pde, task=solution.task.kind, solver=solution.solver,
        nodes=list(solution.grid.shape), members=len(solution), seen=seen, level=level,
        floor={k: floor.get(k, 0.0) for k in names}, own_floor=own_floor,
        limits={k: exceeded([c.scores[k] for c in own], LIMIT) for k in others},
        most={k: max(c.scores[k] for c in every) for k in absolute},
        like=Factors(truths=len(own), pointwise={}, joint={}),
        before={k: sum(c.covered[k] for c in own) / len(own) for k in names},
        ranks={k: sum((c.ranks[k] for c in own[1:]), own[0].ranks[k]).tolist() for k in names},
        chance={k: uniform([c.one[k] for c in own if k in c.one], len(solution)) for k in names},
    )  # fmt: skip
    unlike = {}
    for law in others:
        taken = [c for c in found[law] if made.law(c.scores) == law]
        # Where hardly one of a law is told, so many at random of it need about the same.
        taken = taken if len(taken) >= len(found[law]) // 4 else list(found[law])
        if exceeded([0.0] * len(taken), level) < float("inf"):
            unlike[law] = _factors(taken, names, level)
    made = made.model_copy(update={"unlike": unlike})
    return made.model_copy(update={"like": _own_factors(own, names, level, made)})


def _factors(cases: Sequence[Scored], names: Sequence[str], level: float) -> Factors:
    """Return the factors of another law."""
    joint = {}
    for name in names:
        worst = [c.worst(name) for c in cases]
        joint[name] = max(0.0, min(exceeded(worst, max(level, CAREFUL)), max(worst)))
    each = {k: max(0.0, pointwise([c.factors[k] for c in cases], level)) for k in names}
    return Factors(truths=len(cases), pointwise=each, joint=joint)


def _own_factors(
    cases: Sequence[Scored], names: Sequence[str], level: float, made: Calibration
) -> Factors:
    """Return the factors of the data's law, of whose truths a few are taken for another's.

    Those have the other's band, and are in it or not; the others have as wide a one as makes the
    level over all.
    """
    taken = [made.unlike.get(made.law(c.scores)) for c in cases]
    each, joint = {}, {}
    for name in names:
        own, held, worst = [], [], []
        for case, factors in zip(cases, taken, strict=True):
            if factors is None:
                own.append(case.factors[name])
                worst.append(case.worst(name))
                continue
            hits = (case.factors[name] <= factors.pointwise[name]).double()
            held.append(float(hits.mean()) if len(hits) else 1.0)
            bound = factors.joint[name]
            assert bound is not None
            worst.append(0.0 if case.worst(name) <= bound else float("inf"))
        each[name] = max(0.0, balanced(own, held, level))
        bound = exceeded(worst, level)
        joint[name] = None if bound == float("inf") else max(bound, 0.0)
    return Factors(truths=len(cases), pointwise=each, joint=joint)
