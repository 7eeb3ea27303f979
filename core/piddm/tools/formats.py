"""Formats of files by their first bytes: a name may say anything."""

from __future__ import annotations

from pathlib import Path

HDF5 = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""

_SIGNATURES = (
    (b"MATLAB 7.3 MAT-file", "a MATLAB file of version 7.3"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file of version 5"),
    (b"\x93NUMPY", "a NumPy array (npy)"),
    (b"PK\x03\x04", "an archive (npz, xlsx or zip)"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"BZh", "compressed by bzip2"),
    (b"\xfd7zXZ", "compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd"),
    (b"CDF\x01", "a netCDF file of version 3"),
    (b"CDF\x02", "a netCDF file of version 3"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x0e\x03\x13\x01", "an HDF4 file"),
    (b"SIMPLE  =", "a FITS file"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)
"""First bytes of other kinds of files, with what they are called."""


def is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file; one that is too long leads to none."""
    try:
        return path.is_file()
    except OSError:
        return False


def head(path: Path, count: int = 512) -> bytes:
    """Return a regular file's first bytes; none of what is missing or no file."""
    if not is_file(path):
        return b""
    try:
        with path.open("rb") as handle:
            return handle.read(count)
    except OSError:
        return b""


def is_hdf5(path: Path) -> bool:
    """Return whether a file is one of HDF5, damaged or not, by its first bytes or its name."""
    first = head(path, len(HDF5))
    return first == HDF5 or path.suffix in (".h5", ".hdf5")


def foreign(path: Path) -> str:
    """Return what a file of another format is, for people; nothing where that is not known."""
    first = head(path)
    for signature, kind in _SIGNATURES:
        if first.startswith(signature):
            return kind
    return ""
