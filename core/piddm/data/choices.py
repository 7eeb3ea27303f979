"""What a file leaves open: arrays for fields, orders of axes, params."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from piddm.data.axis_choices import FEW, coordinate_keys
from piddm.data.completing import derivable
from piddm.data.file_maps import LEFT_OUT, FieldMap, ParamMap
from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.said import CHANNEL, SAMPLE, Said
from piddm.data.recovering import recoverable
from piddm.equation import PDE
from piddm.symbolic.operators import Field, Param

CHANNELS = 8
"""Channels of an array that are tried as fields, at most."""

FACTORS = (1.0, 1 / math.pi)
"""Factors of a param that are tried: published ones leave out pi."""

NUMBER = r"=?(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)"
"""A number behind a name, in the name of a file."""

Fields = dict[str, tuple[FieldMap, ...]]
Order = tuple[str, ...]


def field_choices(arrays: Arrays, said: Said, pde: PDE, by_name: bool = True) -> list[Fields]:
    """Return which arrays may be which fields, the likely ones first.

    Args:
        arrays: The file.
        said: What its layout says.
        pde: The equation.
        by_name: Whether arrays that are called as the fields are these, and nothing else is tried.
    """
    used = {a.coordinates for a in said.axes.values()}
    used |= {key for key, _ in coordinate_keys(arrays, said, pde).values()}
    least = len(pde.grid.names) - 1
    usable = [k for k, d in arrays.described.items()
              if k not in used and math.prod(d.shape) > 1 and len(d.shape) >= least]  # fmt: skip
    whole = {k: orders(arrays, said, pde, k) for k in usable}
    whole = {k: v for k, v in whole.items() if v}
    inputs = {g.name for g in pde.inputs if isinstance(g, Field)}
    every, given = pde.field_names, set(recoverable(pde))
    pieces = sum(_channels(arrays, k, orders[0]) for k, orders in whole.items())
    for left in _left_out(pde):
        names = [n for n in every if n not in left]
        if left & given and pieces >= len(every):
            continue  # nothing is missing: what there is does not fit
        if names and (found := _chosen(arrays, said, pde, whole, inputs, names, by_name)):
            return found
    return _two_times(arrays, said, pde, usable)


def _left_out(pde: PDE) -> Iterator[set[str]]:
    """Yield what a file may leave out: nothing, what is solved for, a field that rows give."""
    given = recoverable(pde)
    still = set(derivable(pde)) - set(given)
    yield set()
    if still:
        yield still
    for name in given:
        yield {name}
    if len(given) > 1:
        yield set(given)
    if still and given:
        yield still | set(given)


def _chosen(
    arrays: Arrays, said: Said, pde: PDE, whole: Mapping[str, list[Order]], inputs: set[str],
    names: Sequence[str], by_name: bool,
) -> list[Fields]:  # fmt: skip
    """Return which arrays may be these fields, where they are trajectories, or fields at once."""
    found: list[Fields] = []
    pieces = [
        FieldMap(key=k, order=o, channel=c)
        for k, every in whole.items() for o in every for c in range(_channels(arrays, k, o))
    ]  # fmt: skip
    for chosen in itertools.permutations(pieces, len(names)):
        if len({(p.key, p.channel) for p in chosen}) < len(names):
            continue
        if len({p.order.index(SAMPLE) if SAMPLE in p.order else -1 for p in chosen}) > 1:
            continue
        pairs = list(zip(names, chosen, strict=True))
        roles = [said.roles.get(p.key) for _, p in pairs]
        if any(r and (r == "input") != (n in inputs)
               for (n, _), r in zip(pairs, roles, strict=True)):  # fmt: skip
            continue
        if _fit(arrays, chosen):
            found.append({name: (piece,) for name, piece in pairs})
    docs = {f.name: f.doc.lower() for f in pde.fields}
    found.sort(key=lambda fields: _unlikely(fields, docs))
    named = [f for f in found if all(p.key.rpartition("/")[2] == n for n, (p, *_) in f.items())]
    if len(names) > 1 and named:  # the file's names are the equation's, unless they do not fit
        found = named if by_name else [f for f in found if f not in named]
    stored = any(pde.grid.axes[n].time for n in coordinate_keys(arrays, said, pde))
    several = any(SAMPLE in p.order for fields in found for (p, *_) in fields.values())
    if found and not stored and not several:
        # Without times, one trajectory is less likely than many states at two times.
        usable = [k for k in arrays.described if k in whole]
        return _two_times(arrays, said, pde, usable) or found
    return found


def _unlikely(fields: Fields, docs: Mapping[str, str]) -> tuple[int, int]:
    """Return how unlikely names are: a field's own is best; channels in their order."""

    def means(name: str, key: str) -> bool:
        own = key.rpartition("/")[2].lower()
        return own.startswith(name.lower()) or (len(own) > 3 and docs[name].startswith(own))

    wrong = sum(not means(name, pieces[0].key) for name, pieces in fields.items())
    return wrong, sum(p[0].channel != i for i, p in enumerate(fields.values()))


def _fit(arrays: Arrays, chosen: Sequence[FieldMap]) -> bool:
    sizes: dict[str, int] = {}
    for piece in chosen:
        for name, n in zip(piece.order, arrays[piece.key].shape, strict=True):
            if name not in (LEFT_OUT, CHANNEL) and sizes.setdefault(name, n) != n:
                return False
    return True


def _channels(arrays: Arrays, key: str, order: Order) -> int:
    if CHANNEL not in order:
        return 1
    return min(CHANNELS, arrays[key].shape[order.index(CHANNEL)])


def _two_times(arrays: Arrays, said: Said, pde: PDE, usable: Sequence[str]) -> list[Fields]:
    """Return choices of two arrays without time: the state at the first and at the last."""
    time = next((n for n, a in pde.grid.axes.items() if a.time), None)
    names = [n for n in pde.field_names if n not in derivable(pde)]
    if time is None or len(names) != 1:
        return []
    order = (SAMPLE, *(n for n in pde.grid.names if n != time))
    plain = [k for k in usable if len(arrays[k].shape) == len(order)]
    # Such as a_x and a_smooth beside a.
    plain = [k for k in plain if not any(k.startswith(f"{other}_") for other in plain)]
    return [
        {names[0]: (FieldMap(key=a, order=order, time="first"),
                              FieldMap(key=b, order=order, time="last"))}
        for a, b in itertools.permutations(plain, 2) if arrays[a].shape == arrays[b].shape
    ]  # fmt: skip


def orders(arrays: Arrays, said: Said, pde: PDE, key: str) -> list[Order]:
    """Return the orders that the axes of an array may have."""
    shape, names = arrays[key].shape, pde.grid.names
    if key in said.orders:
        told = [LEFT_OUT if o is None else o for o in said.orders[key]]
        told = _renamed(told, pde)
        known = {SAMPLE, CHANNEL, LEFT_OUT, *names}
        # A steady field may be stored as one time.
        told = [o if o in known or n > 1 else LEFT_OUT for o, n in zip(told, shape, strict=True)]
        there = [o for o in told if o in names]
        return [tuple(told)] if set(told) <= known and set(there) == set(names) else []
    time = [n for n in names if pde.grid.axes[n].time]
    space = [n for n in names if n not in time]
    late = [(*space, *time)] if time else []
    extra = len(shape) - len(names)
    sizes = {k: arrays[key] for k, (key, _) in coordinate_keys(arrays, said, pde).items()}
    bodies: list[Order] = [names, *late]
    if extra == 0:
        found = [*bodies] if len(names) > 1 else [names]
    elif extra == 1:
        found = [(SAMPLE, *b) for b in bodies]
        if shape[-1] > shape[0] and len(set(shape[:-1])) == 1:
            found.append((*names, SAMPLE))
        if shape[-1] <= CHANNELS and sizes:  # one trajectory, if coordinates say so
            found += [(*b, CHANNEL) for b in bodies]
    elif extra == 2:
        found = []
        if shape[-1] <= CHANNELS:
            found += [(SAMPLE, *b, CHANNEL) for b in bodies]
        if shape[1] <= CHANNELS:
            found += [(SAMPLE, CHANNEL, *b) for b in bodies]
        if time and shape[2] <= CHANNELS:
            found.append((SAMPLE, *time, CHANNEL, *space))
    else:
        return []
    known = [o for o in found if all(
        n not in sizes or math.prod(sizes[n].shape) in (size, size + 1) or len(sizes[n].shape) > 1
        for n, size in zip(o, shape, strict=True)
    )]  # fmt: skip
    # Without coordinates, the axes of space are those of one length.
    square = [
        o for o in known if len({n for k, n in zip(o, shape, strict=True) if k in space}) == 1
    ]
    return square if square and time and len(space) > 1 and not sizes else known


def _renamed(order: Sequence[str], pde: PDE) -> list[str]:
    """Return an order by the equation's names of axes, where the file's are others."""
    names = pde.grid.names
    space = [n for n in names if not pde.grid.axes[n].time]
    theirs = [o for o in order if o not in (SAMPLE, CHANNEL, LEFT_OUT, "t")]
    if set(theirs) <= set(names) or len(theirs) != len(space):
        return list(order)
    new = dict(zip(theirs, space, strict=True))
    return [new.get(o, o) for o in order]


def unit_choices(arrays: Arrays, pde: PDE, fields: Fields) -> list[Fields]:
    """Return fields in the equation's units: media of 0 and 1 may be those of the law's values."""
    found = [fields]
    for item, law in pde.inputs.items():
        low, high = (getattr(law, k, None) for k in ("low", "high"))
        if not isinstance(item, Field) or item.name not in fields or low is None or high is None:
            continue
        (piece, *more) = fields[item.name]
        if more or not _is_mask(arrays, piece):
            continue
        units = [{"factor": high - low, "offset": low}, {"factor": low - high, "offset": high}]
        found = [{**f, item.name: (piece.model_copy(update=u),)} for f in found for u in units]
    return found


def _is_mask(arrays: Arrays, piece: FieldMap) -> bool:
    """Return whether an array is of 0 and 1 only, as far as its first samples tell."""
    index = [slice(0, FEW) if k == SAMPLE else slice(None) for k in piece.order]
    return set(np.unique(arrays.read(piece.key, index)).tolist()) == {0, 1}


def param_choices(arrays: Arrays, said: Said, pde: PDE) -> dict[str, list[ParamMap]]:
    """Return what params may be, what is stated first; none of what the file says nothing."""
    by_name: dict[str, list[ParamMap]] = {}
    for param in pde.params:
        found, sure = _value(arrays, said, param)
        if isinstance(found, str):
            by_name[param.name] = [ParamMap(key=found, factor=f) for f in FACTORS]
        elif found is not None:
            more = (found, 1 / found**2) if found else ()  # its square and its inverse
            every = {found * f: ParamMap(value=found, factor=f) for f in (*FACTORS, *more)}
            if not sure:
                every.setdefault(param.value, ParamMap(value=param.value))
            by_name[param.name] = list(every.values())
    return by_name


def _value(arrays: Arrays, said: Said, param: Param) -> tuple[float | str | None, bool]:
    """Return a param's value, or the key of one for each sample, and whether that is sure.

    Layout, attributes and arrays are; the name of a file, and words of the param's description, are
    not.
    """
    words = set(re.findall(r"[a-z]{4,}", param.doc.lower()))

    def means(name: str) -> bool:
        own = name.rpartition("/")[2].lower()
        return own == param.name.lower() or own in words or (
            len(own) > 3 and any(w.startswith(own) for w in words)
        )  # fmt: skip

    for name, value in said.params.items():
        if means(name):
            return value, name.lower() == param.name.lower()
    for name, value in arrays.attributes.items():
        if means(name) and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value), name.lower() == param.name.lower()
    for key, own in arrays.described.items():
        if means(key) and math.prod(own.shape) == 1:
            return float(arrays.read(key).reshape(-1)[0]), True
        if means(key) and len(own.shape) == 1 and param.free:
            return key, True
    match = re.search(rf"(?<![a-z])({re.escape(param.name)}){NUMBER}", arrays.path.stem, re.I)
    return (float(match[2]) if match else None), False
