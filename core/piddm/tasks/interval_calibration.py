"""What was found out about a solver's intervals on truths that are known, and what is made of it.

What an interval needs is told by the law that a question is of, and not by how large its scores are
within that law. So each law has factors of its own, and a question has those of the law that its
observations speak for: another law than the data's where they do so more than in 85 % of the
questions of the calibration. What is farther off than all of them has no band, and the answer says
that it is not sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from scipy.stats import beta

from piddm.tools.errors import UsageError
from piddm.tools.files import read_json, write_json

Factor = Annotated[float, Field(ge=0)]

BEYOND = 1.5
"""Times the largest score of the calibration up to which a question is one of its kind: of a few
truths the largest is not the largest that there is."""


class Factors(BaseModel):
    """Factors by field, and of how many truths they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truths: Annotated[int, Field(ge=0)]
    pointwise: dict[str, Factor]
    joint: dict[str, Factor | None]
    """None where there were too few truths for a band."""


class Calibration(BaseModel):
    """A calibration as its file has it.

    Args:
        pde, task, solver, nodes: What it is of.
        members: Members of each ensemble.
        seen: What was seen of the truths, for people.
        level: Share that intervals hold.
        floor: What stands beside half an interval, by field, in its unit.
        own_floor: The same over the root mean square of the answer's own half intervals.
        limits: Other law to the log of its odds up to which a question is of the data's.
        most: Score to its largest value in all questions of the calibration.
        like: Factors of the data's law.
        unlike: Factors of other laws.
        before: Coverage without factors, by field, on the data's law.
        ranks: Histogram of the truth's ranks over all nodes, by field.
        chance: Chance of ranks as uneven at one random node a truth, by field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["piddm-calibration"] = "piddm-calibration"
    schema_version: Literal[2] = 2
    pde: str
    task: str
    solver: str
    nodes: list[int]
    members: int
    seen: str = ""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.9
    floor: dict[str, Factor]
    own_floor: Factor = 0.0
    limits: dict[str, FiniteFloat] = {}
    most: dict[str, FiniteFloat] = {}
    like: Factors
    unlike: dict[str, Factors] = {}
    before: dict[str, FiniteFloat] = {}
    ranks: dict[str, list[int]] = {}
    chance: dict[str, FiniteFloat] = {}

    def law(self, scores: Mapping[str, float]) -> str:
        """Return the law that a question is taken to be of; empty for the data's."""
        over = {k: scores[k] - limit for k, limit in self.limits.items() if k in scores}
        best = max(over, key=lambda k: over[k], default="")
        return best if best and over[best] > 0 else ""

    def beyond(self, scores: Mapping[str, float]) -> float:
        """Return a question's worst score over what may be, above 1 if it is too far off."""
        return max((scores[k] / (BEYOND * most) for k, most in self.most.items() if k in scores),
                   default=0.0)  # fmt: skip

    def factor(self, field: str, scores: Mapping[str, float], joint: bool = False) -> float | None:
        """Return by what intervals of a field are stretched; nothing where no band is known."""
        own, beyond = self.unlike.get(self.law(scores), self.like), self.beyond(scores)
        if joint:
            return own.joint.get(field) if beyond <= 1 else None
        return own.pointwise.get(field, 1.0) * max(1.0, beyond) ** 0.5

    def told(self, scores: Mapping[str, float]) -> str:
        """Return what is to be said of a question that is unlike those of the calibration."""
        law = self.law(scores)
        if self.beyond(scores) > 1:
            worst = max((k for k in self.most if k in scores),
                        key=lambda k: scores[k] / self.most[k])  # fmt: skip
            return (
                f"unlike all questions of the calibration: the {worst} is {scores[worst]:.3g}, at "
                f"most {self.most[worst]:.3g} in these; there is no band, and intervals are not "
                "sure"
            )
        if not law:
            return ""
        return (
            f"the observations speak for another law ({law}) than the data's, more than in 85 % of "
            "the calibration's: intervals and band are those of its truths, and not sure"
        )

    def shares(self, chance: float = 0.9) -> tuple[float, float]:
        """Return between which shares of new fields of the data's law a band holds, by chance.

        The share given the truths has a beta law. Source: Vovk, Conditional validity of inductive
        conformal predictors, Proceedings of Machine Learning Research 25, 2012, proposition 2a.

        Args:
            chance: That of a share between the two.
        """
        n = self.like.truths
        place = min(n, -int(-self.level * (n + 1) // 1))
        low, high = (float(beta.ppf((1 + s * chance) / 2, place, n + 1 - place)) for s in (-1, 1))
        return low, high

    def check(self, pde: str, task: str, solver: str, nodes: tuple[int, ...], path: str) -> None:
        """Refuse to be applied to an answer of another kind.

        Raises:
            UsageError: If it is of another equation, task, solver or grid.
        """
        for what, own, asked in (
            ("equation", self.pde, pde), ("task", self.task, task),
            ("solver", self.solver, solver), ("nodes", tuple(self.nodes), nodes),
        ):  # fmt: skip
            if own != asked:
                raise UsageError(
                    f"{path} is a calibration of the {what} {own}, and this is {asked}: make one "
                    "with piddm calibrate"
                )


def write_calibration(calibration: Calibration, path: Path | str) -> None:
    """Write a calibration as JSON.

    Raises:
        PiddmError: If it cannot be written.
    """
    write_json(Path(path), calibration)


def read_calibration(path: Path | str) -> Calibration:
    """Read what :func:`write_calibration` wrote.

    Raises:
        PiddmError: If it is missing, damaged or foreign.
    """
    return read_json(Path(path), Calibration)


def rests_on(
    calibration: Calibration | None, scores: Mapping[str, float], closed: bool, members: int
) -> str:
    """Say what the intervals of an answer rest on.

    Args:
        calibration: What was found out about such intervals, if anything.
        scores: What the calibration judges the question by.
        closed: Whether the solver has them in closed form.
        members: How many there are.
    """
    if calibration is not None:
        if calibration.beyond(scores) > 1:
            return "beyond what the calibration saw: not sure, and there is no band"
        law = calibration.law(scores)
        return f"calibrated, for the law {law}" if law else "calibrated, for the law of the data"
    if closed:
        return "exact for the law of the inputs; not calibrated for any other"
    return (
        f"not calibrated: those of {members} members as they are, which may hold less than they "
        "say; piddm calibrate measures and mends that"
    )
