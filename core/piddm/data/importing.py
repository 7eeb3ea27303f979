"""Samples of others as a data set of piddm's, written some at a time: files of any size."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import torch
from torch import Tensor

from piddm.data.dataset import Dataset, write_layout
from piddm.data.sample_source import Samples
from piddm.data.trying import whole
from piddm.equation import PDE
from piddm.residuals import ranges
from piddm.residuals.norms import mean_squares, term_scale
from piddm.residuals.residual import Residual
from piddm.tools.errors import PiddmError
from piddm.tools.hdf5 import created, put_text
from piddm.tools.progress import Progress

NAMED = 6
"""Samples that a refusal names, at most."""


@dataclass(frozen=True)
class Imported:
    """What became of an import.

    Args:
        path: The data set.
        about: The data set with its first samples only.
        count: How many samples it has.
        dropped: Those that were left out, by index in the file of others.
    """

    path: Path
    about: Dataset
    count: int
    dropped: tuple[int, ...]


def imported(
    pde: PDE, samples: Samples, path: Path, drop: bool = False
) -> Generator[Progress, None, Imported]:
    """Write samples as a data set: the whole file, or nothing.

    They are read twice: for what is not finite and the scale of each row, then to be written and
    for their floor, which is their own PDE error.

    Args:
        pde: The equation.
        samples: The samples.
        path: The data set.
        drop: Whether samples that are not finite are left out, rather than refused.

    Raises:
        PiddmError: If values are not finite or out of a field's range, or nothing is left.
    """
    params = dict(samples.params)
    own = samples.place(pde)
    residual = own.bind(samples.grid)
    good, scale = list[Tensor](), dict[str, float]()
    first: dict[str, Tensor] | None = None
    bad: dict[str, int] = {}
    seen = 0
    for start, chunk in samples.chunks():
        sound = _sound(chunk, start, bad)
        good.append(sound)
        fields = {k: v[sound] for k, v in chunk.items()}
        if n := int(sound.sum()):
            ranges.check(fields, pde.bounds, f"{samples.what}: ")
            full = whole(residual, _named(residual, fields, samples.what))
            for name, value in term_scale(residual, full).items():
                scale[name] = scale.get(name, 0.0) + value**2 * n
            seen += n
            first = first or {k: v[:2].clone() for k, v in _kept(residual, full, fields).items()}
        yield Progress("look", start + len(sound), samples.count, {})
    kept = torch.cat(good)
    if bad and not drop:
        places = [str(int(i)) for i in (~kept).nonzero()[:NAMED, 0]]
        told = ", ".join(f"{n} in {k}" for k, n in bad.items())
        more = ", ..." if int((~kept).sum()) > NAMED else ""
        raise PiddmError(
            f"{samples.what}: {told} values are not finite, in {int((~kept).sum())} of "
            f"{samples.count} samples ({', '.join(places)}{more}); leave them out with --nan drop"
        )
    if first is None:
        raise PiddmError(f"{samples.what}: no sample of {samples.count} has only finite values")
    scale = {k: (v / seen) ** 0.5 for k, v in scale.items()}
    if zero := [k for k, v in scale.items() if v == 0]:
        raise PiddmError(f"{samples.what}: all terms of {zero[0]} are zero; are these the fields?")
    about = Dataset(
        pde.name, samples.grid, first, scale, dict.fromkeys(scale, 0.0), 0, "",
        params, Path(samples.what).name, dict(samples.computed),
    )  # fmt: skip
    floor = dict.fromkeys(scale, 0.0)
    with created(path) as file:
        arrays = write_layout(file, about, seen)
        at = 0
        for start, chunk in samples.chunks():
            fields = {k: v[kept[start : start + len(v)]] for k, v in chunk.items()}
            if not (n := len(next(iter(fields.values())))):
                continue
            full = whole(residual, fields)
            for name, value in mean_squares(residual, full, scale).items():
                floor[name] += float(value) * n / seen
            _put(arrays, _kept(residual, full, fields), at)
            at += n
            yield Progress("import", start + len(next(iter(chunk.values()))), samples.count, floor)
        about = replace(about, floor=floor)
        import json

        put_text(file, "floor", json.dumps(floor))
    dropped = tuple(int(i) for i in (~kept).nonzero()[:, 0])
    return Imported(path, about, seen, dropped)


def _put(arrays: Mapping[str, h5py.Dataset], fields: Mapping[str, Tensor], at: int) -> None:
    for name, values in fields.items():
        arrays[name][at : at + len(values)] = values.numpy()


def _kept(
    residual: Residual, full: Mapping[str, Tensor], fields: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return what is stored: fields as they came, free params as they came or were fitted."""
    names = (*residual.field_names, *residual.free_params)
    return {k: fields[k] if k in fields else full[k] for k in names}


def _named(residual: Residual, fields: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    if missing := [k for k in residual.field_names if k not in fields]:
        raise PiddmError(f"{what}: no values of {', '.join(missing)}")
    return fields


def _sound(chunk: Mapping[str, Tensor], start: int, bad: dict[str, int]) -> Tensor:
    """Return which samples are finite, and count what is not, by field."""
    parts: Iterator[tuple[str, Tensor]] = ((k, ~torch.isfinite(v)) for k, v in chunk.items())
    sound = []
    for name, wrong in parts:
        if count := int(wrong.sum()):
            bad[name] = bad.get(name, 0) + count
        sound.append(~wrong.flatten(1).any(1))
    return torch.stack(sound).all(0)
