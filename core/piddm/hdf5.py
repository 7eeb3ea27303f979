"""HDF5 files that are whole or absent, and that refer to nothing outside themselves."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat

from piddm.errors import PiddmError
from piddm.files import atomic_path
from piddm.grid import Axis, Grid

DAMAGE = (KeyError, RuntimeError, TypeError, ValueError)
"""What h5py raises on a damaged file, beside ``OSError``."""

SIGNATURE = b"\x89HDF\r\n\x1a\n"


class AxisData(BaseModel):
    """An axis as a file has it; see :class:`piddm.grid.Axis`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    lower: FiniteFloat
    upper: FiniteFloat
    size: int
    periodic: bool
    time: bool
    latitude: bool = False


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
    """Yield a file to write to, which is then there as a whole, or not at all.

    Raises:
        PiddmError: If it cannot be written.
    """
    with atomic_path(path) as part, DeferringFile(part, "w+b") as handle:
        try:
            # From this version on HDF5 has checksums over its own structures: damage is an error,
            # not a crash.
            with h5py.File(handle, "w", libver="v110") as file:
                yield file
        finally:
            if handle.error is not None:
                raise handle.error


def is_hdf5(path: Path) -> bool:
    """Return whether a file is one of HDF5, damaged or not, by its name or its first bytes."""
    if path.suffix in (".h5", ".hdf5"):
        return True
    try:
        with path.open("rb") as handle:
            return handle.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def grid_of(axes: Mapping[str, AxisData]) -> Grid:
    """Return the grid of some axes."""
    return Grid(**{name: Axis(**dict(axis)) for name, axis in axes.items()})


def refuse_references(path: Path | str, group: h5py.Group) -> None:
    """Refuse everything that could make a reader open another file, before it is followed."""
    for name in group:
        link = group.get(name, getlink=True)
        child = group[name] if isinstance(link, h5py.HardLink) else None
        if isinstance(child, h5py.Group):
            refuse_references(path, child)
        elif not isinstance(child, h5py.Dataset) or child.external or child.is_virtual:
            raise PiddmError(
                f"{path}: {name!r} in {group.name} refers to data elsewhere, as no dataset may; "
                "make it again"
            )


def plain(value: Any) -> Any:
    """Return an attribute as plain data."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
