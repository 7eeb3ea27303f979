"""Numbers as people have them, as float64 tensors: each digit taken over, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from piddm.tools.errors import UsageError


def exact(values: Any, what: str) -> Tensor:
    """Return real numbers as float64: of a tensor, an array of any order of bytes or axes, a list.

    Args:
        values: The numbers; of a masked array what it hides is taken along, see :func:`visible`.
        what: What they are, for people.

    Raises:
        UsageError: If they are complex, or no numbers.
    """
    if isinstance(values, Tensor):
        if values.is_complex():
            raise UsageError(f"{what} is complex, and fields are real; pass its real part")
        return values.double()
    try:
        array = np.asarray(np.ma.getdata(values))
    except ValueError as error:  # lists of different lengths
        raise UsageError(f"{what} is no array of numbers: {error}") from error
    if array.dtype.kind == "c":
        raise UsageError(f"{what} is complex, and fields are real; pass its real part")
    if array.dtype.kind not in "iufb":
        raise UsageError(f"{what} is of {array.dtype}, and no array of numbers")
    return torch.from_numpy(np.array(array, dtype=np.float64, order="C"))


def visible(values: Any) -> Tensor | None:
    """Return where a masked array hides nothing, boolean; nothing where it hides nothing at all."""
    hidden = np.ma.getmask(values) if isinstance(values, np.ma.MaskedArray) else np.ma.nomask
    return None if hidden is np.ma.nomask else torch.from_numpy(~np.array(hidden, order="C"))


def whole(values: Any, what: str) -> Tensor:
    """Return real numbers as :func:`exact` does.

    Raises:
        UsageError: If some are hidden, or as for :func:`exact`.
    """
    if (seen := visible(values)) is not None and not bool(seen.all()):
        raise UsageError(f"{what} hides {int((~seen).sum())} values, and all are needed; fill them")
    return exact(values, what)


def boolean(mask: Any, what: str) -> Tensor:
    """Return a mask as a boolean tensor.

    Raises:
        UsageError: If it is not of booleans.
    """
    if isinstance(mask, Tensor):
        found, kind = mask, str(mask.dtype)
    else:
        array = np.array(np.ma.filled(mask, False), order="C")  # hidden is not seen
        kind = str(array.dtype)
        found = torch.from_numpy(array) if array.dtype == bool else torch.zeros(0)
    if found.dtype != torch.bool:
        raise UsageError(f"{what} is of {kind}, not of booleans; compare it with something")
    return found
