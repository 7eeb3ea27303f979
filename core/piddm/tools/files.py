"""Files that are whole or absent: atomic writing, and reading that trusts nothing.

Every failure is a :class:`~piddm.tools.errors.PiddmError` of one line that names the file and says
what to do. Formats are JSON and safetensors, which hold data and never code.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from piddm.tools import digests
from piddm.tools.atomic import atomic_path as atomic_path
from piddm.tools.errors import PiddmError

if TYPE_CHECKING:
    from torch import Tensor

Model = TypeVar("Model", bound=BaseModel)

KIND, VERSION = "piddm_kind", "piddm_schema_version"
"""Metadata of a tensor file: what it holds, and the version of its layout."""

SCHEMA_VERSION, OLDER = "2", ("1",)
"""Version of the layout that is written; and those that are read, without a digest."""

LARGEST = 1 << 26
"""Bytes of a JSON file, at most."""


@contextmanager
def reading(path: Path | str, what: str, *errors: type[Exception]) -> Iterator[Path]:
    """Turn what can go wrong while reading a file into one line.

    Args:
        path: The file.
        what: What it should be, for people: ``"dataset"``.
        *errors: What the reader of its format raises on a damaged file, beside ``OSError``.

    Raises:
        PiddmError: If the file is missing, may not be read, or is damaged or foreign.
    """
    try:
        if not Path(path).exists():
            raise PiddmError(f"there is no {what} at {path}; check the path, or make it first")
        if not Path(path).is_file():
            raise PiddmError(f"{path} is not a file; give the path of a {what}")
        yield Path(path)
    except PermissionError as error:
        raise PiddmError(f"cannot read {path}: permission denied; check who owns it") from error
    except (OSError, *errors) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise PiddmError(f"cannot read {str(path)[:80]}: {error.strerror}") from error
        raise PiddmError(
            f"{path} is damaged or not a {what} ({_one_line(error)}); "
            "restore it, or remove it and make it again"
        ) from error


def regular_text(path: Path | str, largest: int = LARGEST) -> str:
    """Return the text of a regular file; a pipe or a device may have no end.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is too large, no regular file, or no text.
    """
    path = Path(path)
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("it is no regular file")
    if size > largest:
        raise ValueError(f"it is larger than {largest >> 10} KiB")
    with path.open("rb") as handle:  # it may grow meanwhile, and files of the system have no size
        data = handle.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it is larger than {largest >> 10} KiB")
    return data.decode("utf-8")


def write_json(path: Path | str, data: Any) -> None:
    """Write plain data or a pydantic model as JSON, atomically; a model with its digest.

    Raises:
        PiddmError: If a number is not finite (JSON has no such number), or as for
            :func:`atomic_path`.
    """
    try:
        if isinstance(data, BaseModel):
            plain = data.model_dump(mode="json")
            data = {**plain, digests.KEY: digests.of_data(plain)}
        text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise PiddmError(f"cannot write {path}: {error}; write null where there is none") from error
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def read_json(path: Path | str, model: type[Model]) -> Model:
    """Read a JSON file and validate it; check its digest, which older files have not.

    Raises:
        PiddmError: If the file is missing, not JSON, not as the model says, or not as written.
    """
    with reading(path, "JSON file", ValueError) as source:
        text = regular_text(source)
    try:
        data = proven(text)
    except (ValueError, RecursionError) as error:
        raise PiddmError(f"{path}: {_one_line(error)}; correct it or remove the file") from error
    try:
        return model.model_validate_json(json.dumps(data))
    except (ValidationError, ValueError, RecursionError) as error:
        text = first_problem(error) if isinstance(error, ValidationError) else _one_line(error)
        raise PiddmError(f"{path}: {text}; correct it or remove the file") from error


def proven(text: str) -> Any:
    """Return the data of a JSON text, without the digest once that is checked.

    Raises:
        ValueError: If it is no JSON, or its content is not what was written.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"Invalid JSON: {error}") from error
    written = data.pop(digests.KEY, None) if isinstance(data, dict) else None
    if written is not None and written != digests.of_data(data):
        raise ValueError("its content is not what was written: it is damaged, or was edited")
    return data


def first_problem(error: ValidationError) -> str:
    """Return the first of a validation's problems in one line, and how many more there are."""
    problems = error.errors(include_url=False, include_input=False)
    place = ".".join(str(part) for part in problems[0]["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (f"{place}: " if place else "") + problems[0]["msg"] + more


def write_tensors(
    path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write named tensors as safetensors, atomically.

    Args:
        path: The file.
        tensors: Tensors by name.
        metadata: Text by name; ``piddm_kind`` says what the file holds, such as ``"teacher"``.
    """
    from safetensors.torch import save

    if not metadata.get(KIND):
        raise PiddmError(f"cannot write {path}: its metadata need a {KIND!r}")
    # The format refuses tensors that share memory, which tied weights and slices do.
    copies = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    told = {**metadata, VERSION: SCHEMA_VERSION}
    data = save(copies, {**told, digests.KEY: digests.of_tensors(copies, told)})
    with atomic_path(path) as part:
        part.write_bytes(data)


def read_tensors(path: Path | str, expect_kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what :func:`write_tensors` wrote; returns tensors (on the CPU) and metadata.

    Raises:
        PiddmError: If the file is missing, damaged, foreign, of another kind or another version.
    """
    from safetensors import SafetensorError, safe_open

    damage = (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, AttributeError)
    with (
        reading(path, f"{expect_kind} file", *damage),
        safe_open(path, framework="pt") as handle,
    ):
        metadata = dict(handle.metadata() or {})
        kind, version = metadata.get(KIND), metadata.get(VERSION)
        if kind is None:
            raise PiddmError(f"{path} was not written by piddm; give a {expect_kind} file")
        if kind != expect_kind:
            raise PiddmError(f"{path} holds a {kind}; give a {expect_kind} file")
        if version not in (SCHEMA_VERSION, *OLDER):
            raise PiddmError(
                f"{path} has layout {version}, this piddm reads {SCHEMA_VERSION}; "
                "use the piddm that wrote it, or make it again"
            )
        found = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
        written = metadata.pop(digests.KEY, "")
        if version == SCHEMA_VERSION and written != digests.of_tensors(found, metadata):
            raise ValueError("its content is not what was written")
    return found, metadata


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
