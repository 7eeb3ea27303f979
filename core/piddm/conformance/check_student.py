"""The promises of a student: samples of white noise, in as many network calls as it says."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

import torch

from piddm.bench.counting import counting
from piddm.conformance.problem import problem
from piddm.conformance.trial import Trial, What
from piddm.students.student import Student


def check_student(what: What, **settings: Any) -> None:
    """Check a student: its name, or the class itself.

    Args:
        what: The name that it is registered under, or what was registered.
        **settings: Its own, where it has some.

    Raises:
        AssertionError: If it does not keep what :class:`piddm.interfaces.Student` promises.
        PiddmError: If it cannot be built, or lacks a method.
    """
    trial, at = Trial("student", what), problem()
    teacher, noise = at.teacher(), at.noise(4)
    taken = inspect.signature(trial.make).parameters
    more = {k: v for k, v in {"pde": at.pde, "config": at.config}.items() if k in taken}
    weights = {k: v.clone() for k, v in teacher.state_dict().items()}
    # Hooks are copied with the network: calls of whatever was made of it are counted.
    with counting([teacher.network]) as calls:
        student: Student = trial.build(Student, (teacher,), settings, more)
        trial.hold(student.packing is teacher.packing, "it keeps the packing of its teacher")
        with trial.from_generators(), torch.no_grad():
            samples = student(noise)
            made = calls.forward / len(noise)
            trial.hold(samples.isfinite().all(), "its samples are not finite")
            trial.same(student(noise[1:2]), samples[1:2], "a sample depends on others of its batch")
            trial.same(student(noise), samples, "the same noise gives other samples")
    trial.hold(samples.shape == noise.shape, "its samples have another shape than the noise")
    whole = isinstance(student.calls, int) and student.calls >= 1
    trial.hold(whole, f"its calls are {student.calls!r}, not a number of network calls")
    own = [m for m in student.children() if m is not student.packing and [*m.parameters()]]
    borrowed = made > 0 and len(own) == 1  # it has no other network whose calls are not counted
    trial.hold(
        made == student.calls if borrowed else made <= student.calls,
        f"it calls the network {made:g} times a sample, and says {student.calls}",
    )
    with tempfile.TemporaryDirectory() as folder, trial.from_generators():
        student.requires_grad_(True)
        objective = student.objective(at.context(Path(folder), teacher))
        values = trial.loss(objective(student, 0), student)
    trial.hold(values["loss"] == values["loss"], "its loss is not a number")
    kept = all(torch.equal(v, weights[k]) for k, v in teacher.state_dict().items())
    trial.hold(kept, "its loss changes the teacher")
    student.requires_grad_(False)
    # A run's student is read into one of a teacher that has seen no data.
    again: Student = trial.build(Student, (at.teacher(at.unfitted()),), settings, more)
    again.load_state_dict(student.state_dict())
    with torch.no_grad():
        trial.same(again(noise), student(noise), "read back from its state it draws other samples")
