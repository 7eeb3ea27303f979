"""Files of torch.save that hold tensors only, such as those of neuraloperator; nothing else runs.

neuraloperator's are a dictionary of ``x``, the input, and ``y``, the solution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from piddm.data.readers.named_arrays import Arrays, Held
from piddm.data.readers.numpy_files import ZIP, members
from piddm.data.readers.reader import Reader
from piddm.data.readers.said import CHANNEL, SAMPLE, Said
from piddm.tools.errors import PiddmError

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of torch.save begin that are no archives."""

DEPTH = 4
"""Dictionaries and lists within each other, at most."""


class TorchReader(Reader):
    """Tensors, or dictionaries and lists of them."""

    def opens(self, path: Path, first: bytes) -> bool:
        """Return whether it is such an archive, or begins as the older format does."""
        if first.startswith(ZIP):
            return any(n.endswith("data.pkl") for n in members(path))
        return first.startswith(LEGACY)

    def arrays(self, path: Path) -> Arrays:
        """Open a file, behind a memory map where it is an archive."""
        import torch

        archive = bool(members(path))
        try:
            found = torch.load(path, map_location="cpu", mmap=archive, weights_only=True)
        except Exception as error:  # damage can make it raise anything
            if type(error).__name__ == "UnpicklingError":
                raise PiddmError(
                    f"{path} holds more than tensors, which would run code as it is read, and is "
                    "not read; save a dictionary of tensors"
                ) from error
            text = " ".join(str(error).split())[:200]
            raise PiddmError(f"{path} is a damaged torch file ({text}); restore it") from error
        tensors = dict(_tensors(found, path.stem))
        odd = {k: "is complex; store its parts as two arrays" for k, v in tensors.items()
               if v.is_complex()}  # fmt: skip
        return Held(path, {k: _numpy(v) for k, v in tensors.items() if k not in odd}, {}, odd)

    def says(self, arrays: Arrays) -> Said:
        """Return what neuraloperator's keys mean."""
        if set(arrays.described) != {"x", "y"}:
            return Said("torch.save")
        orders = {}
        for key, own in arrays.described.items():
            channel = len(own.shape) == 4 and own.shape[1] <= 3
            if channel:
                orders[key] = (SAMPLE, CHANNEL, "x", "y")
        return Said("neuraloperator", orders, roles={"x": "input", "y": "solution"})


def _tensors(found: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(found, torch.Tensor):
        yield name, found.detach()
    elif isinstance(found, Mapping) and depth < DEPTH:
        for key, value in found.items():
            yield from _tensors(value, f"{name}/{key}" if depth else str(key), depth + 1)
    elif isinstance(found, (list, tuple)) and depth < DEPTH:
        for i, value in enumerate(found):
            yield from _tensors(value, f"{name}/{i}" if depth else str(i), depth + 1)


def _numpy(tensor: Any) -> np.ndarray:
    import torch

    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
