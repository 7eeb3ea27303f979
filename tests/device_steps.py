"""What trains and samples on the pretended device, and where training waits for it.

Each function is called in a process where nothing was differentiated before, as in
:mod:`on_a_device`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import piddm
from piddm.config import resolve
from piddm.conformance.problem import problem
from piddm.data.correcting import Corrections, nearest_solutions
from piddm.data.simulate import simulate
from piddm.interfaces import Method
from piddm.plugins import current
from piddm.residuals.norms import term_scale
from piddm.runs.model_files import build_student, build_teacher
from piddm.runs.workspace import fixed_inputs
from piddm.students.student import Student
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.optimisation import Loss, Optimisation
from piddm.training.pairs import PairPool
from pretended import NAME, Device, pretended_device
from tiny import tiny

STEPS = 3
"""Steps of each training; in the first one what lasts is brought to the device."""

WAYS: dict[str, dict[str, Any]] = {
    "distance": {}, "strong": {"physics_norm": "strong"}, "through": {"train_through": True},
}  # fmt: skip
"""Settings of a student: both norms of the physics, and training through the correction."""


@contextmanager
def _there() -> Iterator[tuple[Device, Path]]:
    torch.set_num_threads(1)
    with pretended_device() as device, tempfile.TemporaryDirectory() as folder:
        yield device, Path(folder)


def _names(kind: str) -> list[str]:
    return [entry.name for entry in current().list_all(kind)]


def _waits(
    context: TrainingContext, module: nn.Module, loss: Loss, device: Device, folder: Path
) -> Counter[str]:
    """Return where the host waits in steps of training after the first."""
    settings = context.config.student.model_copy(update={"steps": 100})
    checkpoint = folder / "checkpoint"
    job = Optimisation("step", module, settings, checkpoint, "", context.device)
    found: Counter[str] = Counter()
    for n in range(STEPS):
        device.waits.clear()
        job._step(loss)
        found += device.waits if n else Counter()
    return found


def _told(context: TrainingContext, **settings: Any) -> TrainingContext:
    """Return the context with other settings of the student."""
    config = context.config
    student = config.student.model_copy(update=settings)
    return replace(context, config=config.model_copy(update={"student": student}))


def _student(context: TrainingContext, pde: piddm.PDE) -> Student:
    made = build_student(context.config, context.teacher, pde)
    return made.requires_grad_(True).to(NAME)


def _context(folder: Path, phases: bool = False) -> TrainingContext:
    """Return the context of a small problem, on the device."""
    at = problem(phases)
    context = at.context(folder, at.teacher().to(NAME))
    own = Corrections(at.pde, at.residual, context.packing, at.scale)
    return replace(context, corrections=own)


def every_student() -> dict[str, Counter[str]]:
    """Train each student on the device, and each way; return where the host waits."""
    found: dict[str, Counter[str]] = {}
    with _there() as (device, folder):
        context, pde = _context(folder), problem().pde
        several = [(name, "distance") for name in _names("student")]
        several += [("one-step", way) for way in WAYS if way != "distance"]
        for name, way in several:
            here = _told(context, name=name, **WAYS[way])
            student = _student(here, pde)
            loss = student.objective(here)
            found[f"{name}, {way}"] = _waits(here, student, loss, device, folder)
    return found


def every_method() -> dict[str, Counter[str]]:
    """Train and sample by each method on the device; return where the host waits in training."""
    found: dict[str, Counter[str]] = {}
    with _there() as (device, folder):
        context = _context(folder)
        noise = problem().noise(2).to(NAME)
        for name in _names("method"):
            method: Method = current().build("method", name, Method, context)
            if method.trained is not None:
                found[name] = _waits(context, method.trained, method.loss, device, folder)
                method.trained.eval().requires_grad_(False)
            with torch.no_grad():
                samples = method.sample(noise, generator(0, "there"))
            assert samples.device.type == NAME, name
            assert bool(samples.isfinite().all()), name
    return found


def equation(name: str, way: str) -> Counter[str]:
    """Train a tiny student of an equation on the device; return where the host waits."""
    settings = {"student.name": "staged", "student.polish": 2} if way == "staged" else {}
    settings |= {f"student.{k}": v for k, v in WAYS.get(way, {}).items()}
    config, pde = resolve(name, "quick", overrides=tiny(settings)), piddm.get_pde(name)
    with _there() as (device, folder):
        grid, count = config.data.grid(pde.grid), 16
        residual = pde.bind(grid)
        (fields,) = simulate(pde, grid, count, generator(0, "data"), count)
        teacher = build_teacher(config, pde, grid)
        packing = teacher.packing.fit(fields)
        scale = term_scale(residual, {k: v.double() for k, v in fields.items()})
        data: Tensor = packing.targets(fields)
        teacher.to(NAME).eval().requires_grad_(False)
        shape = (packing.channels, *packing.image)
        pool = PairPool(teacher, config.pairs, shape, folder, 0, "", torch.device(NAME))
        for _ in pool.advance(0):
            pass
        near = nearest_solutions(residual, packing, scale, fixed_inputs(pde, packing))
        own = Corrections(pde, residual, packing, scale)
        context = TrainingContext(config, teacher, near, data, pool, own)
        student = _student(context, pde)
        return _waits(context, student, student.objective(context), device, folder)
