"""Plain HDF5, read by a process of its own; a group for each sample is read as one array.

Groups whose names are numbers and whose members are alike, ``0000/data``, ``0001/data``, are one
array ``*/data`` with the samples along its first axis, in the order of the names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from piddm.data.readers.named_arrays import KINDS, Arrays, Described
from piddm.data.readers.reader import Reader
from piddm.tools.formats import HDF5
from piddm.tools.hdf5_child import LARGEST_PART
from piddm.tools.hdf5_parts import outline, part
from piddm.tools.hdf5_reading import Array, Group

RATIO = 200
"""Bytes of arrays per byte of a file of others, at most; media of two phases compress well."""

WHAT = "data file"
"""What messages call a file."""


class HDF5Arrays(Arrays):
    """The arrays of an HDF5 file.

    Args:
        path: The file.
        reverse: Whether axes are the other way round to the software that wrote it (MATLAB).
    """

    def __init__(self, path: Path, reverse: bool = False) -> None:
        root = _outline(path, path.stat().st_mtime_ns)
        self._reverse, self._stacked = reverse, dict[str, list[str]]()
        self.groups: dict[str, Mapping[str, Any]] = {}
        found: dict[str, Described] = {}
        skipped: dict[str, str] = {}
        for key, array in self._members(root):
            if array.shape is None or array.dtype.kind not in KINDS:
                skipped[key] = f"holds {array.dtype}, no real numbers"
                continue
            shape = array.shape[::-1] if reverse else array.shape
            found[key] = Described(key, shape, array.dtype, array.attributes)
        self._stack(found, skipped)
        super().__init__(path, found, root.attributes, skipped)

    def _members(self, group: Group, path: str = "") -> list[tuple[str, Array]]:
        self.groups[path] = group.attributes
        found: list[tuple[str, Array]] = []
        for name, member in group.members.items():
            if name.startswith("#"):  # MATLAB's own
                continue
            key = f"{path}/{name}" if path else name
            found += [(key, member)] if isinstance(member, Array) else self._members(member, key)
        return found

    def _stack(self, found: dict[str, Described], skipped: dict[str, str]) -> None:
        """Replace members of numbered groups by arrays of all of them."""
        by_tail: dict[str, list[str]] = {}
        for key in found:
            first, _, tail = key.partition("/")
            if tail and first.isdigit():
                by_tail.setdefault(f"*/{tail}", []).append(key)
        for name, keys in by_tail.items():
            keys.sort(key=lambda key: int(key.partition("/")[0]))
            shapes = {found[key].shape for key in keys}
            example = found[keys[0]]
            for key in keys:
                del found[key]
            if len(shapes) > 1:
                told = ", ".join(map(str, sorted(shapes)[:4]))
                skipped[name] = f"has samples of mixed shapes, {told}: give a file for each shape"
                continue
            self._stacked[name] = keys
            found[name] = Described(
                name, (len(keys), *example.shape), example.dtype, example.attributes
            )

    def _read(self, key: str, at: Sequence[slice]) -> np.ndarray:
        if key in self._stacked:
            parts = [self._part(own, at[1:]) for own in self._stacked[key][at[0]]]
            rest = [len(range(*s.indices(s.stop))) for s in at[1:]]
            return np.stack(parts) if parts else np.empty((0, *rest))
        return self._part(key, at)

    def _part(self, key: str, at: Sequence[slice]) -> np.ndarray:
        index = list(at)[::-1] if self._reverse else list(at)
        sizes = [len(range(*s.indices(s.stop))) for s in index]
        width = self.described[key].dtype.itemsize if key in self.described else 8
        row = int(np.prod(sizes[1:], dtype=float)) * width if sizes else 0
        if not index or row * sizes[0] <= LARGEST_PART or sizes[0] < 2:
            values = part(self.path, key, index, WHAT)
        else:
            first, rows = index[0], max(1, LARGEST_PART // max(row, 1))
            step = first.step or 1
            pieces = [
                part(self.path, key,
                     [slice(i, min(i + rows * step, first.stop), step), *index[1:]], WHAT)
                for i in range(first.start, first.stop, rows * step)
            ]  # fmt: skip
            values = np.concatenate(pieces)
        return values.transpose() if self._reverse else values


@lru_cache(maxsize=4)
def _outline(path: Path, changed: int) -> Group:
    return outline(path, WHAT, RATIO)


class HDF5Reader(Reader):
    """Any HDF5 file."""

    def opens(self, path: Path, first: bytes) -> bool:
        """Return whether it begins as such."""
        return first.startswith(HDF5)

    def arrays(self, path: Path) -> HDF5Arrays:
        """Open a file."""
        return HDF5Arrays(path)
