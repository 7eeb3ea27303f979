"""The answer to a task: an ensemble, what it says, and how well it agrees with what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from scipy.stats import chi2
from torch import Tensor

from piddm.grid import Grid
from piddm.interfaces import Fields, Task
from piddm.tasks.calibration import coverage, crps, quantile, ranks
from piddm.tasks.sensors import Sensors

DOUBT = 1e-6
"""Chance of a misfit as large as the best member's, below which observations are doubted."""

VANISHED = 1e-12
"""Normalised residual, mean square, up to which a member satisfies the equation."""

FAR = 1e3
"""Misfit of exact observations (1 is a thousandth of a deviation) at which a member that satisfies
the equation leaves no doubt that they contradict each other or it."""


@dataclass(frozen=True)
class Solution:
    """An ensemble that answers a task.

    Args:
        task: The question.
        pde: Name of the equation.
        grid: The grid of the members.
        solver: Name of the solver.
        fields: Members, field name to ``(members, *axes)``, and free params ``(members,)``.
        residual: Mean-square normalised residual of each member, ``(members,)``.
        misfit: Mean square of each member's difference to the observations over the tolerance,
            ``(members,)``: chi squared over the number of observations where they have noise.
        tolerance: What misfits are divided by, one for each observation: its sigma, or where that
            is 0 a thousandth of the field's standard deviation.
        calls: Network calls that each member cost.
        seconds: Wall-clock of the whole.
        asked: How many members were asked for.
        unfinished: How many of the members, the last ones, are as an interruption found them.
        projected: How many satisfy the equation to round-off, where that was asked for.
        caution: What is to be said of the question, see :mod:`piddm.tasks.outside`.
    """

    task: Task
    pde: str
    grid: Grid
    solver: str
    fields: Fields
    residual: Tensor
    misfit: Tensor
    tolerance: Tensor
    calls: int
    seconds: float
    asked: int
    unfinished: int = 0
    projected: int | None = None
    caution: str = ""

    def __len__(self) -> int:
        return len(self.misfit)

    @property
    def mean(self) -> dict[str, Tensor]:
        """Mean of the members."""
        return {k: v.mean(0) for k, v in self.fields.items()}

    @property
    def std(self) -> dict[str, Tensor]:
        """Standard deviation of the members; zero where there is one."""
        return {k: v.std(0, correction=min(1, len(v) - 1)) for k, v in self.fields.items()}

    def quantile(self, share: float) -> dict[str, Tensor]:
        """Return the value below which a share of the members lies, pointwise."""
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
        """Return the share of nodes whose true value is in the members' central interval.

        Nodes where all members have the true value, such as those of a wall, are left out.
        """
        found = {}
        for name, true in truth.items():
            open_ = (self.fields[name] != true).any(0)
            hits = coverage(self.fields[name], true, level)[open_]
            found[name] = float(hits.double().mean()) if len(hits) else 1.0
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
        names = tuple(k for k, v in self.fields.items() if v.ndim > 1)
        sensors = Sensors(self.task.observations, names, self.task.interpolation)
        away = ((sensors(self.fields) - sensors.values) / self.tolerance).square()
        exact, there = sensors.sigma == 0, self.residual <= VANISHED
        wrong = "contradict each other or the equation, or their sigma is too small"
        missed = away[there][:, exact].mean(1)  # of members that are not held up by the model
        if missed.numel() and float(missed.min()) >= FAR:  # NaN where none is exact
            return (
                "no member that satisfies the equation comes near to the exact observations: they "
                "contradict each other or it, or have noise (--sigma)"
            )
        best, n = float(away[:, ~exact].sum(1).min()), int((~exact).sum())
        if not n or chi2.sf(best, n) > DOUBT:
            return ""
        said = f"the best member's chi squared is {best:.4g} for {n} observations with noise"
        if bool(there.any()):
            return f"{said}: they {wrong}"
        return (
            f"{said}: {self.solver} comes no nearer, --project or the solver hybrid may; if they "
            f"do not, the observations {wrong}"
        )

    def summary(self, truth: Fields | None = None) -> dict[str, object]:
        """Return what ``solution.json`` says."""
        found: dict[str, object] = {
            "pde": self.pde,
            "task": self.task.kind,
            "solver": self.solver,
            "members": len(self),
            "asked": self.asked,
            "observations": self.task.observations.count,
            "residual": float(self.residual.mean()),
            "misfit": float(self.misfit.mean()),
            "calls": self.calls,
            "seconds": self.seconds,
            "spread": {k: float(v.mean()) for k, v in self.std.items()},
        }
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
            found["ranks"] = self.ranks(truth)
        return found


def merged(parts: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return batches of members as one."""
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
