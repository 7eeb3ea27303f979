"""Samples of fields on a grid, read some at a time: a data set, or a file of others by its map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from piddm.data.completing import Completion, derivable
from piddm.data.dataset import Dataset
from piddm.data.file_maps import LEFT_OUT, AxisMap, DataMap, FieldMap
from piddm.data.placing import placed
from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.said import CHANNEL, SAMPLE
from piddm.data.recovering import Recovery, giving, recoverable
from piddm.equation import PDE
from piddm.grids.grid import Axis, Grid
from piddm.tools.errors import PiddmError, UsageError, nearest

NUMBERS = 1 << 22
"""Numbers of fields that are read together, about."""


class Samples(ABC):
    """Fields of many samples.

    Attributes:
        grid: Their grid.
        count: How many there are.
        names: Names of the fields, and of params that differ between samples.
        params: Params that all samples share, as far as they are known.
        computed: By field that was computed from an equation rather than measured, the names of
            the equations that gave it: they test nothing.
        what: What they are, for people: a path.
    """

    grid: Grid
    count: int
    names: tuple[str, ...]
    params: Mapping[str, float]
    computed: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    what: str

    def place(self, pde: PDE) -> PDE:
        """Return an equation on the grid of the samples, with their params."""
        return placed(pde, self.grid, dict(self.params))

    @abstractmethod
    def read(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some samples, ``(count, *grid.shape)`` each, params ``(count,)``.

        Raises:
            PiddmError: If they cannot be read.
        """

    @property
    def together(self) -> int:
        """How many samples are read at a time."""
        size = int(np.prod(self.grid.shape)) * len(self.names)
        return max(1, min(128, NUMBERS // max(size, 1)))

    def chunks(self, count: int | None = None) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """Yield the first sample's index and the samples, some at a time."""
        total = self.count if count is None else min(count, self.count)
        for start in range(0, total, self.together):
            yield start, self.read(start, min(start + self.together, total))


class Loaded(Samples):
    """The samples of a data set."""

    def __init__(self, data: Dataset, what: str = "the data") -> None:
        self.data, self.grid, self.count = data, data.grid, len(data)
        self.names, self.params, self.what = tuple(data.fields), data.params, what
        self.computed = data.computed

    def read(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some samples."""
        return {k: v[start:stop] for k, v in self.data.fields.items()}


class Mapped(Samples):
    """A file of others, by its map.

    Args:
        arrays: The file.
        told: The map.
        pde: The equation.

    Raises:
        PiddmError: If an array is missing, or the sizes of axes do not agree.
        UsageError: If the map leaves something open, or names what the equation has not.
    """

    def __init__(self, arrays: Arrays, told: DataMap, pde: PDE) -> None:
        self.arrays, self.told, self.what = arrays, told, str(arrays.path)
        _check_names(told, pde)
        self._dim_sizes = self._sizes()
        first = min(told.first, self._dim_sizes.get(SAMPLE, 1))
        there = self._dim_sizes.get(SAMPLE, 1) - first
        self.count = there if told.count is None else min(told.count, there)
        self.first = first
        if self.count < 1:
            raise UsageError(
                f"{self.what} has no sample {told.first}: the map's first is too large"
            )
        axes = {}
        for name in pde.grid.names:
            axes[name] = self._axis(name, told.axes[name], pde.grid.axes[name])
        self.grid = Grid(**axes)
        missing = [n for n in pde.field_names if n not in told.fields]
        still = set(derivable(pde)) - set(recoverable(pde))
        self._pde, self._solved = pde, [n for n in missing if n in still]
        self._missing = [n for n in missing if n not in still]
        self.computed = {n: giving(pde, n) for n in self._missing}
        varying = [k for k, p in told.params.items() if p.key is not None]
        self.names = (*pde.field_names, *varying)
        self.params = {k: p.value * p.factor for k, p in told.params.items() if p.value is not None}

    def _sizes(self) -> dict[str, int]:
        """Return the sizes of the axes of all arrays, which must agree."""
        sizes: dict[str, tuple[int, str]] = {}
        for pieces in self.told.fields.values():
            for piece in pieces:
                shape = self.arrays[piece.key].shape
                if len(shape) != len(piece.order):
                    raise UsageError(
                        f"{self.what}: {piece.key} has the shape {shape}, the map gives it the "
                        f"axes {', '.join(piece.order)}"
                    )
                for name, n in zip(piece.order, shape, strict=True):
                    if name in (LEFT_OUT, CHANNEL):
                        continue
                    if sizes.setdefault(name, (n, piece.key))[0] != n:
                        raise PiddmError(
                            f"{self.what}: {piece.key} has {n} entries along {name}, "
                            f"{sizes[name][1]} has {sizes[name][0]}; choose the axes otherwise"
                        )
        return {name: n for name, (n, _) in sizes.items()}

    def _axis(self, name: str, told: AxisMap, own: Axis) -> Axis:
        size = self._dim_sizes.get(name, 2 if own.time else 0)
        if not size:
            raise UsageError(f"{self.what}: no array has an axis {name}; the map must name it")
        if told.coordinates is not None:
            values = self._coordinates(name, told, size)[:: told.every]
            if told.closed:
                values = values[:-1]
            return Axis.through(
                values, told.lower, told.upper, periodic=told.location == "periodic", time=own.time
            )
        if told.lower is None or told.upper is None or told.location is None:
            raise UsageError(
                f"{self.what}: the map says neither coordinates nor lower, upper and location of "
                f"{name}; give them, or let piddm import --suggest try"
            )
        count = -(-(size - told.closed) // told.every)
        periodic = told.location == "periodic"
        place: Any = {"outside": (0, 1), "periodic": "vertex"}.get(told.location, told.location)
        return Axis(
            told.lower, told.upper, count, periodic=periodic, time=own.time,
            location=place,
        )  # fmt: skip

    def _coordinates(self, name: str, told: AxisMap, size: int) -> np.ndarray:
        values = self.arrays.read(str(told.coordinates)).astype(np.float64)
        if values.ndim > 1:  # one for each sample, or a mesh: the first along the axis that varies
            values = _along(values, size)
        if len(values) == size + 1:  # times of PDEBench have one entry too many
            values = values[:size]
        if len(values) != size:
            raise PiddmError(
                f"{self.what}: {told.coordinates} has {len(values)} entries, the arrays have "
                f"{size} along {name}"
            )
        return values[::-1] if told.flip else values

    def read(self, start: int, stop: int) -> dict[str, Tensor]:
        """Return some samples; float32 where the file has no more digits, else float64."""
        found: dict[str, Tensor] = {}
        for name, pieces in self.told.fields.items():
            parts = [self._piece(piece, start, stop) for piece in pieces]
            values = parts[0] if len(parts) == 1 else np.stack(parts, 1)
            found[name] = torch.from_numpy(np.ascontiguousarray(values))
        for name, param in self.told.params.items():
            if param.key is not None:
                values = np.asarray(self.arrays.read(param.key), dtype=np.float64).reshape(-1)
                some = values[self.first + start : self.first + stop] * param.factor
                found[name] = torch.from_numpy(some.copy())
        found |= self._completion(found) if self._solved else {}
        return found | self._recovery(found) if self._missing else found

    @cached_property
    def _completion(self) -> Completion:
        """What solves for the fields that the file leaves out, at each time."""
        return Completion(self.place(self._pde), self._solved)

    @cached_property
    def _recovery(self) -> Recovery:
        """What finds those that an equation gives, such as a source."""
        return Recovery(self.place(self._pde), self._missing)

    def _piece(self, piece: FieldMap, start: int, stop: int) -> np.ndarray:
        at, keep = [], []
        for name in piece.order:
            if name == SAMPLE:
                at.append(slice(self.first + start, self.first + stop))
            elif name == CHANNEL:
                at.append(slice(piece.channel, piece.channel + 1))
            elif name == LEFT_OUT:
                at.append(slice(0, 1))
            else:
                axis = self.told.axes[name]
                n = self._dim_sizes[name] - axis.closed
                at.append(slice(0, n, axis.every))
            keep.append(name)
        values = self.arrays.read(piece.key, at)
        small = values.dtype.itemsize <= 4 and values.dtype.kind == "f"
        values = values.astype(np.float32 if small or values.dtype.kind == "b" else np.float64)
        dropped = tuple(i for i, k in enumerate(keep) if k in (CHANNEL, LEFT_OUT))
        values = values.squeeze(dropped)
        names = [k for k in keep if k not in (CHANNEL, LEFT_OUT)]
        if SAMPLE not in names:
            values, names = values[None], [SAMPLE, *names]
        wanted = [SAMPLE, *(k for k in self.grid.names if k in names)]
        values = values.transpose([names.index(k) for k in wanted])
        for dim, name in enumerate(wanted[1:], 1):
            if self.told.axes[name].flip:
                values = np.flip(values, dim)
        if piece.factor != 1 or piece.offset:
            values = values * np.asarray(piece.factor, values.dtype) + np.asarray(
                piece.offset, values.dtype
            )
        missing = [k for k in self.grid.names if k not in names]
        if missing and piece.time is None:  # the same at all places along the axis
            for name in missing:
                dim = 1 + self.grid.index(name)
                n = self.grid.axes[name].size
                values = np.repeat(np.expand_dims(values, dim), n, dim)
        return values


def _along(values: np.ndarray, size: int) -> np.ndarray:
    """Return coordinates along the axis on which a mesh of them varies."""
    for dim in range(values.ndim):
        if values.shape[dim] in (size, size + 1):
            line = np.moveaxis(values, dim, -1).reshape(-1, values.shape[dim])[0]
            if len(line) < 2 or line[0] != line[1]:
                return line
    return values.reshape(-1)


def _check_names(told: DataMap, pde: PDE) -> None:
    if told.pde != pde.name:
        raise UsageError(f"the map is of {told.pde}, asked is {pde.name}")
    known = {"fields": pde.field_names, "axes": pde.grid.names,
             "params": tuple(p.name for p in pde.params)}  # fmt: skip
    for group, names in known.items():
        for name in getattr(told, group):
            if name not in names:
                raise UsageError(f"the map, {group}.{name}: {pde.name} has none of this name"
                                 f"{nearest(name, names)}")  # fmt: skip
    for group in ("fields", "axes"):
        left = (*derivable(pde), *recoverable(pde)) if group == "fields" else ()
        if missing := [n for n in known[group] if n not in (*getattr(told, group), *left)]:
            raise UsageError(f"the map says nothing of {group}.{missing[0]}")
    axes = {SAMPLE, CHANNEL, LEFT_OUT, *pde.grid.names}
    for name, pieces in told.fields.items():
        if len(pieces) == 2 and [p.time for p in pieces] != ["first", "last"]:
            raise UsageError(f"the map, fields.{name}: of two arrays the first has "
                             'time = "first", the other time = "last"')  # fmt: skip
        for piece in pieces:
            for axis in piece.order:
                if axis not in axes:
                    raise UsageError(f"the map, fields.{name}.order: no axis {axis!r}"
                                     f"{nearest(axis, axes)}")  # fmt: skip
