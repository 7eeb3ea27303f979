"""Building teachers and students from a configuration, and keeping them as safetensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import nn

from piddm.config import Config
from piddm.errors import PiddmError, UsageError, nearest
from piddm.files import read_tensors, write_tensors
from piddm.grid import Grid
from piddm.interfaces import Student, Teacher
from piddm.packing import Packing
from piddm.pde import PDE
from piddm.plugins import current
from piddm.randomness import generator
from piddm.schedules import SCHEDULES, Schedule
from piddm.students.one_step import OneStepStudent
from piddm.teachers.flow import FlowTeacher


def build_teacher(config: Config, pde: PDE, grid: Grid) -> FlowTeacher:
    """Return a teacher with fresh weights, drawn from the run's seed, and an unfitted packing.

    Raises:
        UsageError: If a name is not known or the network cannot take the grid.
    """
    packing = Packing(grid, pde.field_names, config.packing.rank)
    settings = config.network
    plugins = current()
    schedule = _schedule(config.teacher.schedule)
    for kind, name in (("teacher", config.teacher.name), ("student", config.student.name)):
        plugins.get(kind, name)  # a wrong name shows before any work
    # torch initialises layers from its global generator only: borrow it, then put it back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "weights").initial_seed())
        backbone = plugins.build(
            "backbone",
            settings.name,
            nn.Module,
            packing.channels,
            packing.image,
            packing.image_periodic,
            widths=settings.widths,
            depth=settings.depth,
            fold=settings.fold,
            mixed=native_bfloat16() if settings.mixed is None else settings.mixed,
            **_on_a_sphere(settings.name, grid),
        )
        teacher = plugins.build(
            "teacher", config.teacher.name, Teacher, backbone, packing, schedule
        )
    # What the engine asks of a teacher beside its interface is what FlowTeacher keeps.
    return cast(FlowTeacher, teacher)


def _on_a_sphere(backbone: str, grid: Grid) -> dict[str, bool]:
    """Return what tells a backbone that its image is a sphere's; older ones know planes alone."""
    if not grid.spherical:
        return {}
    taken = inspect.signature(current().get("backbone", backbone)).parameters.values()
    if not any(p.name == "spherical" or p.kind is p.VAR_KEYWORD for p in taken):
        raise UsageError(
            f"the backbone {backbone!r} takes no 'spherical' and knows no poles; give it this "
            "argument, or choose another with --set network.name=unet"
        )
    return {"spherical": True}


def native_bfloat16() -> bool:
    """Return whether bfloat16 is fast here: on a GPU, or a processor with instructions for it."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.cuda.is_available() or native


def build_student(config: Config, teacher: FlowTeacher) -> OneStepStudent:
    """Return a student with the teacher's weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "student weights").initial_seed())
        student = current().build("student", config.student.name, Student, teacher)
    return cast(OneStepStudent, student)


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
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise PiddmError(
            f"{path} does not fit the configured network; remove it, or use its own configuration"
        ) from error


def _schedule(name: str) -> Schedule:
    if name not in SCHEDULES:
        raise UsageError(f"no noise schedule {name!r}{nearest(name, SCHEDULES)}")
    return SCHEDULES[name]
