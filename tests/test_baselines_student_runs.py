"""Variants of the student on an equation, and as runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from piddm.config import OptimiserConfig, resolve
from piddm.interfaces import Student
from piddm.plugins import current, get_pde
from piddm.runs.model_files import build_student
from piddm.runs.stages import Distillation
from piddm.teachers.flow import FlowTeacher
from piddm.training.optimisation import Optimisation
from rivals import ideal, noise
from test_baselines_students import CALLS, NAMES
from tiny import tiny


class Matrix(nn.Module):
    """A linear network, without a gate, that begins at zero."""

    def __init__(self, size):
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(size, size))

    def forward(self, x, t):
        offset = (x.flatten(1) @ self.matrix).view_as(x)
        return torch.cat([offset, torch.zeros_like(offset)], dim=1)


@pytest.fixture(scope="module")
def darcy(tmp_path_factory):
    """The exact teacher of finite data of Darcy's equation."""
    return ideal(tmp_path_factory.mktemp("ideal"), "darcy", **{"student.physics_batch": 4})


@pytest.mark.parametrize("name", NAMES)
def test_physics_brings_samples_nearer_to_the_equation(name, darcy, tmp_path):
    """From the same start, in as many steps."""
    found = []
    for weight in (0.0, 30.0):
        student_settings = darcy.config.student.model_copy(update={"physics_weight": weight})
        context = replace(
            darcy, config=darcy.config.model_copy(update={"student": student_settings})
        )
        network = Matrix(context.packing.mean.numel()).double()
        start = FlowTeacher(network, context.packing, context.teacher.schedule)
        student = current().build("student", name, Student, start).requires_grad_(True)
        settings = OptimiserConfig(steps=80, batch=8, learning_rate=1e-2, warmup=0)
        job = Optimisation("student", student, settings, tmp_path / "c", "f", torch.device("cpu"))
        events = list(job.run(student.objective(context)))
        assert all(math.isfinite(e.values["loss"]) for e in events)
        found.append(float(context.physics(student(noise(context, 16)).detach())))
    assert found[1] < 0.9 * found[0], found


@pytest.mark.parametrize(
    ("name", "pde"), [(n, "poisson") for n in NAMES] + [("dmd", "sphere-poisson")]
)
def test_each_is_a_run_that_can_be_opened_again(name, pde, tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    changes = {"network.fold": 2, "packing.rank": 4, "student.steps": 3, "student.name": name}
    config = resolve(pde, "quick", overrides=tiny(changes))
    list(Distillation(config, get_pde(pde)).run())
    run = Distillation(config, get_pde(pde))
    assert run.scores()["student"].nfe == CALLS[name]
    history = json.loads((run.folder / "student.history.json").read_text())["lines"]
    assert {"physics", "energy"} < history[0].keys()
    start = build_student(config, run.teacher, run.pde)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(start.network.parameters(), run.student.network.parameters(), strict=True)
    )
