"""The weights of a trained model: a run's, kept in half precision and read again.

A model is a folder of a card (:mod:`piddm.runs.model_card`), ``student.safetensors`` and perhaps
``teacher.safetensors``. What the teacher's file would repeat of the student's is left out, and so
are the zeros that a tensor ends with. Principal components are kept in fewer numbers
(:mod:`piddm.runs.compact`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from piddm.data.colour import Colour
from piddm.metrics.scores import Metrics
from piddm.runs.compact import compacted, expanded
from piddm.runs.fingerprints import describe
from piddm.runs.folder import find_run
from piddm.runs.model_card import (
    CARD,
    STUDENT,
    TEACHER,
    Card,
    digest_of,
)
from piddm.runs.stages import Distillation
from piddm.tools.errors import PiddmError
from piddm.tools.files import read_json, read_tensors, write_json, write_tensors
from piddm.tools.progress import Progress

FULL = 1 << 16
"""Numbers up to which a tensor that is no weight is kept in full: means, scales, strengths."""

COMPONENTS = "packing.components"
"""Of a model's tensors, the one that is compacted."""


def make(run: Distillation, folder: Path, command: str, teacher: bool = True) -> Iterator[Progress]:
    """Make a model of a finished run; its scores are those of the weights as they are kept.

    The run's own ``metrics.json`` is written anew on the way.

    Args:
        run: The run.
        folder: Where to.
        command: The command that makes it.
        teacher: Whether the teacher comes with it.
    """
    student = run.student
    keep(student, folder / STUDENT)
    names = [STUDENT]
    if teacher:
        keep(run.teacher, folder / TEACHER, student.state_dict())
        names.append(TEACHER)
    else:
        (folder / TEACHER).unlink(missing_ok=True)
    fill(student, folder / STUDENT)
    yield from run.score(force=True)
    _, manifest = find_run(run.folder)
    card = Card(
        equation=describe(run.pde),
        config=run.config,
        nodes=list(run.grid.shape),
        fingerprints=run.marks,
        scale=run.scale,
        metrics=read_json(run.folder / "metrics.json", Metrics).model_dump(mode="json"),
        software=manifest.software,
        seconds=manifest.seconds,
        command=command,
        digests={name: digest_of(folder / name) for name in names},
    )
    write_json(folder / CARD, card)


def keep(model: nn.Module, path: Path, beside: Mapping[str, Tensor] | None = None) -> None:
    """Write a model's weights in half precision.

    Args:
        model: The model.
        path: The file; its stem is what the model is.
        beside: What another file has already: equal tensors of the same name are left out.
    """
    own, tensors = {key for key, _ in model.named_parameters()}, {}
    for key, value in model.state_dict().items():
        other = (beside or {}).get(key)
        if other is not None and torch.equal(other, value):
            continue
        if key == COMPONENTS and (parts := compacted(_colour(model))):
            tensors |= {f"{COMPONENTS}.{name}": part.half() for name, part in parts.items()}
            continue
        halved = value.is_floating_point() and (key in own or value.numel() > FULL)
        tensors[key] = _trimmed(value.half() if halved else value)
    write_tensors(path, tensors, {"piddm_kind": path.stem})


def fill(model: nn.Module, path: Path, beside: Mapping[str, Tensor] | None = None) -> None:
    """Read what :func:`keep` wrote into a model of the same shape.

    Raises:
        PiddmError: If the file does not fit.
    """
    found, _ = read_tensors(path, path.stem)
    if bad := [k for k, v in found.items() if not bool(v.isfinite().all())]:
        raise PiddmError(f"{path}: {bad[0]} is not finite; make the model again")
    tensors = {**(beside or {}), **found}
    own, prefix = model.state_dict(), f"{COMPONENTS}."
    parts = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
    try:
        if parts:
            strengths = tensors["packing.strengths"]
            tensors[COMPONENTS] = expanded(_colour(model), strengths, parts)
        # What is missing is the model's to say.
        model.load_state_dict({k: _padded(tensors[k], own[k]) for k in own if k in tensors})
    except (KeyError, RuntimeError) as error:
        raise PiddmError(
            f"{path} does not fit the network that its {CARD} describes; make the model again"
        ) from error


def _colour(model: nn.Module) -> Colour:
    return cast(Colour, model.get_submodule(COMPONENTS.partition(".")[0]))


def _trimmed(value: Tensor) -> Tensor:
    """Leave out the zeros that a tensor ends with, along every axis; one value stays at least."""
    if value.ndim < 2 or not value.numel():
        return value
    for axis in range(value.ndim):
        used = value.movedim(axis, 0).flatten(1).any(1).nonzero()
        value = value.narrow(axis, 0, int(used.max()) + 1 if len(used) else 1)
    return value.clone(memory_format=torch.contiguous_format)


def _padded(value: Tensor, like: Tensor) -> Tensor:
    """Return a tensor with the zeros that it ends with, in the type of another."""
    if value.shape == like.shape:
        return value.to(like.dtype)
    if value.ndim != like.ndim or any(a > b for a, b in zip(value.shape, like.shape, strict=True)):
        raise RuntimeError(f"{tuple(value.shape)} does not fit into {tuple(like.shape)}")
    full = torch.zeros_like(like)
    full[tuple(slice(n) for n in value.shape)] = value
    return full
