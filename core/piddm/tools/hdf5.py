"""HDF5 files that are whole or absent, and prove their content.

Arrays have checksums (Fletcher32), structures have HDF5's own, and the root has a digest of all
there is. :mod:`piddm.tools.hdf5_reading` reads them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from piddm.tools.files import atomic_path
from piddm.tools.hdf5_child import DIGEST, content_digest

CHUNK = 1 << 20
"""Bytes of an array under one checksum, about."""


class DeferringFile(io.FileIO):
    """A file that keeps its first failure to itself until HDF5 is done with it.

    HDF5 does not recover from a failed write: with its own driver a full disk crashes the process.
    Here it never hears of one; once a write has failed nothing more is written, and :attr:`error`
    says why.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of the data, or note why not."""
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while self.error is None and len(view):  # one call may write a part only
                view = view[super().write(view) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size, or note why not."""
        try:
            return super().truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0


@contextmanager
def created(path: Path | str) -> Iterator[h5py.File]:
    """Yield a file to write to, which is then there as a whole, with its digest, or not at all.

    Raises:
        PiddmError: If it cannot be written.
    """
    with atomic_path(path) as part, DeferringFile(part, "w+b") as handle:
        try:
            # From this version on HDF5 has checksums over its own structures: damage is an error,
            # not a crash.
            with h5py.File(handle, "w", libver="v110") as file:
                yield file
                if handle.error is None:
                    put_text(file, DIGEST, content_digest(file))
        finally:
            if handle.error is not None:
                raise handle.error


def put_array(group: h5py.Group, name: str, values: Any, **attributes: Any) -> None:
    """Write an array of numbers with a checksum."""
    values = np.asarray(values)
    options = _options(values.shape, values.dtype) if values.size and values.ndim else {}
    group.create_dataset(name, data=values, **options).attrs.update(attributes)


def put_empty(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype, **attributes: Any
) -> None:
    """Make an array of numbers with a checksum, which is filled afterwards."""
    group.create_dataset(name, shape, dtype, **_options(shape, dtype)).attrs.update(attributes)


def _options(shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    """Return chunks, as checksums need them: whole rows."""
    size = math.prod(shape) * dtype.itemsize
    rows = max(1, min(shape[0], CHUNK * shape[0] // size))
    return {"chunks": (rows, *shape[1:]), "fletcher32": True}


def put_text(group: h5py.Group, name: str, value: str) -> None:
    """Write an attribute of text of fixed length, which lies where structures have checksums.

    Text of variable length lies in a global heap, which has none.
    """
    data = value.encode()
    group.attrs.create(name, data, dtype=h5py.string_dtype("utf-8", max(1, len(data))))


def put_attributes(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Write attributes: text of fixed length, numbers."""
    for name, value in values.items():
        if isinstance(value, str):
            put_text(group, name, value)
        else:
            group.attrs[name] = value


def put_names(group: h5py.Group, name: str, values: Sequence[str]) -> None:
    """Write an attribute that is a list of names, of variable length as readers of The Well need.

    They take names for ``str``, and text of fixed length arrives as bytes.
    """
    group.attrs.create(name, list(values), dtype=h5py.string_dtype())
