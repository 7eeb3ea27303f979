"""Building teachers and students from a configuration, and keeping them as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from piddm.config import Config
from piddm.errors import PiddmError, UsageError, nearest
from piddm.files import read_tensors, write_tensors
from piddm.grid import Grid
from piddm.networks import NETWORKS
from piddm.packing import Packing
from piddm.pde import PDE
from piddm.randomness import generator
from piddm.schedules import SCHEDULES
from piddm.students import STUDENTS
from piddm.students.one_step import OneStepStudent
from piddm.teachers import TEACHERS
from piddm.teachers.flow import FlowTeacher

Choice = TypeVar("Choice")


def build_teacher(config: Config, pde: PDE, grid: Grid) -> FlowTeacher:
    """Return a teacher with fresh weights, drawn from the run's seed, and an unfitted packing.

    Raises:
        UsageError: If a name is not known or the network cannot take the grid.
    """
    packing = Packing(grid, pde.field_names, config.packing.rank)
    settings = config.network
    network = _choose("network", settings.name, NETWORKS)
    schedule = _choose("noise schedule", config.teacher.schedule, SCHEDULES)
    teacher = _choose("teacher", config.teacher.name, TEACHERS)
    # torch initialises layers from its global generator only: borrow it, then put it back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "weights").initial_seed())
        backbone = network(
            packing.channels,
            packing.image,
            packing.image_periodic,
            widths=settings.widths,
            depth=settings.depth,
            fold=settings.fold,
            mixed=native_bfloat16() if settings.mixed is None else settings.mixed,
        )
    return teacher(backbone, packing, schedule)


def native_bfloat16() -> bool:
    """Return whether bfloat16 is fast here: on a GPU, or a processor with instructions for it."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.cuda.is_available() or native


def build_student(config: Config, teacher: FlowTeacher) -> OneStepStudent:
    """Return a student with the teacher's weights."""
    return _choose("student", config.student.name, STUDENTS)(teacher)


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


def _choose(what: str, name: str, known: Mapping[str, Choice]) -> Choice:
    if name not in known:
        raise UsageError(f"no {what} {name!r}{nearest(name, known)}")
    return known[name]
