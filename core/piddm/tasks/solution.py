"""The answer to a task: an ensemble, its statistics, and its misfit to the observations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from scipy.stats import norm
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.metrics.calibration import coverage, crps, quantile, ranks
from piddm.metrics.conformal import own_width
from piddm.numerics.projection import VANISHED
from piddm.residuals.residual import Fields
from piddm.tasks.bias import bias_of
from piddm.tasks.doubts import doubt_of
from piddm.tasks.interval_calibration import Calibration, rests_on
from piddm.tasks.sensors import Sensors
from piddm.tasks.task import Task
from piddm.tools.notebooks import Shown, drawn, lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class Solution(Shown):
    """An ensemble that answers a task.

    Args:
        task: The question.
        pde: Name of the equation.
        grid: The grid of the members.
        solver: Name of the solver.
        fields: Members, field name to ``(members, *axes)``, and free params ``(members,)``.
        residual: Mean-square normalised residual of each member, ``(members,)``; None of data
            without an equation.
        misfit: Mean square of each member's difference to the observations over the tolerance,
            ``(members,)``: chi squared over the number of observations where they have noise.
        tolerance: What misfits are divided by, one for each observation: its sigma, or where that
            is 0 a thousandth of the field's standard deviation.
        calls: Network calls that each member cost.
        seconds: Wall-clock of the whole.
        asked: How many members were asked for.
        unfinished: How many of the members, the last ones, are as an interruption found them.
        projected: How many satisfy the equation to round-off, where that was asked for.
        caution: What is to be said of the question, see :mod:`piddm.tasks.extrapolation`.
        calibration: What was found out about such intervals on known truths; they are stretched by
            it.
        scores: What it judges the question by.
        law: Pointwise mean and standard deviation, field by field, where a solver has them in
            closed form; mean, deviation and intervals are then those of a Gaussian, not the
            members'.
    """

    task: Task
    pde: str
    grid: Grid
    solver: str
    fields: Fields
    residual: Tensor | None
    misfit: Tensor
    tolerance: Tensor
    calls: int
    seconds: float
    asked: int
    unfinished: int = 0
    projected: int | None = None
    caution: str = ""
    law: tuple[Fields, Fields] | None = None
    calibration: Calibration | None = None
    scores: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.misfit)

    def in_words(self) -> str:
        """Return the question, the fields with their spread, and how well the members fit."""
        rows = {
            name: f"{float(self.mean[name].mean()):.4g} on average, "
            f"spread {float(spread.mean()):.4g}"
            for name, spread in self.std.items()
        }
        rows["misfit"] = f"{float(self.misfit.mean()):.4g}, mean square in sigmas"
        if self.residual is not None:
            rows["PDE error"] = f"{float(self.residual.mean()):.4g}, normalised"
        rows["intervals"] = self.trust
        rows |= {"caution": self.caution, "doubt": self.doubt}
        title = (f"{self.task.kind} of {self.pde}: {len(self)} members of {self.solver} for "
                 f"{self.task.observations.count} observations, {self.seconds:.1f} s")  # fmt: skip
        return lines(title, rows)

    def plot(self, truth: Fields | None = None) -> Figure:
        """Return a picture: observations, mean and deviation, beside the truth where it is given.

        Args:
            truth: Fields ``(*grid.shape)`` and params.
        """
        return drawn("of_solution", self, truth=truth)

    @property
    def on_the_equation(self) -> bool:
        """Whether all members satisfy the equation to round-off, where there is one."""
        return self.residual is None or bool((self.residual <= VANISHED).all())

    @property
    def mean(self) -> dict[str, Tensor]:
        """Mean: of the members, or in closed form."""
        if self.law is not None:
            return dict(self.law[0])
        return {k: v.mean(0) for k, v in self.fields.items()}

    @property
    def std(self) -> dict[str, Tensor]:
        """Standard deviation, of the members or in closed form; zero where there is one member."""
        if self.law is not None:
            return dict(self.law[1])
        return {k: v.std(0, correction=min(1, len(v) - 1)) for k, v in self.fields.items()}

    def quantile(self, share: float) -> dict[str, Tensor]:
        """Return the value below which a share of the law lies, pointwise; calibrated if it is."""
        found = self.raw_quantile(share)
        return found if self.calibration is None else self._stretched(found, share, False)

    @property
    def trust(self) -> str:
        """Say what the intervals rest on: a calibration, a closed form, or the members only."""
        return rests_on(self.calibration, self.scores, self.law is not None, len(self))

    def band(self) -> tuple[dict[str, Tensor], dict[str, Tensor]] | None:
        """Return the ends of a band that the whole field lies in; nothing without calibration.

        The share of the truths that do is the calibration's level. A field for which there were too
        few truths has ends at infinity.
        """
        if self.calibration is None:
            return None
        level = self.calibration.level
        ends = [self._stretched(self.raw_quantile(share), share, True)
                for share in ((1 - level) / 2, (1 + level) / 2)]  # fmt: skip
        return ends[0], ends[1]

    def _stretched(self, quantiles: Fields, share: float, joint: bool) -> dict[str, Tensor]:
        calibration, found = self.calibration, {}
        assert calibration is not None
        wide = float(norm.ppf(share) / norm.ppf((1 + calibration.level) / 2))
        mean, own = self.mean, self._own_widths(calibration.level)
        for name, value in quantiles.items():
            factor = calibration.factor(name, self.scores, joint)
            factor = float("inf") if factor is None else factor
            away = value - mean[name]
            # At a level's end never on the mean's other side, as a skew ensemble's may be.
            away = away.clamp_min(0.0) if wide > 0 else away.clamp_max(0.0)
            least = calibration.floor.get(name, 0.0) + calibration.own_floor * own[name]
            move = away + wide * least
            found[name] = mean[name] + torch.where(move == 0, 0.0, factor * move)
        return found

    def _own_widths(self, level: float) -> dict[str, float]:
        low, high = (self.raw_quantile((1 + sign * level) / 2) for sign in (-1, 1))
        return {k: own_width(low[k], high[k]) for k in low}

    def raw_quantile(self, share: float) -> dict[str, Tensor]:
        """Return the value below which a share of the ensemble's own law lies, pointwise."""
        if self.law is not None:
            away = float(norm.ppf(share))
            return {k: mean + away * self.law[1][k] for k, mean in self.law[0].items()}
        return {k: quantile(v, share) for k, v in self.fields.items()}

    def errors(self, truth: Fields) -> dict[str, float]:
        """Return the relative L2 error of the mean, field by field, weighted by area.

        Where the truth is zero everywhere it is the root mean square of the mean itself.
        """
        weight, mean, found = torch.from_numpy(self.grid.weights()), self.mean, {}
        for name, true in truth.items():
            away, size = (
                float((weight * v.double().square()).mean().sqrt())
                for v in (mean[name].double() - true.double(), true)
            )
            found[name] = away / (size or 1.0)
        return found

    def covered(self, truth: Fields, level: float) -> dict[str, float]:
        """Return the share of nodes whose true value is in the central interval.

        Nodes where all members have the true value, such as those of a wall, are left out.
        """
        found = {}
        for name, true in truth.items():
            open_ = (self.fields[name] != true).any(0)
            if self.calibration is not None:
                low, high = (self.quantile((1 + sign * level) / 2)[name] for sign in (-1, 1))
                hits = ((low <= true) & (true <= high))[open_]
            elif self.law is None:
                hits = coverage(self.fields[name], true, level)[open_]
            else:
                wide = float(norm.isf((1 - level) / 2)) * self.law[1][name]
                hits = ((true - self.law[0][name]).abs() <= wide)[open_]
            found[name] = float(hits.double().mean()) if len(hits) else 1.0
        return found

    @property
    def bias(self) -> dict[str, tuple[float, float]]:
        """Mean and deviation of the bias that each group of sensors turns out to have."""
        seen = self.task.observations
        names = tuple(k for k, v in self.fields.items() if v.ndim > 1)
        groups = seen.all_groups(names)
        if not any(groups):
            return {}
        plain = replace(seen, groups={}, readings=[replace(r, group="") for r in seen.readings])
        sensors = Sensors(plain, names, self.task.interpolation)
        missing = sensors.values - sensors(self.fields)
        found = {}
        for name, (means, own) in bias_of(missing, groups, seen.bias, sensors.sigma).items():
            spread = float(means.std(correction=min(1, len(means) - 1)))
            found[name] = (float(means.mean()), (spread**2 + own**2) ** 0.5)
        return found

    def inside(self, truth: Fields) -> dict[str, bool]:
        """Return of which fields the whole truth is in the calibrated band."""
        ends = self.band()
        if ends is None:
            return {}
        found = {}
        for name, true in truth.items():
            open_ = (self.fields[name] != true).any(0)
            hits = (ends[0][name] <= true) & (true <= ends[1][name])
            found[name] = bool(hits[open_].all())
        return found

    def crps(self, truth: Fields) -> dict[str, float]:
        """Return the mean continuous ranked probability score, in the fields' units."""
        return {k: float(crps(self.fields[k], v).mean()) for k, v in truth.items()}

    def ranks(self, truth: Fields) -> dict[str, list[int]]:
        """Return at how many nodes 0, 1, ... of the members lie below the truth.

        Added up over truths they are the rank histogram, which is flat for a calibrated ensemble.
        """
        return {k: ranks(self.fields[k], v).tolist() for k, v in truth.items()}

    def shared(self, truth: Fields) -> dict[str, Tensor]:
        """Return what of a truth is in the answer: a param that was given is not."""
        return {k: v for k, v in truth.items() if k in self.fields}

    @cached_property
    def doubt(self) -> str:
        """Say so where no member comes as near to the observations as their noise allows."""
        known = self.law is not None
        return doubt_of(self.task, self.fields, self.residual, self.tolerance, self.solver, known)

    def summary(self, truth: Fields | None = None) -> dict[str, object]:
        """Return what ``solution.json`` says."""
        found: dict[str, object] = {
            "pde": self.pde,
            "task": self.task.kind,
            "solver": self.solver,
            "members": len(self),
            "asked": self.asked,
            "observations": self.task.observations.count,
            "misfit": float(self.misfit.mean()),
            "calls": self.calls,
            "seconds": self.seconds,
            "spread": {k: float(v.mean()) for k, v in self.std.items()},
            "intervals": self.trust,
        }
        if self.residual is not None:
            found["residual"] = float(self.residual.mean())
        if bias := self.bias:
            found["bias"] = {k: {"mean": m, "deviation": d} for k, (m, d) in bias.items()}
        if self.calibration is not None:
            found["calibration"] = {
                "scores": dict(self.scores), "law": self.calibration.law(self.scores) or "same",
                "beyond": self.calibration.beyond(self.scores),
            }  # fmt: skip
        if self.unfinished:
            found["unfinished"] = self.unfinished
        if self.projected is not None:
            found["projected"] = self.projected
        if self.caution:
            found["caution"] = self.caution
        if doubt := self.doubt:
            found["doubt"] = doubt
        truth = self.shared(truth or {})
        if truth:
            found["relative_l2"] = self.errors(truth)
            found["coverage"] = {f"{level:g}": self.covered(truth, level) for level in (0.5, 0.9)}
            found["crps"] = self.crps(truth)
            if self.calibration is not None:
                found["in_the_band"] = self.inside(truth)
            found["ranks"] = self.ranks(truth)
        return found
