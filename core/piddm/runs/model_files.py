"""Building teachers and students from a configuration, and keeping them as safetensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from piddm.config import Config
from piddm.data.packing import Packing
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.plugins.loader import current
from piddm.students.student import Student
from piddm.teachers.backbone import build_backbone, own_settings
from piddm.teachers.schedules import SCHEDULES, Schedule
from piddm.teachers.teacher import Teacher
from piddm.tools.errors import PiddmError, UsageError, nearest
from piddm.tools.files import read_tensors, write_tensors
from piddm.tools.randomness import generator

MORE = ("pde", "config")
"""Arguments that a student is handed by name beside the teacher, where it takes them."""


def build_teacher(config: Config, pde: PDE, grid: Grid) -> Teacher:
    """Return a teacher with fresh weights, drawn from the run's seed, and an unfitted packing.

    Raises:
        UsageError: If a name or a setting is not known, or the network cannot take the grid.
    """
    packing = Packing(grid, pde.field_names, bounds=pde.bounds, **dict(config.packing))
    plugins = current()
    schedule = _schedule(config.teacher.schedule)
    settings = own_settings("teacher", config.teacher, handed=3)
    own_settings("student", config.student, named=MORE)  # a wrong one shows before any work
    # torch initialises layers from its global generator only: borrow it, then put it back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "weights").initial_seed())
        backbone = build_backbone(config.network, packing)
        teacher = plugins.build(
            "teacher", config.teacher.name, Teacher, backbone, packing, schedule, **settings
        )
    return teacher


def build_student(config: Config, teacher: Teacher, pde: PDE) -> Student:
    """Return a student; where it has networks of the teacher's kind, with the teacher's weights.

    One that needs more than the teacher takes it by keyword: the equation as ``pde``, the run's
    configuration as ``config``.
    """
    plugins, name = current(), config.student.name
    taken = inspect.signature(plugins.get("student", name)).parameters
    more: dict[str, Any] = {"pde": pde, "config": config}
    more = {k: v for k, v in more.items() if k in taken}
    more |= own_settings("student", config.student, named=MORE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "student weights").initial_seed())
        student = plugins.build("student", name, Student, teacher, **more)
    return student


def save_model(path: Path, kind: str, model: nn.Module, metadata: Mapping[str, str]) -> None:
    """Write a model's weights, packing included."""
    write_tensors(path, model.state_dict(), {"piddm_kind": kind, **metadata})


def load_model(path: Path, kind: str, model: nn.Module, fingerprint: str | None = None) -> None:
    """Read weights into a model of the same shape.

    Raises:
        PiddmError: If the file is missing, damaged, foreign, or of another model.
    """
    tensors, metadata = read_tensors(path, kind)
    if fingerprint is not None and metadata.get("fingerprint") != fingerprint:
        raise PiddmError(f"{path} belongs to another configuration; remove it to make it again")
    if bad := [k for k, v in tensors.items() if not bool(v.isfinite().all())]:
        raise PiddmError(f"{path}: {bad[0]} is not finite; remove the file to make it again")
    # What a grid tells was kept in older files, and is no longer.
    told = {k for k, _ in model.named_buffers()} - set(model.state_dict())
    try:
        model.load_state_dict({k: v for k, v in tensors.items() if k not in told})
    except RuntimeError as error:
        raise PiddmError(
            f"{path} does not fit the configured network; remove it, or use its own configuration"
        ) from error


def _schedule(name: str) -> Schedule:
    if name not in SCHEDULES:
        raise UsageError(f"no noise schedule {name!r}{nearest(name, SCHEDULES)}")
    return SCHEDULES[name]
