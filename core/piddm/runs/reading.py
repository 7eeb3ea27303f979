"""Files of others and of piddm's own, opened by the readers that there are."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from piddm.checking.checks import REPLAYED, examine
from piddm.checking.findings import Report
from piddm.data import dataset
from piddm.data.dataset import Dataset
from piddm.data.file_maps import DataMap, read_map
from piddm.data.importing import Imported, imported
from piddm.data.no_equation import no_equation, without_equation
from piddm.data.plain_maps import plain_map
from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.reader import Reader, one, recognised
from piddm.data.readers.said import Said
from piddm.data.sample_source import Loaded, Mapped, Samples
from piddm.data.suggesting import Suggestion, suggest
from piddm.equation import PDE
from piddm.plugins.loader import current, get_pde
from piddm.runs.fingerprints import digest
from piddm.runs.folder import home
from piddm.tools.about import NO_EQUATION
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress, follow

Result = TypeVar("Result")

OWN = "piddm"
"""Name of the reader of piddm's own data sets, which need no map."""

MASKED = (
    "which is for piddm check: training and solving need every value of a sample; leave those with "
    "holes out with --nan drop, or fill them"
)
"""Why nothing with holes is imported."""


def readers() -> list[tuple[str, Reader]]:
    """Return all readers by name, those of plugins first."""
    plugins = current()
    entries = plugins.list_all("reader")
    entries.sort(key=lambda entry: plugins.built_in("reader", entry.name))
    return [(e.name, plugins.build("reader", e.name, Reader)) for e in entries]


def opened(path: Path | str, reader: str = "") -> tuple[str, Arrays, Said]:
    """Return the name of the reader that knows a file, its arrays, and what it says of them."""
    every = readers()
    return recognised(path, one(reader, every) if reader else every)


def suggestion(path: Path | str, pde: PDE, reader: str = "") -> Suggestion:
    """Return a map of a file for an equation, and what was tried for it.

    Raises:
        UsageError: If it is piddm's own, which needs none.
        PiddmError: If it cannot be read, or nothing fits.
    """
    name, arrays, said = opened(path, reader)
    if name == OWN:
        raise UsageError(f"{path} is a data set of piddm's: it needs no map")
    return _suggested(arrays, said, pde, name)


def _suggested(arrays: Arrays, said: Said, pde: PDE, reader: str) -> Suggestion:
    if pde.name == NO_EQUATION:
        return plain_map(arrays, said, pde.field_names, reader)
    return suggest(arrays, said, pde, reader)


def samples_of(
    path: Path | str, pde: PDE, told: DataMap | Path | str | None = None, reader: str = ""
) -> tuple[Samples, Suggestion | None]:
    """Return the samples of a file, and the suggestion where the map had to be found.

    Args:
        path: A data set of piddm's, or a file of others.
        pde: The equation.
        told: The map of a file of others, or a file of it; what fits best where none is given.
        reader: Name of the reader; the map's, or by content, where none is given.

    Raises:
        UsageError: If the data are of another equation.
        PiddmError: If the file or the map cannot be read.
    """
    if told is not None and not isinstance(told, DataMap):
        told = read_map(told)
    name, arrays, said = opened(path, reader or (told.reader if told else ""))
    if name == OWN:
        data = dataset.read(path)
        if pde.name == NO_EQUATION:
            return Loaded(without_equation(data, pde.field_names, str(path)), str(path)), None
        if data.pde != pde.name:
            raise UsageError(f"{path} holds data of {data.pde}, asked is {pde.name}")
        return Loaded(data, str(path)), None
    found = None if told else _suggested(arrays, said, pde, name)
    told = told or found.map  # pyright: ignore
    if pde.name == NO_EQUATION:
        pde = no_equation(pde.field_names, tuple(told.axes))
    return Mapped(arrays, told, pde), found


def import_data(
    path: Path | str,
    pde: PDE | str | None,
    out: Path | str,
    map: DataMap | Path | str | None = None,  # as the command calls it
    *,
    fields: Sequence[str] | str = (),
    drop: bool = False,
    reader: str = "",
    progress: bool = True,
) -> tuple[Imported, Suggestion | None]:
    """Make a data set of piddm's of a file of others, some samples at a time.

    Args:
        path: The file, or a zarr store.
        pde: The equation, or its name; None where none is known.
        out: The data set to write.
        map: The map of the file; what fits the equation best where none is given.
        fields: Without an equation: the arrays that are the fields, ``"u,v"``.
        drop: Whether samples that are not finite are left out.
        reader: Name of the reader; by the file's content where none is given.
        progress: Whether to show progress, on standard error.

    Returns:
        What became of it, and the suggestion where the map had to be found.

    Raises:
        UsageError: If the map, or a name, cannot be used.
        PiddmError: If the file cannot be read, or its values not be taken.
    """
    pde = equation_or_fields(pde, fields)
    samples, found = samples_of(path, pde, map, reader)
    if (nan := _told(samples)) == "mask":
        raise UsageError(f'{path}: the map says nan = "mask", {MASKED}')
    drop = drop or nan == "drop"
    return last_of(imported(pde, samples, Path(out), drop), progress), found


def _told(samples: Samples) -> str:
    """Return what a map says of values that are not finite."""
    return samples.told.nan if isinstance(samples, Mapped) else "refuse"


def equation_or_fields(pde: PDE | str | None, fields: Sequence[str] | str = ()) -> PDE:
    """Return an equation, or what stands for one of these fields where none is known.

    Args:
        pde: The equation, or its name.
        fields: Names of fields, ``"u,v"``.

    Raises:
        UsageError: If neither is given, or both.
    """
    names = fields.split(",") if isinstance(fields, str) and fields else [*fields]
    names = [name.strip() for name in names]
    if pde is None and names:
        return no_equation(names)
    if pde is None:
        raise UsageError("give the equation, --pde NAME, or the fields of data without one, "
                         "--fields u,v")  # fmt: skip
    if names:
        raise UsageError("fields are named of data without an equation only: leave out one of both")
    return get_pde(pde) if isinstance(pde, str) else pde


def as_data_set(
    path: Path | str, pde: PDE, map: DataMap | Path | str | None = None, progress: bool = True
) -> Path:
    """Return a data set of piddm's: the file itself, or the one that is imported from it.

    What was taken for granted or computed is told on standard error.

    Args:
        path: A data set of piddm's, or a file of others.
        pde: The equation.
        map: The map of a file of others.
        progress: Whether to show progress, on standard error.
    """
    if opened(path)[0] == OWN and dataset.read(path).pde == pde.name:
        if map is not None:
            raise UsageError(f"{path} is a data set of piddm's: it needs no map")
        return Path(path)
    about = [str(Path(path).resolve()), list(pde.field_names), str(map)]
    made = home() / "data" / f"{pde.name}-{Path(path).stem}-{digest(about)}.h5"
    done, found = import_data(path, pde, made, map, progress=progress)
    told = [f"{k} is not in the file: computed from {', '.join(v)}"
            for k, v in done.about.computed.items()]  # fmt: skip
    if found is not None:
        told += [f"warning: taken for granted: {said}; --map says otherwise"
                 for said in (*found.open, *found.assumed)]  # fmt: skip
    for line in told if progress else ():
        print(line, file=sys.stderr, flush=True)
    return made


def check(
    data: Dataset | Path | str,
    pde: PDE | str,
    map: DataMap | Path | str | None = None,  # as the command calls it
    *,
    count: int | None = None,
    replay: int = REPLAYED,
    mask: bool = False,
    progress: bool = True,
) -> Report:
    """Check data against an equation: is it theirs, and what is probably wrong where not?

    Args:
        data: A data set, or a file of piddm's or of others.
        pde: The equation, or its name.
        map: The map of a file of others; what fits the equation best where none is given.
        count: How many samples are measured; all where none is given.
        replay: How many are solved again from their own inputs.
        mask: Whether samples with missing values count too, by the rows that touch none of them,
            as with ``nan = "mask"`` in the map; they are left out otherwise.
        progress: Whether to show progress, on standard error.

    Raises:
        UsageError: If the map, or a name, cannot be used.
        PiddmError: If the file cannot be read, or no sample is finite.
    """
    pde = get_pde(pde) if isinstance(pde, str) else pde
    if isinstance(data, Dataset):
        samples: Samples = Loaded(data)
    elif pde.name == NO_EQUATION:
        raise UsageError("a check is of an equation: give --pde NAME")
    else:
        samples, _ = samples_of(data, pde, map)
    masked = mask or _told(samples) == "mask"
    return last_of(examine(pde, samples, count, replay, masked), progress)


def last_of(work: Generator[Progress, None, Result], progress: bool) -> Result:
    """Run work to its end, showing its progress; return what it returns."""
    found: list[Result] = []

    def steps() -> Iterator[Progress]:
        found.append((yield from work))

    follow(steps(), quiet=not progress)
    return found[0]
