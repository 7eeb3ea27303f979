"""Files that are whole or absent: atomic writing, and reading that trusts nothing.

Every failure is a :class:`~piddm.errors.PiddmError` of one line that names the file and says what
to do. Formats are JSON and safetensors, which hold data and never code.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from piddm.errors import PiddmError

if TYPE_CHECKING:
    from torch import Tensor

Model = TypeVar("Model", bound=BaseModel)

KIND, VERSION = "piddm_kind", "piddm_schema_version"
"""Metadata of a tensor file: what it holds, and the version of its layout."""

SCHEMA_VERSION = "1"

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space and run it again",
    errno.EDQUOT: "the disk quota is used up; free some space and run it again",
    errno.EFBIG: "the file would be larger than allowed; write elsewhere or raise the limit",
    errno.EACCES: "permission denied; choose a folder you may write to",
    errno.EROFS: "the disk is read-only; choose a folder you may write to",
    errno.EISDIR: "it is a folder; choose another name",
    errno.EEXIST: "a part of the path is a file; choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
}


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path to write to; on success flush it to disk and move it to ``path``.

    Readers see the old file or the whole new one, and a failure leaves nothing behind.

    Raises:
        PiddmError: If the file cannot be written: a full disk, no permission.
    """
    target = Path(path)
    # In the same folder, since a move between disks is not atomic; the suffix stays, since
    # writers of figures choose the format by it.
    part = target.parent / f".{secrets.token_hex(4)}.{target.name}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.replace(target)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, f"{_one_line(error)}; check the path and the disk")
        raise PiddmError(f"cannot write {target}: {advice}") from error
    finally:
        with suppress(OSError):
            part.unlink()


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
        raise PiddmError(
            f"{path} is damaged or not a {what} ({_one_line(error)}); "
            "restore it, or remove it and make it again"
        ) from error


def write_json(path: Path | str, data: Any) -> None:
    """Write plain data or a pydantic model as JSON, atomically.

    Raises:
        PiddmError: If a number is not finite (JSON has no such number), or as for
            :func:`atomic_path`.
    """
    if isinstance(data, BaseModel):
        data = data.model_dump(mode="json")
    try:
        text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise PiddmError(f"cannot write {path}: {error}; write null where there is none") from error
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def read_json(path: Path | str, model: type[Model]) -> Model:
    """Read a JSON file and validate it.

    Raises:
        PiddmError: If the file is missing, not JSON, or not as the model says.
    """
    with reading(path, "JSON file", UnicodeDecodeError) as source:
        text = source.read_text(encoding="utf-8")
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise PiddmError(
            f"{path}: {first_problem(error)}; correct it or remove the file"
        ) from error


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
    data = save(copies, {**metadata, VERSION: SCHEMA_VERSION})
    with atomic_path(path) as part:
        part.write_bytes(data)


def read_tensors(path: Path | str, expect_kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what :func:`write_tensors` wrote; returns tensors (on the CPU) and metadata.

    Raises:
        PiddmError: If the file is missing, damaged, foreign, of another kind or another version.
    """
    from safetensors import SafetensorError, safe_open

    with (
        reading(path, f"{expect_kind} file", SafetensorError),
        safe_open(path, framework="pt") as handle,
    ):
        metadata = dict(handle.metadata() or {})
        kind, version = metadata.get(KIND), metadata.get(VERSION)
        if kind is None:
            raise PiddmError(f"{path} was not written by piddm; give a {expect_kind} file")
        if kind != expect_kind:
            raise PiddmError(f"{path} holds a {kind}; give a {expect_kind} file")
        if version != SCHEMA_VERSION:
            raise PiddmError(
                f"{path} has layout {version}, this piddm reads {SCHEMA_VERSION}; "
                "use the piddm that wrote it, or make it again"
            )
        return {name: handle.get_tensor(name) for name in handle.keys()}, metadata  # noqa: SIM118


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
