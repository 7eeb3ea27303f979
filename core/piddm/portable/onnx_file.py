r"""``piddm export --to onnx``: the student from white noise to physical fields, as one ONNX file.

Input ``noise``, ``(batch, channel, height, width)``, standard normal; one output for each field,
``(batch, *axes)``, in its own units. The file says in its metadata what it is (:func:`described`),
and is written only when ONNX Runtime and torch agree to :data:`AGREE` of a field's deviation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from piddm.api import Run
from piddm.portable.tracing import OPSET, answers, check_installed, compared, exportable, traced
from piddm.students.student import Student
from piddm.teachers.sampling import noises
from piddm.tools.about import __version__
from piddm.tools.atomic import atomic_path

AGREE = 1e-5
"""Largest difference to torch, in deviations of the field."""

SAMPLES = 3
"""Samples that both make."""


class Physical(nn.Module):
    """A student's fields in their own units.

    Args:
        student: The student.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, noise: Tensor) -> tuple[Tensor, ...]:
        """Return a tensor ``(batch, *axes)`` for each field."""
        packing = self.student.packing
        fields = packing.unpack(self.student(noise))
        return tuple(fields[name] for name in packing.names)


def write_onnx(run: Run, path: Path, unpolished: bool = False) -> dict[str, Any]:
    """Write a run's student; returns what the file says of itself.

    Args:
        run: A run with a student.
        path: The file.
        unpolished: Whether to leave out the Newton step that a student may end with.

    Raises:
        UsageError: If the student has operations that ONNX has not, or the extra is missing.
        PiddmError: If both do not agree.
    """
    import onnx

    check_installed()
    student = exportable(run.student, unpolished)
    module, names = Physical(student), list(student.packing.names)
    noise = torch.cat(
        list(
            noises(
                (student.packing.channels, *student.packing.image), SAMPLES, 0, torch.device("cpu")
            )
        )
    )
    model = traced(module, noise[:1], "noise", names, batch=True)
    with torch.no_grad():
        expected = module(noise)
    scale = student.packing.field_scale()
    found = answers(model.SerializeToString(), noise)
    away = compared(
        "the graph",
        [v / scale[k] for k, v in zip(names, found, strict=True)],
        [v / scale[k] for k, v in zip(names, expected, strict=True)], AGREE,
    )  # fmt: skip
    told = described(run, student, unpolished) | {"checked": away}
    onnx.helper.set_model_props(model, {k: json.dumps(v) for k, v in told.items()})
    model.producer_name, model.producer_version = "piddm", __version__
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return told


def described(run: Run, student: Student, unpolished: bool) -> dict[str, Any]:
    """Return the content of the metadata: equation, grid, fields, input, what was left out.

    ``checked`` comes with it: the largest difference to torch, in deviations.
    """
    packing = student.packing
    axes = {
        k: {"lower": a.lower, "upper": a.upper, "periodic": a.periodic, "time": a.time,
            "nodes": a.size}
        for k, a in packing.grid.axes.items()
    }  # fmt: skip
    return {
        "equation": run.pde.name,
        "axes": axes,
        "fields": {f.name: {"unit": f.unit, "doc": f.doc} for f in run.pde.fields},
        "noise": ["batch", packing.channels, *packing.image],
        "opset": OPSET,
        "calls": student.calls,
        "unpolished": unpolished and run.student.polished,
        "student": run.config.student.name,
        "fingerprint": run.marks["distill"],
    }
