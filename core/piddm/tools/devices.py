"""Numbers on their way to a device, and small systems there, for which the host does not wait.

A plain copy from the host's memory to a device lets the host wait until all that the device was
told before is done, and so does a look at a number there. So what is new in every step, noise and
the batch, is sent (:func:`sent`), what is always the same is brought there once (:func:`placed`),
and whether a matrix was singular is told by what comes of it (:func:`solved`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_there: WeakIdKeyDictionary = WeakIdKeyDictionary()
"""Of each constant its copies, by device and precision, for as long as there is the constant."""


def sent(values: Tensor, where: Tensor | torch.device) -> Tensor:
    """Return new values of the host on a device.

    Args:
        values: The values, which the host leaves as they are until they have arrived.
        where: The device; or a tensor there, whose precision they take, too.
    """
    device = where if isinstance(where, torch.device) else where.device
    if device.type == "cpu":
        return values.to(where)
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()  # from other memory the driver may wait
    return values.to(where, non_blocking=True)


def placed(values: Tensor | np.ndarray, where: Tensor | torch.device) -> Tensor:
    """Return a constant of the host on a device; its copy there is made once, and not written to.

    Args:
        values: The constant: an object that lasts, and that nobody changes any more.
        where: The device; or a tensor there, whose precision the copy takes, too.
    """
    device = where if isinstance(where, torch.device) else where.device
    if device.type == "cpu":
        return _moved(values, where)
    kind = None if isinstance(where, torch.device) else where.dtype
    copies: Any = _there.setdefault(values, {})
    if (device, kind) in copies:
        return copies[device, kind]
    with torch.inference_mode(False):  # whatever the mode in which it is first asked for
        found = _moved(values, where)
    # What is made under a transform of torch belongs to it, and must not outlive it.
    caught = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore
    if not (torch.compiler.is_compiling() or caught(found)):
        copies[device, kind] = found
    return found


def _moved(values: Tensor | np.ndarray, where: Tensor | torch.device) -> Tensor:
    found = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    return found.to(where)


def solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Return the solutions of small systems ``(batch, n, n)``, ``(batch, n, count)``.

    On a processor a singular matrix raises; on a device its solution is NaN: to ask would be to
    wait.

    Raises:
        RuntimeError: If a matrix is singular, on a processor.
    """
    if matrix.device.type == "cpu":
        return torch.linalg.solve(matrix, right)
    found, info = torch.linalg.solve_ex(matrix, right)
    return found.masked_fill((info != 0)[..., None, None], torch.nan)
