"""A file as named arrays of numbers, read in slices: what every reader opens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from piddm.tools.errors import PiddmError, nearest
from piddm.tools.memory import require

KINDS = "biuf"
"""Kinds of numbers that fields are made of: booleans, integers, floating-point numbers."""

NEAREST = 12
"""Arrays that an error lists, at most."""


@dataclass(frozen=True)
class Described:
    """An array of a file, unread.

    Args:
        key: Its name in the file.
        shape: Its shape, as the file's own software sees it.
        dtype: Type of its numbers.
        attributes: What the file says of it.
    """

    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Arrays(ABC):
    """A file as named arrays.

    Args:
        path: The file.
        described: Its arrays of numbers, by key.
        attributes: What it says of itself.
        skipped: What is in it and cannot be read, by key: why.
    """

    def __init__(
        self,
        path: Path,
        described: Mapping[str, Described],
        attributes: Mapping[str, Any] | None = None,
        skipped: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.described = path, dict(described)
        self.attributes = dict(attributes or {})
        self.skipped = dict(skipped or {})

    def __getitem__(self, key: str) -> Described:
        """Return an array's description.

        Raises:
            PiddmError: If there is none, with the nearest names and their shapes.
        """
        if key in self.described:
            return self.described[key]
        if key in self.skipped:
            raise PiddmError(f"{self.path}: {key} {self.skipped[key]}")
        raise PiddmError(f"{self.path} has no array {key!r}{nearest(key, self.described)}; it has "
                         f"{self.text()}")  # fmt: skip

    def text(self) -> str:
        """Return the arrays and their shapes, as one line."""
        found = [f"{d.key} {d.shape}" for d in list(self.described.values())[:NEAREST]]
        more = len(self.described) - len(found)
        told = (", ".join(found) or "no array of numbers") + (f" and {more} more" if more else "")
        odd = [f"{key} {why}" for key, why in list(self.skipped.items())[:NEAREST]]
        return f"{told}; not read: {'; '.join(odd)}" if odd and not found else told

    def read(self, key: str, at: Sequence[slice] | None = None) -> np.ndarray:
        """Return some of an array: a slice along each axis, all of it where none is given.

        Numbers are as stored, in this machine's order of bytes; those that the file marks as
        missing are NaN.

        Args:
            key: The array's name in the file.
            at: A slice for each of its axes.

        Raises:
            PiddmError: If there is no such array.
        """
        shape = self[key].shape
        index = [slice(None)] * len(shape) if at is None else list(at)
        whole = [slice(*s.indices(n)) for s, n in zip(index, shape, strict=True)]
        values = np.asarray(self._read(key, whole))
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return _marked(values, self[key].attributes)

    @abstractmethod
    def _read(self, key: str, at: Sequence[slice]) -> np.ndarray:
        """Return some of an array, with whole numbers in the slices."""


def _marked(values: np.ndarray, attributes: Mapping[str, Any]) -> np.ndarray:
    """Apply what netCDF and its relatives say of missing and of packed numbers."""
    missing = [
        number
        for name in ("_FillValue", "missing_value")
        for number in np.atleast_1d(attributes.get(name, []))
        if isinstance(number, (int, float, np.number))
    ]
    scale, offset = (attributes.get(k) for k in ("scale_factor", "add_offset"))
    packed = isinstance(scale, (int, float)) or isinstance(offset, (int, float))
    if not missing and not packed:
        return values
    absent = np.isin(values, np.asarray(missing)) if missing else None
    if packed or (absent is not None and absent.any()):
        values = values.astype(np.float64 if values.dtype.itemsize > 4 or packed else np.float32)
    if packed:
        values = values * (1.0 if scale is None else scale) + (0.0 if offset is None else offset)
    if absent is not None and absent.any():
        values = np.where(absent, np.nan, values)
    return values


class Whole(Arrays):
    """Arrays of a format that gives none in part: the last one that was asked for is kept."""

    _last: tuple[str, np.ndarray] | None = None

    @property
    @abstractmethod
    def advice(self) -> str:
        """What to do where one does not fit into memory."""

    @abstractmethod
    def whole(self, key: str) -> np.ndarray:
        """Return all of an array.

        Raises:
            PiddmError: If it is damaged, or no array of real numbers.
        """

    def _read(self, key: str, at: Sequence[slice]) -> np.ndarray:
        if self._last is None or self._last[0] != key:
            self._last = None  # before there are two of them
            own = self[key]
            size = int(np.prod(own.shape, dtype=float))
            require(size, f"{key} of {self.path}", self.advice, own.dtype.itemsize)
            self._last = key, self.whole(key)
        return self._last[1][tuple(at)]


class Held(Arrays):
    """Arrays that are in memory, or behind memory maps.

    Args:
        path: The file that they are from.
        arrays: The arrays by key, of any shape.
        attributes: What the file says of itself.
        skipped: What cannot be read, and why.
    """

    def __init__(
        self,
        path: Path,
        arrays: Mapping[str, np.ndarray],
        attributes: Mapping[str, Any] | None = None,
        skipped: Mapping[str, str] | None = None,
    ) -> None:
        self._arrays = {k: v for k, v in arrays.items() if v.dtype.kind in KINDS}
        odd = {k: f"holds {v.dtype}, no real numbers" for k, v in arrays.items()
               if k not in self._arrays}  # fmt: skip
        described = {k: Described(k, v.shape, v.dtype) for k, v in self._arrays.items()}
        super().__init__(path, described, attributes, {**odd, **(skipped or {})})

    def _read(self, key: str, at: Sequence[slice]) -> np.ndarray:
        return self._arrays[key][tuple(at)]
