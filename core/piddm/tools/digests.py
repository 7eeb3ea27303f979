"""Digests of what is written, by which flipped bits are told from numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

KEY = "sha256"
"""Name of the digest, in a JSON object and in a tensor file's metadata."""


def of_data(data: Any) -> str:
    """Return the digest of plain data, however its JSON is laid out."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def of_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Return the digest of names, types, shapes and numbers of tensors, and of metadata."""
    total = hashlib.sha256()
    told = {k: v for k, v in metadata.items() if k != KEY}
    shapes = [[k, str(v.dtype), list(v.shape)] for k, v in sorted(tensors.items())]
    total.update(of_data([told, shapes]).encode())
    for data in _bytes(tensors):
        total.update(data)
    return total.hexdigest()


def _bytes(tensors: Mapping[str, Tensor]) -> Iterable[memoryview]:
    import torch

    for _, values in sorted(tensors.items()):
        flat = values.detach().cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data
