r"""``piddm export --to page``: one HTML file that runs a student in a browser by itself.

The page draws noise, colours it (:math:`S\xi`, :mod:`piddm.data.colour`) and asks the network, by
ONNX Runtime in WebAssembly; from sensors it finds the linear part's answer at once, and the
student's by a few calls (:mod:`piddm.solvers._linear_part`, the same steps). Nothing is fetched.

To be small, weights and principal components are in half precision, and components that hold less
than :data:`LEFT` of the variance together are left out; those that the graph has too, whole, in
part or transposed, are kept once. How far such a student is from the run's
own is measured, told, and added to what a sensor may be wrong by.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from piddm.api import Run
from piddm.data.packing import Packing
from piddm.portable.runtime import packed, runtime
from piddm.portable.tracing import answers, check_installed, compared, exportable, traced
from piddm.students.student import Student
from piddm.symbolic.text import equation_text
from piddm.teachers.sampling import noises
from piddm.tools.atomic import atomic_path
from piddm.tools.errors import PiddmError, UsageError

LEFT = 5e-5
"""Share of the variance that principal components which are left out may hold."""

LARGEST = 6.0
"""Megabytes of a page, at most, unless more are asked for: a browser would be long about them."""

AGREE = 1e-4
"""Largest difference to torch, in deviations."""

SAMPLES = 8
"""Samples that are compared."""

SHARED = ("colours.js", "projections.js", "map.js", "sensors.js")
"""Files that this page shares with that of ``piddm view``."""

OWN = ("lzma.js", "linear.js", "student.js", "main.js")
"""Its own."""


class Coloured(nn.Module):
    """A student from coloured noise on: the page colours, by components that it draws with too.

    Args:
        student: The student; its own colour is left out.
    """

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student
        student.packing.colour = lambda white: white

    def forward(self, coloured: Tensor) -> Tensor:
        """Return packed samples of the shape of ``coloured``."""
        return self.student(coloured)


def write_page(
    run: Run, path: Path, unpolished: bool = False, package: Path | None = None,
    say: Callable[[str], None] = print, largest: float = LARGEST,
) -> dict[str, Any]:  # fmt: skip
    """Write the page; returns ``checked`` and ``away``, in deviations, and ``why``.

    Args:
        run: A run with a student, of fields of two axes on a plane.
        path: The file.
        unpolished: Whether to leave out the Newton step that a student may end with.
        package: The runtime's npm package, see :func:`piddm.portable.runtime.runtime`.
        say: Prints remarks.
        largest: Megabytes that it may have.

    Raises:
        UsageError: If the page cannot show such fields, or ONNX has no such operations.
        PiddmError: If both do not agree, the page is too large, or the runtime cannot be had.
    """
    check_installed()
    _refuse(run.packing)
    student = _small(exportable(run.student, unpolished))
    noise = torch.cat(
        list(
            noises(
                (student.packing.channels, *student.packing.image), SAMPLES, 0, torch.device("cpu")
            )
        )
    )
    with torch.no_grad():
        coloured, expected, own = student.packing.colour(noise), student(noise), run.student(noise)
    model = traced(Coloured(student), noise[:1], "coloured", ["sample"], batch=False)
    content = model.SerializeToString()
    found = torch.cat([answers(content, one[None])[0] for one in coloured])
    away = float((expected - own).square().mean().sqrt())
    told = {
        "checked": compared("the page's student", [found], [expected], AGREE), "away": away,
        "why": "half precision, fewer components"
        + ", no Newton step" * (unpolished and run.student.polished),
    }  # fmt: skip
    about, data = _parts(content, student)
    script, module, size = runtime(package, say)
    about |= _about(run, student) | told
    about |= {"noise": math.hypot(run.model_error, away), "sizes": {"data": len(data),
              "runtime": size}}  # fmt: skip
    text = _html(about, {"data": packed(data), "runtime": module}, script)
    if (size := len(text.encode()) / 1e6) > largest:
        raise PiddmError(
            f"this student is too large for the browser: a page of {size:.1f} MB, and {largest:g} "
            "are the most; take a smaller network (about 1.5 million weights fit"
            f"), or allow more by --largest {math.ceil(size)}"
        )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return told


def _refuse(packing: Packing) -> None:
    if packing.folded != 1 or packing.image[0] == 1 or packing.weights is not None:
        raise UsageError(
            "the page shows fields of two axes on a plane; piddm view shows these, and --to onnx "
            "exports them"
        )
    if packing.bounds:
        raise UsageError("the page knows no fields with a range; --to onnx exports them")


def _small(student: Student) -> Student:
    """Round to half precision, and leave out the least of the principal components."""
    packing = student.packing
    with torch.no_grad():
        variance = packing.strengths.square()
        rest = variance.sum() - variance.cumsum(0)
        kept = int((rest > LEFT * variance.sum()).sum()) + 1 if packing.rank() else 0
        packing.strengths[kept:] = 0
        if (law := getattr(student, "law", None)) is not None:
            law.spectrum.zero_()  # the page draws inputs by the colour, without their fine waves
        bases = (packing.components, packing.spectrum, packing.basis_0, packing.basis_1)
        for own in (*student.parameters(), *bases):
            own.copy_(own.half().float())
    return student


def _parts(content: bytes, student: Student) -> tuple[dict[str, Any], bytes]:
    """Return a graph and the colour as bytes, and where what is in them."""
    packing = student.packing
    rank = packing.rank()
    colour = {"components": packing.components[:rank]}
    skeleton, weights, places, copies = _split(content, colour["components"].flatten(1).numpy())
    if bool(packing.spectrum.any()) or not rank:
        colour |= {"spectrum": packing.spectrum, "basis_0": packing.basis_0,
                   "basis_1": packing.basis_1}  # fmt: skip
    exact = {"strengths": packing.strengths[:rank], "mean": packing.mean, "scale": packing.scale}
    numbers = [weights, *(v.flatten().numpy().astype("<f2") for v in colour.values())]
    # High and low bytes apart: the high ones are alike.
    halves = np.concatenate(numbers).view(np.uint8).reshape(-1, 2)
    floats = np.concatenate([v.flatten().numpy().astype("<f4") for v in exact.values()])
    told = {
        "skeleton": len(skeleton), "places": places, "copies": copies,
        "halves": len(halves),
        "arrays": {k: v.numel() for k, v in colour.items()},
        "exact": {k: v.numel() for k, v in exact.items()},
    }  # fmt: skip
    parts = skeleton, halves[:, 1].tobytes(), halves[:, 0].tobytes(), floats.tobytes()
    return told, b"".join(parts)


def _split(
    content: bytes, components: np.ndarray
) -> tuple[bytes, np.ndarray, list[list[int]], list[list[int]]]:
    """Return a graph without its large tensors, their numbers, and where each belongs.

    Those that repeat the components come last: where each belongs, and how it is read there.
    """
    import onnx

    whole, parts, places, copies, after = bytearray(content), [], [], [], 0
    model = onnx.load_model_from_string(content)
    tensors = [t for t in model.graph.initializer if len(t.raw_data) > 512 and t.data_type == 1]
    for tensor in tensors:
        values = np.frombuffer(tensor.raw_data, "<f4")
        half = values.astype("<f2")
        at = content.find(tensor.raw_data, after)  # in order: one may be the beginning of another
        if at < 0 or not np.array_equal(half.astype("<f4"), values):
            continue  # not to be rounded: it stays as it is
        after = at + len(tensor.raw_data)
        whole[at : at + len(tensor.raw_data)] = bytes(len(tensor.raw_data))
        if (copy := _repeated(values.reshape(tensor.dims), components)) is not None:
            copies.append([at, *copy])
            continue
        parts.append(half)
        places.append([at, len(half)])
    return bytes(whole), np.concatenate(parts) if parts else np.zeros(0, "<f2"), places, copies


def _repeated(values: np.ndarray, components: np.ndarray) -> list[int] | None:
    """Return how a matrix is read from the components, where it is one of theirs or its transpose.

    Its rows and columns, the steps down and across among the components' numbers, and the first.
    """
    rank, width = components.shape
    for own, down, across in ((values, width, 1), (values.T, 1, width)):
        if own.ndim != 2 or not rank or len(own) != rank:
            continue
        for first in range(0, width - own.shape[1] + 1, own.shape[1]):
            if np.array_equal(own, components[:, first : first + own.shape[1]]):
                return [*values.shape, down, across, first]
    return None


def _about(run: Run, student: Student) -> dict[str, Any]:
    pde, packing = run.pde, student.packing
    levels = {k: v.tolist() for k, v in packing.field_levels().items()}
    return {
        "title": pde.name, "summary": pde.summary, "calls": student.calls,
        "equations": {k: equation_text(v) for k, v in pde.equations.items()},
        "fields": [{"name": f.name, "doc": f.doc, "unit": f.unit} for f in pde.fields],
        "axes": [{"name": name, "lower": a.lower, "upper": a.upper, "periodic": a.periodic,
                  "time": a.time, "nodes": a.coordinates().tolist()}
                 for name, a in packing.grid.axes.items()],
        "image": list(packing.image), "levels": levels,
    }  # fmt: skip


def _html(about: dict[str, Any], blobs: dict[str, bytes], script: str) -> str:
    view, own = files("piddm.view") / "page", files("piddm.portable") / "page"
    modules = [(view / name).read_text("utf-8") for name in SHARED]
    modules += [(own / name).read_text("utf-8") for name in OWN]
    lines = [line.removeprefix("export ") for text in modules for line in text.splitlines()
             if not line.startswith("import ")]  # fmt: skip
    parts = {
        "TITLE": escape(about["title"]),
        "STYLE": (view / "style.css").read_text("utf-8") + (own / "own.css").read_text("utf-8"),
        "ABOUT": json.dumps(about).replace("<", "\\u003c"),
        "DATA": base64.b64encode(blobs["data"]).decode(),
        "RUNTIME": base64.b64encode(blobs["runtime"]).decode(),
        "ORT": script.replace("</script", "<\\/script").partition("//# sourceMappingURL")[0],
        "SCRIPT": "\n".join(lines),
    }
    text = (own / "index.html").read_text("utf-8")
    for name, value in parts.items():
        text = text.replace(f"@{name}@", value, 1)
    return text
