"""The promises of a teacher: that its estimate, velocity and sampler are those of one flow."""

from __future__ import annotations

from typing import Any

import torch

from piddm.bench.counting import counting
from piddm.conformance.problem import problem
from piddm.conformance.trial import Trial, What
from piddm.teachers.sampling import last
from piddm.teachers.teacher import Teacher
from piddm.tools.randomness import generator

STEPS = 3
"""Steps of the teacher's sampler."""


def check_teacher(what: What, **settings: Any) -> None:
    """Check a teacher: its name, or the class itself.

    Args:
        what: The name that it is registered under, or what was registered.
        **settings: Its own, where it has some.

    Raises:
        AssertionError: If it does not keep what :class:`piddm.interfaces.Teacher` promises.
        PiddmError: If it cannot be built, or lacks a method.
    """
    trial, at = Trial("teacher", what), problem()
    network, schedule = at.network(), at.schedule
    teacher: Teacher = trial.build(Teacher, (network, at.packing, schedule), settings)
    kept = (teacher.network is network, teacher.packing is at.packing, teacher.schedule is schedule)
    trial.hold(all(kept), "it keeps network, packing and schedule as it was given them")
    own = [k for k, _ in teacher.named_parameters() if not k.startswith("network.")]
    trial.hold(not own, f"{own[:1]} is learnt beside its network, which is what students take over")
    x0 = at.packing.pack({k: v[:4] for k, v in at.fields.items()})
    noise = at.noise(4)
    with trial.from_generators():
        _loss(trial, teacher, x0)
        teacher.requires_grad_(False)
        _flow(trial, teacher, x0, noise)
        _sampler(trial, teacher, noise)
    again: Teacher = trial.build(Teacher, (at.network(), at.unfitted(), schedule), settings)
    again.load_state_dict(teacher.state_dict())
    trial.same(
        last(again.sample(noise, STEPS)), last(teacher.sample(noise, STEPS)),
        "read back from its state it draws other samples",
    )  # fmt: skip


def _loss(trial: Trial, teacher: Teacher, x0: torch.Tensor) -> None:
    first = {"loss": teacher.loss(x0, generator(0, "check"))}
    value = trial.loss(first, teacher)["loss"]
    called = float(teacher(x0, generator(0, "check")).detach())
    trial.hold(called == value, "called as a module it returns its loss, from the same numbers")


def _flow(trial: Trial, teacher: Teacher, x0: torch.Tensor, noise: torch.Tensor) -> None:
    t = torch.tensor([0.2, 0.4, 0.6, 0.9])
    a, s = (v(t)[:, None, None, None] for v in (teacher.schedule.alpha, teacher.schedule.sigma))
    da, ds = (v[:, None, None, None] for v in teacher.schedule.rates(t))
    xt = a * x0 + s * teacher.packing.colour(noise)
    with counting([teacher.network]) as calls:
        estimate, velocity = teacher.denoise(xt, t), teacher.velocity(xt, t)
    made = calls.forward / len(xt)
    trial.hold(made == 2, f"an estimate and a velocity are a network call each, not {made:g}")
    trial.hold(estimate.isfinite().all(), "its estimate is not finite")
    implied = da * estimate + ds * (xt - a * estimate) / s
    trial.same(velocity, implied, "its velocity is not that of its estimate on the schedule", 1e-3)
    one = teacher.denoise(xt[1:2], t[1:2])
    trial.same(one, estimate[1:2], "its estimate of a state depends on the others of the batch")
    size = (a**2 + s**2).sqrt()
    implied = (size * estimate - a * xt / size) / s
    trial.same(teacher.turn(xt / size, t), implied, "its turn is not that of its estimate", 1e-3)
    other = problem().network()
    with torch.no_grad():
        other.leave.weight.add_(1.0)
    moved = teacher.with_network(other).denoise(xt, t)
    trial.hold(bool((moved != estimate).any()), "its estimate does not come from its network")


def _sampler(trial: Trial, teacher: Teacher, noise: torch.Tensor) -> None:
    before = noise.clone()
    with counting([teacher.network]) as calls, torch.no_grad():
        states = list(teacher.sample(noise, STEPS))
    trial.hold(len(states) == STEPS, f"its sampler yields {len(states)} states in {STEPS} steps")
    said, made = teacher.calls(STEPS), calls.forward / len(noise)
    trial.hold(made == said, f"its sampler makes {made:g} network calls, not {said} as it says")
    trial.hold(torch.equal(noise, before), "its sampler changes the noise that it is given")
    trial.hold(states[-1].isfinite().all(), "its samples are not finite")
    trial.hold(states[-1].shape == noise.shape, "its samples have another shape than the noise")
    point = noise.clone().requires_grad_()
    (slope,) = torch.autograd.grad(last(teacher.sample(point, STEPS)).square().sum(), point)
    finite = bool(slope.isfinite().all() and (slope != 0).any())
    trial.hold(finite, "its sampler has no gradient by the noise, which methods follow")
