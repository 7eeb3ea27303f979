"""A map of a file for which there is no equation: by names, stored coordinates and the values.

What a file leaves open no residual can decide. Ends are taken to be 0 and 1, and an axis to close
on itself where the values go on smoothly across its seam; both are told, for a map to correct them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from piddm.data.axis_choices import line_of
from piddm.data.file_maps import LEFT_OUT, AxisMap, DataMap, FieldMap
from piddm.data.no_equation import TIME
from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.said import CHANNEL, SAMPLE, AxisSaid, Said
from piddm.data.suggesting import Suggestion
from piddm.tools.about import NO_EQUATION
from piddm.tools.errors import UsageError, nearest

BY_NUMBER = {1: ("x",), 2: ("x", "y"), 3: (TIME, "x", "y")}
"""Names of axes by their number, where a file names none: of three the first is time."""

COMMON = ("t", "time", "x", "y", "z", "lat", "lon")
"""Names of arrays of coordinates, in the order of the axes."""

FEW = 16
"""Samples whose seams are looked at."""

SMOOTH = 2.0
"""Second difference across a seam, over that inside, up to which values go on across it."""


def plain_map(arrays: Arrays, said: Said, names: Sequence[str], reader: str = "") -> Suggestion:
    """Return a map of some arrays of a file, and what was taken for granted.

    Args:
        arrays: The file.
        said: What its layout says.
        names: Names of the arrays, which become the fields': whole keys, or their last parts.
        reader: Name of the reader, for the map.

    Raises:
        UsageError: If there is no such array, or its axes cannot be told.
    """
    keys = {name: _key(arrays, name) for name in names}
    stored = _coordinates(arrays, said)
    first = next(iter(keys.values()))
    assumed: list[str] = []
    fields = {}
    for name, key in keys.items():
        order = _order(arrays, said, key, stored)
        fields[name] = (FieldMap(key=key, order=order),)
    (piece,) = fields[names[0]]
    if first not in said.orders:
        assumed.append(f"axes of {first}: {', '.join(piece.order)}")
    sizes = dict(zip(piece.order, arrays[first].shape, strict=True))
    axes = {}
    for name in (o for o in piece.order if o not in (SAMPLE, CHANNEL, LEFT_OUT)):
        own = said.axes.get(name, AxisSaid())
        twice = _seam(arrays, fields, name) if own.location is None and name != TIME else None
        axes[name], told = _axis(arrays, stored.get(name), name, own, sizes[name], twice)
        assumed += told
    found = DataMap(pde=NO_EQUATION, reader=reader, axes=axes, fields=fields)
    return Suggestion(found, (), said.format or reader, (), tuple(assumed))


def _key(arrays: Arrays, name: str) -> str:
    if name in arrays.described:
        return name
    last = {k: k.rpartition("/")[2] for k in arrays.described}
    for same in (str, str.lower):
        found = [k for k, part in last.items() if same(part) == same(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"{arrays.path}: {name} may be {' or '.join(found)}; give a whole key")
    raise UsageError(
        f"{arrays.path} has no array {name!r}{nearest(name, last.values())}; it has {arrays.text()}"
    )


def _coordinates(arrays: Arrays, said: Said) -> dict[str, tuple[str, int]]:
    """Return the arrays of coordinates and their numbers of entries, by name of the axis."""
    found = {}
    for name, own in said.axes.items():
        if own.coordinates is not None:
            found[name] = own.coordinates, max(arrays[own.coordinates].shape, default=1)
    for common in COMMON:
        name = TIME if common == "time" else common
        for key, array in arrays.described.items():
            line = sum(n > 1 for n in array.shape) == 1
            if line and key.rpartition("/")[2].lower() == common:
                found.setdefault(name, (key, max(array.shape)))
    return found


def _order(
    arrays: Arrays, said: Said, key: str, stored: Mapping[str, tuple[str, int]]
) -> tuple[str, ...]:
    """Return the names of an array's axes: said, by the sizes of coordinates, or by their number.

    Raises:
        UsageError: If there are too few axes or too many.
    """
    shape = arrays[key].shape
    if key in said.orders:
        return tuple(LEFT_OUT if o is None else o for o in said.orders[key])
    # Times of some published data have one entry too many.
    for count in (len(shape) - 1, len(shape)):
        for chosen in itertools.permutations(stored, count) if count else ():
            pairs = zip(chosen, shape[len(shape) - count :], strict=True)
            if all(n in (stored[k][1], stored[k][1] - (k == TIME)) for k, n in pairs):
                return (*([SAMPLE] if count < len(shape) else []), *chosen)
    names = BY_NUMBER.get(len(shape) - 1)
    if names is None:
        raise UsageError(
            f"{arrays.path}: {key} has the shape {shape}, and which axis is what cannot be told; "
            "say it in a map, --map"
        )
    return (SAMPLE, *names)


def _axis(
    arrays: Arrays, stored: tuple[str, int] | None, name: str, own: AxisSaid, size: int,
    twice: bool | None,
) -> tuple[AxisMap, list[str]]:  # fmt: skip
    """Return where nodes are along an axis, and what was taken for granted."""
    periodic = own.location == "periodic" or bool(own.periodic) or twice is not None
    location = "periodic" if periodic else own.location or "vertex"
    said = [f"{name} is periodic: values go on across its seam"] if twice is not None else []
    if stored is not None:
        values = line_of(arrays, stored[0], size)
        flip = bool(values[-1] < values[0])
        lower, upper = own.ends or (None, None)
        return AxisMap(
            coordinates=stored[0], flip=flip, closed=bool(twice), lower=lower, upper=upper,
            location="periodic" if periodic else None,
        ), said  # fmt: skip
    lower, upper = own.ends or (0.0, 1.0)
    if own.ends is None:
        said.insert(0, f"{name} goes from 0 to 1")
    location = "vertex" if location == "stored" else location
    return AxisMap(lower=lower, upper=upper, location=location, closed=bool(twice)), said


def _seam(arrays: Arrays, fields: Mapping[str, tuple[FieldMap, ...]], name: str) -> bool | None:
    """Return whether a seam is stored twice, where all fields go on across it; None elsewhere.

    Measured by second differences, which see a jump as well as a kink.
    """
    found = set()
    for (piece,) in fields.values():
        index = [slice(0, FEW if o == SAMPLE else 1 if o == LEFT_OUT else None)
                 for o in piece.order]  # fmt: skip
        values = arrays.read(piece.key, index).astype(np.float64)
        values = np.moveaxis(values, piece.order.index(name), -1)
        closed = bool(np.array_equal(values[..., 0], values[..., -1]))
        values = values[..., :-1] if closed else values
        if values.shape[-1] < 5 or not np.isfinite(values).all():
            return None
        bent = np.square(np.diff(np.pad(values, [(0, 0)] * (values.ndim - 1) + [(1, 1)], "wrap"),
                                 2, axis=-1))  # fmt: skip
        inside = bent[..., 1:-1].mean()
        if max(bent[..., 0].mean(), bent[..., -1].mean()) > SMOOTH**2 * inside:
            return None
        found.add(closed)
    return found.pop() if len(found) == 1 else None
