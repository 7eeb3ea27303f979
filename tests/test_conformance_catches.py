"""The checks that ship with piddm can fail: each catches what does not keep its promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import foreign
from piddm import PiddmError
from piddm.interfaces import Method
from piddm.students.one_step import OneStepStudent
from piddm.testing import (
    check_backbone,
    check_method,
    check_metric,
    check_solver,
    check_student,
    check_teacher,
)


class Drifting(foreign.Plain):
    def velocity(self, xt, t):
        return 1.1 * super().velocity(xt, t)


class Boasting(foreign.Plain):
    def calls(self, steps):
        return steps - 1


class Closed(foreign.Plain):
    @torch.no_grad()
    def sample(self, noise, steps):
        yield from super().sample(noise, steps)


class Chancy(foreign.Plain):
    def loss(self, x0, generator):
        return super().loss(x0 + torch.randn_like(x0), generator)


class Aside(foreign.Plain):
    def __init__(self, network, packing, schedule):
        super().__init__(network, packing, schedule)
        self.gain = nn.Parameter(torch.ones(()))


class Mixing(foreign.Linear):
    def forward(self, noise):
        return super().forward(noise) - super().forward(noise).mean(0)


class Forgetful(foreign.Linear):
    def __init__(self, teacher):
        super().__init__(teacher)
        self.shift = float(teacher.packing.mean.abs().sum())

    def forward(self, noise):
        return super().forward(noise) + self.shift


class Modest(OneStepStudent):
    calls = 2


class Idle(foreign.Linear):
    def objective(self, context):
        return lambda module, step: {"loss": torch.zeros(())}


class Meddling(foreign.Shrunk):
    def sample(self, noise, generator):
        self.context.teacher.network.enter.weight.mul_(1.1)
        return super().sample(noise, generator)


class Luck(foreign.Shrunk):
    def sample(self, noise, generator):
        return noise + torch.rand(())


class Lossless(Method):
    def __init__(self, context):
        self.trained = nn.Linear(1, 1)

    def sample(self, noise, generator):
        return noise


class Underpaid(foreign.Best):
    def solve(self, task, count, generator):
        found = yield from super().solve(task, count, generator)
        return type(found)(found.fields, 1)


class Fewer(foreign.Best):
    def solve(self, task, count, generator):
        return (yield from super().solve(task, count - 1, generator))


class Blind(foreign.Network):
    def forward(self, x, t):
        return super().forward(x, 0 * t)


def rounding(comparison):
    comparison.samples.round_()
    return 0.0


class Counting:
    calls = 0

    def __call__(self, comparison):
        self.calls += 1
        return self.calls


def breaking(comparison):
    raise KeyError("nobody")


@pytest.mark.parametrize(
    ("check", "made", "reason"),
    [
        (check_teacher, Drifting, "velocity is not that of its estimate"),
        (check_teacher, Boasting, "makes 3 network calls, not 2 as it says"),
        (check_teacher, Closed, "has no gradient|does not require grad"),
        (check_teacher, Chancy, "global generator|from the same numbers"),
        (check_teacher, Aside, "'gain'. is learnt beside its network"),
        (check_student, Mixing, "depends on others"),
        (check_student, Forgetful, "read back from its state"),
        (check_student, Modest, "calls the network 1 times a sample, and says 2"),
        (check_student, Idle, "has no gradient"),
        (check_method, Meddling, "changes the teacher"),
        (check_method, Luck, "global generator"),
        (check_method, Lossless, "trains something and has no loss"),
        (check_solver, Underpaid, "network calls a member, and says 1"),
        (check_solver, Fewer, "has the shape"),
        (check_backbone, Blind, "does not see the time"),
        (check_metric, rounding, "changes the samples"),
        (check_metric, lambda comparison: torch.randn(()), "global generator"),
        (check_metric, Counting(), "another number"),
        (check_metric, lambda comparison: float("nan"), "no finite number"),
        (check_metric, lambda comparison: comparison, "no finite number"),
        (check_metric, breaking, "fails: .*py:[0-9]+: KeyError: 'nobody'"),
    ],
)
def test_the_checks_catch(check, made, reason):
    with pytest.raises((AssertionError, RuntimeError, PiddmError), match=reason):
        check(made)
