"""Where nodes may be along the axes of a file's arrays: by stored coordinates, or by their ends."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from piddm.data.file_maps import AxisMap, FieldMap
from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.said import SAMPLE, AxisSaid, Said
from piddm.equation import PDE
from piddm.grids.grid import Axis
from piddm.tools.errors import PiddmError

EQUAL = 1e-3
"""Relative difference of spacings, or of ends over a spacing, that counts as none."""

FEW, SEAM = 3, 1e-5
"""Samples whose ends are compared, and up to which relative difference they are the same."""

Fields = Mapping[str, tuple[FieldMap, ...]]
"""Where each field's values are."""


def coordinate_keys(arrays: Arrays, said: Said, pde: PDE) -> dict[str, tuple[str, AxisSaid]]:
    """Return the arrays of coordinates, by axis."""
    found: dict[str, tuple[str, AxisSaid]] = {}
    for name, axis in pde.grid.axes.items():
        own = said.axes.get(name)
        if own is not None and own.coordinates is not None:
            found[name] = own.coordinates, own
            continue
        names = {name, 2 * name, f"{name}_coordinate", f"{name}-coordinate", f"grid_{name}",
                 f"{name}_grid", f"{name}s", *(("time", "times") if axis.time else ())}  # fmt: skip
        for key, array in arrays.described.items():
            line = sum(n > 1 for n in array.shape) == 1
            if line and key.rpartition("/")[2].lower() in names and key not in said.orders:
                found.setdefault(name, (key, own or AxisSaid()))
    return found


def axis_choices(
    arrays: Arrays, said: Said, pde: PDE, fields: Fields
) -> list[tuple[str, dict[str, AxisMap]]]:
    """Return where nodes may be along all axes, with what it is called."""
    stored = coordinate_keys(arrays, said, pde)
    sizes: dict[str, int] = {}
    for piece in itertools.chain(*fields.values()):
        sizes |= dict(zip(piece.order, arrays[piece.key].shape, strict=True))
    by_axis: dict[str, list[tuple[str, AxisMap]]] = {}
    for name, axis in pde.grid.axes.items():
        own = said.axes.get(name, AxisSaid())
        twice = axis.periodic and _seam_twice(arrays, fields, name)
        if name in stored:
            values = line_of(arrays, stored[name][0], sizes.get(name, 2))
            by_axis[name] = _from_stored(stored[name][0], values, axis, own, twice)
        else:
            by_axis[name] = _from_ends(axis, own, twice)
    found = []
    for chosen in itertools.product(*by_axis.values()):
        pairs = list(zip(by_axis, chosen, strict=True))
        # Axes of one kind are laid out alike.
        alike = {w for name, (w, _) in pairs if pde.grid.axes[name].bounded and w != "stored"}
        round_ = {what for name, (what, _) in pairs if pde.grid.axes[name].periodic}
        if len(alike) > 1 or len(round_) > 1:
            continue
        told = dict.fromkeys(f"{n} {what}" for n, (what, _) in pairs if not pde.grid.axes[n].time)
        found.append((", ".join(told) or "times", {name: a for name, (_, a) in pairs}))
    return found


def line_of(arrays: Arrays, key: str, size: int) -> np.ndarray:
    """Return the coordinates of an axis of so many nodes, as they are stored."""
    values = arrays.read(key).astype(np.float64)
    if values.ndim > 1:
        dim = next((d for d in range(values.ndim) if values.shape[d] in (size, size + 1)), -1)
        values = np.moveaxis(values, dim, -1).reshape(-1, values.shape[dim])[0]
    values = values[:size] if len(values) == size + 1 else values
    if len(values) < 2 or not np.isfinite(values).all() or values[0] == values[-1]:
        raise PiddmError(f"{arrays.path}: {key} are no coordinates of {size} nodes")
    return values


def _from_stored(
    key: str, values: np.ndarray, axis: Axis, own: AxisSaid, twice: bool
) -> list[tuple[str, AxisMap]]:
    flip = bool(values[-1] < values[0])
    values = values[::-1] if flip else values
    first, last, n = float(values[0]), float(values[-1]), len(values)
    h = (last - first) / (n - 1)
    if axis.time:
        return [("times", AxisMap(coordinates=key, flip=flip, lower=_clean(first, h),
                                  upper=_clean(last, h)))]  # fmt: skip
    if axis.periodic:
        told = AxisMap(coordinates=key, flip=flip, location="periodic")
        length = axis.upper - axis.lower
        closed = abs(last - first - length) < EQUAL * h
        if not closed and own.location != "periodic" and abs(n * h - length) >= EQUAL * h:
            closed = twice  # of another length than the equation's own: the values tell
        return [("periodic", told.model_copy(update={"closed": closed}))]
    found = []
    uniform = np.abs(np.diff(values) - h).max() < EQUAL * h
    kinds = {"vertex": (0, 0), "centre": (0.5, 0.5), "outside": (0, 1)}
    fits = {k: max(abs(axis.lower - first + a * h), abs(axis.upper - last - b * h)) < EQUAL * h
            for k, (a, b) in kinds.items()}  # fmt: skip
    for what, (low, high) in kinds.items() if uniform else [("vertex", (0, 0))]:
        if any(fits.values()) and not fits[what]:
            continue
        if not any(fits.values()) and own.location not in (None, what):
            continue
        found.append((what, AxisMap(
            coordinates=key, flip=flip, lower=_clean(first - low * h, h),
            upper=_clean(last + high * h, h),
        )))  # fmt: skip
    if not uniform:
        inside = axis.lower <= first + EQUAL * h and last - EQUAL * h <= axis.upper
        near = inside and max(first - axis.lower, axis.upper - last) < h
        if near:
            lower, upper = min(axis.lower, first), max(axis.upper, last)
            return [("stored", AxisMap(coordinates=key, flip=flip, lower=lower, upper=upper))]
        return [("stored", found[0][1])]
    return found


def _clean(value: float, h: float) -> float:
    """Return an end without the rounding of float32, where that is all that it lacks."""
    for digits in range(7):
        if abs(round(value, digits) - value) < EQUAL * abs(h):
            return round(value, digits) + 0.0
    return value


def _seam_twice(arrays: Arrays, fields: Fields, name: str) -> bool:
    """Return whether the first and the last values along a periodic axis are the same.

    Not where the second is the same as well: of what does not vary, that says nothing.
    """
    for piece in itertools.chain(*fields.values()):
        if name not in piece.order:
            continue
        dim, shape = piece.order.index(name), arrays[piece.key].shape
        if shape[dim] < 2 or 0 in shape:
            return False
        lines = []
        for at in (0, 1, shape[dim] - 1):
            index = [slice(0, FEW if k == SAMPLE else n)
                     for k, n in zip(piece.order, shape, strict=True)]  # fmt: skip
            index[dim] = slice(at, at + 1)
            lines.append(arrays.read(piece.key, index).astype(np.float64))
        first, second, last = lines
        ends, step = (float(np.abs(v - first).max()) for v in (last, second))
        if ends > SEAM * float(np.abs(first).max()) or ends >= step / 10:
            return False
    return True


def _from_ends(axis: Axis, own: AxisSaid, twice: bool) -> list[tuple[str, AxisMap]]:
    lower, upper = own.ends or axis.ends
    if axis.time:
        return [("times", AxisMap(lower=lower, upper=upper, location="vertex"))]
    if axis.periodic:
        told = AxisMap(lower=lower, upper=upper, location="periodic")
        if own.location == "periodic" or not twice:
            return [("periodic", told)]
        return [("seam twice", told.model_copy(update={"closed": True}))]
    kinds = ("vertex", "centre", "outside") if own.location is None else (own.location,)
    return [(k, AxisMap(lower=lower, upper=upper, location=k)) for k in kinds]  # pyright: ignore
