"""A map: which arrays of a file are which fields, and where their values are. TOML, validated.

::

    pde = "poisson"

    [axes.x]
    lower = 0.0
    upper = 1.0
    location = "vertex"

    [fields.a]
    key = "f_data"
    order = ["sample", "x", "y"]
    factor = -1.0
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError

from piddm.tools.atomic import atomic_path
from piddm.tools.errors import PiddmError
from piddm.tools.files import first_problem, reading, regular_text

LEFT_OUT = "-"
"""Name of an axis of an array, in ``order``, of which the first entry is taken."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AxisMap(_Part):
    """Where nodes are along an axis.

    Attributes:
        coordinates: Key of stored coordinates; else ``location`` says where nodes are.
        lower: Lower end of the domain: a wall, or the seam of a periodic axis, or the first time.
        upper: Upper end: a wall, the seam again, or the last time.
        location: ``vertex``, both ends are nodes; ``centre``, nodes are centres of equal cells;
            ``outside``, the first node is the lower end and the upper one lies a spacing behind the
            last; ``periodic``.
        closed: Of a periodic axis, whether the seam is stored twice: the last node is left out.
        flip: Whether the file goes from the upper end to the lower one.
        every: Of how many nodes one is taken.
    """

    coordinates: str | None = None
    lower: FiniteFloat | None = None
    upper: FiniteFloat | None = None
    location: Literal["vertex", "centre", "outside", "periodic"] | None = None
    closed: bool = False
    flip: bool = False
    every: Annotated[int, Field(ge=1)] = 1


class FieldMap(_Part):
    """Where a field's values are.

    Attributes:
        key: The array.
        order: Names of its axes: ``sample``, ``channel``, those of the grid, ``-`` for one that is
            left out.
        channel: Which channel.
        factor: What values are multiplied by, to be in the equation's units.
        offset: What is added to them then.
        time: Of an array without an axis of time: which time it is of, ``first`` or ``last``.
    """

    key: str
    order: tuple[str, ...]
    channel: Annotated[int, Field(ge=0)] = 0
    factor: FiniteFloat = 1.0
    offset: FiniteFloat = 0.0
    time: Literal["first", "last"] | None = None


class ParamMap(_Part):
    """A param: a value, or the array of one for each sample.

    Attributes:
        value: The value, as the file has it.
        key: The array.
        factor: What it is multiplied by.
    """

    value: FiniteFloat | None = None
    key: str | None = None
    factor: FiniteFloat = 1.0


def _listed(value: object) -> object:
    return [value] if isinstance(value, (dict, FieldMap)) else value


Pieces = Annotated[tuple[FieldMap, ...], BeforeValidator(_listed)]
"""One array, or one for each of two times."""


class DataMap(_Part):
    """All that tells a file's arrays from a data set.

    Attributes:
        pde: The equation's name.
        reader: Name of the reader; by the file's content where it is left out.
        axes: By name of the grid's axis.
        fields: By name of the equation's field.
        params: By name.
        first: The first sample.
        count: How many samples; all where it is left out.
        nan: Whether samples with values that are not finite are refused, dropped, or, by a check
            alone, measured where they have values.
    """

    pde: str
    reader: str = ""
    axes: dict[str, AxisMap]
    fields: dict[str, Pieces]
    params: dict[str, ParamMap] = {}
    first: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1)] | None = None
    nan: Literal["refuse", "drop", "mask"] = "refuse"


def read_map(path: Path | str) -> DataMap:
    """Read a map.

    Raises:
        PiddmError: If it is no TOML, or not such a map; the first mistake is named.
    """
    import tomllib

    with reading(path, "map", ValueError) as source:
        text = regular_text(source)
    try:
        return DataMap.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PiddmError(f"{path} is no TOML: {error}") from error
    except ValidationError as error:
        raise PiddmError(f"{path}: {first_problem(error)}") from error


def write_map(found: DataMap, path: Path | str) -> None:
    """Write a map, atomically."""
    with atomic_path(path) as part:
        part.write_text(map_text(found), encoding="utf-8")


def map_text(found: DataMap) -> str:
    """Return a map as TOML."""
    lines = [f"pde = {_value(found.pde)}"]
    if found.reader:
        lines.append(f"reader = {_value(found.reader)}")
    for name in ("nan", "first", "count"):
        if (value := getattr(found, name)) != DataMap.model_fields[name].default:
            lines.append(f"{name} = {_value(value)}")
    for group, parts in (("axes", found.axes), ("params", found.params)):
        for name, part in parts.items():
            lines += ["", f"[{group}.{name}]", *_lines(part)]
    for name, pieces in found.fields.items():
        brackets = f"[fields.{name}]" if len(pieces) == 1 else f"[[fields.{name}]]"
        for piece in pieces:
            lines += ["", brackets, *_lines(piece)]
    return "\n".join(lines) + "\n"


def _lines(part: BaseModel) -> list[str]:
    plain = part.model_dump(exclude_defaults=True)
    return [f"{name} = {_value(value)}" for name, value in plain.items() if value is not None]


def _value(value: object) -> str:
    import json

    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)
