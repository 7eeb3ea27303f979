"""MATLAB's files: version 5 by scipy, version 7.3, which is HDF5 with its axes reversed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from piddm.data.readers.any_hdf5 import HDF5Arrays, HDF5Reader
from piddm.data.readers.named_arrays import Arrays, Described, Whole
from piddm.data.readers.reader import Reader
from piddm.tools.errors import PiddmError

CLASSES = {
    "double": np.float64, "single": np.float32, "logical": np.bool_, "int8": np.int8,
    "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16, "int32": np.int32,
    "uint32": np.uint32, "int64": np.int64, "uint64": np.uint64,
}  # fmt: skip
"""Classes of MATLAB that are arrays of real numbers."""


class _Version5(Whole):
    """Variables of a file of version 5, each read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        found: dict[str, Described] = {}
        skipped: dict[str, str] = {}
        for name, shape, kind in _guarded(path, "whosmat"):
            if kind in CLASSES:
                found[name] = Described(name, tuple(shape), np.dtype(CLASSES[kind]))
            else:
                skipped[name] = f"is a MATLAB {kind}, no array of numbers"
        super().__init__(path, found, {}, skipped)

    @property
    def advice(self) -> str:
        """What to do where a variable does not fit into memory."""
        return "save it as version 7.3, which is read in parts"

    def whole(self, key: str) -> np.ndarray:
        """Return a variable."""
        values = _guarded(self.path, "loadmat", variable_names=[key])[key]
        if np.iscomplexobj(values):
            raise PiddmError(f"{self.path}: {key} is complex; store its parts as two arrays")
        return values


def _guarded(path: Path, call: str, **given: Any) -> Any:
    from scipy import io

    try:
        return getattr(io, call)(path, **given)
    except (ValueError, TypeError, OSError, NotImplementedError, KeyError, IndexError) as error:
        text = " ".join(str(error).split())
        raise PiddmError(f"{path} is a damaged MATLAB file ({text}); restore it") from error


class MatlabReader(Reader):
    """A MATLAB file of version 5, 6 or 7."""

    def opens(self, path: Path, first: bytes) -> bool:
        """Return whether it begins as such."""
        return first.startswith(b"MATLAB 5.0 MAT-file")

    def arrays(self, path: Path) -> Arrays:
        """Open a file."""
        return _Version5(path)


class Matlab73Reader(HDF5Reader):
    """A MATLAB file of version 7.3."""

    def opens(self, path: Path, first: bytes) -> bool:
        """Return whether it begins as such."""
        return first.startswith(b"MATLAB 7.3 MAT-file")

    def arrays(self, path: Path) -> HDF5Arrays:
        """Open a file."""
        return HDF5Arrays(path, reverse=True)
