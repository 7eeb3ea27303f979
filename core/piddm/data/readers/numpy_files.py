"""NumPy's files: an array behind a memory map, an archive of arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from piddm.data.readers.named_arrays import KINDS, Arrays, Described, Held, Whole
from piddm.data.readers.reader import Reader
from piddm.tools.errors import PiddmError

RATIO, SPACE = 200, 1 << 26
"""Bytes of arrays per byte of an archive, at most, beyond so many bytes."""

NPY, ZIP = b"\x93NUMPY", b"PK\x03\x04"
"""How arrays and archives begin."""

OBJECTS = "holds Python objects, which run code as they are read, and are not read; save numbers"
"""Why arrays of objects are refused."""


class NpyReader(Reader):
    """One array; its key is the file's name without its ending."""

    def opens(self, path: Path, first: bytes) -> bool:
        """Return whether it begins as such."""
        return first.startswith(NPY)

    def arrays(self, path: Path) -> Arrays:
        """Open a file."""
        try:
            with path.open("rb") as handle:
                _, _, dtype = _header(handle)
            if dtype.hasobject:
                raise PiddmError(f"{path} {OBJECTS}")
            return Held(path, {path.stem: np.load(path, mmap_mode="r")})
        except (ValueError, OSError, EOFError) as error:
            text = " ".join(str(error).split())
            raise PiddmError(f"{path} is a damaged NumPy file ({text}); restore it") from error


class NpzReader(Reader):
    """An archive of arrays, compressed or not."""

    def opens(self, path: Path, first: bytes) -> bool:
        """Return whether it is an archive with an array in it."""
        return first.startswith(ZIP) and any(n.endswith(".npy") for n in members(path))

    def arrays(self, path: Path) -> Arrays:
        """Open a file."""
        return _Archive(path)


class _Archive(Whole):
    """Arrays of an archive, each read when it is first asked for."""

    def __init__(self, path: Path) -> None:
        found: dict[str, Described] = {}
        skipped: dict[str, str] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                total = sum(info.file_size for info in archive.infolist())
                if total > SPACE + RATIO * path.stat().st_size:
                    raise PiddmError(
                        f"{path}: its arrays would take {total / 2**30:.3g} GiB, out of "
                        f"{path.stat().st_size / 2**20:.3g} MiB on disk; save them uncompressed"
                    )
                for info in archive.infolist():
                    if not info.filename.endswith(".npy"):
                        continue
                    key = info.filename.removesuffix(".npy")
                    with archive.open(info) as handle:
                        shape, _, dtype = _header(handle)
                    if dtype.kind in KINDS:
                        found[key] = Described(key, shape, dtype)
                    else:
                        skipped[key] = OBJECTS if dtype.hasobject else f"holds {dtype}, no numbers"
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
            raise _damaged(path, error) from error
        if skipped and not found:
            key, why = next(iter(skipped.items()))
            raise PiddmError(f"{path}: {key} {why}")
        super().__init__(path, found, {}, skipped)

    @property
    def advice(self) -> str:
        """What to do where an array does not fit into memory."""
        return "save it as npy or HDF5, which are read in parts"

    def whole(self, key: str) -> np.ndarray:
        """Return an array of the archive."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{key}.npy") as handle:
                return np.lib.format.read_array(handle, allow_pickle=False)
        except (zipfile.BadZipFile, ValueError, OSError, EOFError) as error:
            raise _damaged(self.path, error) from error


def members(path: Path) -> list[str]:
    """Return the names of what is in an archive; nothing where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return []


def _header(handle: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(handle)
    read = (np.lib.format.read_array_header_1_0 if version == (1, 0)
            else np.lib.format.read_array_header_2_0)  # fmt: skip
    return read(handle)


def _damaged(path: Path, error: Exception) -> PiddmError:
    return PiddmError(f"{path} is a damaged npz ({' '.join(str(error).split())}); restore it")
