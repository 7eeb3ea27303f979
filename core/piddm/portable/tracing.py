"""A student as an ONNX graph: what is traced, and how far it is from what torch computes."""

from __future__ import annotations

import copy
import io
import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from piddm.students.student import Student
from piddm.tools.errors import PiddmError, UsageError

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 16
"""Version of ONNX's operations: the newest that the small runtimes of browsers know too."""


def check_installed() -> None:
    """Refuse where the extra is not installed.

    Raises:
        UsageError: If it is not.
    """
    if missing := [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]:
        raise UsageError(f"an export needs {missing[0]}: pip install 'piddm[onnx]'")


def exportable(student: Student, unpolished: bool) -> Student:
    """Return a copy in single precision, on the CPU, of operations that ONNX has.

    Args:
        student: The student.
        unpolished: Whether to leave out the Newton step that it may end with.

    Raises:
        UsageError: If it ends with one that is not to be left out.
    """
    twin = copy.deepcopy(student).cpu().float().eval().requires_grad_(False)
    if twin.polished and not unpolished:
        raise UsageError(
            "this student ends with a Newton step (student.polish), a solver that ONNX has no "
            "operations for; --unpolished exports the network's own answer before it"
        )
    twin.leave_unpolished()
    for module in twin.modules():
        if hasattr(module, "mixed"):
            vars(module)["mixed"] = False
    return twin


def traced(
    module: nn.Module, given: Tensor, name: str, outputs: list[str], batch: bool
) -> ModelProto:
    """Return a module's graph.

    Args:
        module: What is traced.
        given: Its input.
        name: The input's name.
        outputs: The outputs' names.
        batch: Whether any number of samples may be asked for, else one at a time.

    Raises:
        UsageError: If it has an operation that ONNX has not.
    """
    import onnx

    free = {key: {0: "batch"} for key in (name, *outputs)} if batch else None
    file: Any = io.BytesIO()  # which torch takes, and does not say
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The tracer warns of what is constant here: ranks, sizes, numbers of components.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, (given,), file, dynamo=False, opset_version=OPSET, input_names=[name],
                output_names=outputs, dynamic_axes=free,
            )  # fmt: skip
    except Exception as error:  # the exporter raises of all kinds
        first = " ".join(str(error).split("\n", 1)[0].split())
        raise UsageError(f"ONNX has no counterpart of this student: {first[:160]}") from error
    return onnx.load_model_from_string(file.getvalue())


def answers(model: bytes, given: Tensor) -> list[Tensor]:
    """Return what ONNX Runtime makes of an input, on one thread of the CPU."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, settings, ["CPUExecutionProvider"])
        found = session.run(None, {session.get_inputs()[0].name: given.numpy()})
    except Exception as error:  # the runtime raises of kinds of its own
        first = " ".join(str(error).split())
        raise PiddmError(f"ONNX Runtime cannot run the graph: {first[:160]}") from error
    return [torch.from_numpy(value) for value in found]


def compared(what: str, found: list[Tensor], expected: list[Tensor], most: float) -> float:
    """Return the largest difference of two answers in units of one.

    Raises:
        PiddmError: If it is larger than ``most``.
    """
    pairs = zip(found, expected, strict=True)
    away = max(float((own - other).abs().max()) for own, other in pairs)
    if not away <= most:
        raise PiddmError(
            f"{what} is {away:.1e} deviations from torch, more than {most:g}: nothing is written"
        )
    return away
