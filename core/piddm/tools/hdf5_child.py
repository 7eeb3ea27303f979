"""Reads HDF5 files in a process of its own, which limits of time and memory end.

Damage, or malice, in a file can keep HDF5 busy for ever within one call, which nothing in its own
process can stop. :mod:`piddm.tools.hdf5_reading` runs this file as a program: it imports h5py and
numpy and nothing of piddm, so that it starts in a quarter of a second, and reads one file after
another.

A question is a line of JSON on standard input: of a whole file, of its ``outline`` without
numbers, or of one ``part`` of one array, the slices ``at`` along its axes. An answer is a sequence
of frames, each a letter, a length (8 bytes, little-endian) and so many bytes: ``H`` the tree of
objects as JSON, ``D`` a piece of an array, ``E`` the end as JSON, with the digest of all that was
read, or why there is none.
"""

from __future__ import annotations

import hashlib
import json
import math
import signal
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

DIGEST = "sha256"
"""Attribute of the root: the digest of everything else in the file."""

PIECE = 1 << 26
"""Bytes of an array that are read at a time."""

SPACE = 1 << 26
"""Bytes of arrays that a file of any size may hold."""

RATIO = 16
"""Bytes of arrays per byte of the file, at most: more is no compression of measured numbers."""

LARGEST_PART = 1 << 27
"""Bytes of a part of an array that is asked for, at most."""

OBJECTS, DEPTH, ELEMENTS = 100_000, 32, 65_536
"""Objects in a file, groups within groups, and elements of an attribute, at most."""


class Refused(Exception):
    """The file holds what no file may."""


class Entry(NamedTuple):
    """A group or an array of a file."""

    path: str
    node: h5py.Group | h5py.Dataset


def entries(file: h5py.Group) -> Iterator[Entry]:
    """Yield every object once, by name within its group, a group before its members.

    Raises:
        Refused: At a link that could make a reader open another file, at a second link to an
            object (doubled links make exponentially many paths), and where there is too much.
    """
    seen = {_address(file)}
    stack = [("/", file, 0)]
    count = 1
    while stack:
        path, node, depth = stack.pop()
        yield Entry(path, node)
        if not isinstance(node, h5py.Group):
            continue
        found = []
        for name in sorted(node):
            count += 1
            if count > OBJECTS or depth >= DEPTH:
                raise Refused(f"{path!r} holds too many objects, or too deep ones")
            link = node.get(name, getlink=True)
            child = node[name] if isinstance(link, h5py.HardLink) else None
            outside = isinstance(child, h5py.Dataset) and (child.external or child.is_virtual)
            if outside or not isinstance(child, (h5py.Group, h5py.Dataset)):
                raise Refused(f"{name!r} in {path} refers to data elsewhere, as no dataset may")
            address = _address(child)
            if address in seen:
                raise Refused(f"{name!r} in {path} is a second link to an object, as no file needs")
            seen.add(address)
            found.append((f"{path.rstrip('/')}/{name}", child, depth + 1))
        stack += reversed(found)


def _address(node: h5py.Group | h5py.Dataset) -> int:
    return h5py.h5o.get_info(node.id).addr  # pyright: ignore[reportAttributeAccessIssue]


def attributes(node: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Return an object's attributes as plain data, by name.

    Raises:
        Refused: If one is too large.
    """
    found = {}
    for name in sorted(node.attrs):
        if math.prod(node.attrs.get_id(name).shape or ()) > ELEMENTS:
            raise Refused(f"the attribute {name!r} of {node.name} is too large")
        found[name] = plain(node.attrs[name])
    return found


def plain(value: Any) -> Any:
    """Return an attribute as plain data, text decoded."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def readable(node: h5py.Dataset) -> bool:
    """Return whether an array is of numbers, which have one size."""
    return node.dtype.kind in "biufc" and node.shape is not None


def bounded(found: list[Entry], size: int, ratio: int = RATIO) -> None:
    """Refuse arrays that are out of all proportion to the file, before any is read.

    Args:
        found: The objects.
        size: Bytes of the file.
        ratio: Bytes of arrays per byte of the file, at most.

    Raises:
        Refused: If there is more than a compressed file of numbers can hold.
    """
    total = sum(e.node.nbytes for e in found if isinstance(e.node, h5py.Dataset))
    if total > SPACE + ratio * size:
        raise Refused(
            f"its arrays would take {total / 2**30:.3g} GiB, out of {size / 2**20:.3g} MiB on disk"
        )


def pieces(node: h5py.Dataset) -> Iterator[np.ndarray]:
    """Yield an array in contiguous parts, row by row where it is large."""
    if not node.shape or node.nbytes <= PIECE:
        yield np.ascontiguousarray(node[()])
        return
    rows = max(1, PIECE * node.shape[0] // node.nbytes)
    for start in range(0, node.shape[0], rows):
        yield np.ascontiguousarray(node[start : start + rows])


def digest(
    found: list[Entry], told: list[dict[str, Any]], take: Callable[[Any], None] | None = None
) -> str:
    """Return the digest of names, attributes and numbers; hand each piece of an array over.

    Args:
        found: The objects.
        told: Their attributes.
        take: Called with the bytes of each piece of the readable arrays.
    """
    total = hashlib.sha256()
    for entry, own in zip(found, told, strict=True):
        counted = {k: v for k, v in own.items() if (entry.path, k) != ("/", DIGEST)}
        node = entry.node if isinstance(entry.node, h5py.Dataset) else None
        said = [entry.path, counted, *([] if node is None else [node.dtype.str, node.shape])]
        total.update(json.dumps(said, sort_keys=True).encode())
        if node is None or not readable(node):
            continue
        for piece in pieces(node):
            data = piece.reshape(-1).view(np.uint8).data
            total.update(data)
            if take is not None and len(data):
                take(data)
    return total.hexdigest()


def content_digest(file: h5py.File) -> str:
    """Return the digest of an open file's content, for :data:`DIGEST`."""
    found = list(entries(file))
    return digest(found, [attributes(e.node) for e in found])


def _described(entry: Entry, own: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"path": entry.path, "attributes": own}
    if isinstance(entry.node, h5py.Dataset):
        shape = entry.node.shape
        said |= {
            "dtype": entry.node.dtype.str,
            "shape": None if shape is None else list(shape),
            "readable": readable(entry.node),
        }
    return said


def _part(node: Any, at: list[list[int]], send: Callable[[bytes, Any], None]) -> dict[str, str]:
    """Send some of an array: ``[start, stop, step]`` along each axis."""
    if not isinstance(node, h5py.Dataset) or not readable(node):
        raise Refused("there is no array of numbers of this name")
    index = tuple(slice(*along) for along in at)
    size = math.prod(len(range(*s.indices(n))) for s, n in zip(index, node.shape, strict=True))
    if size * node.dtype.itemsize > LARGEST_PART:
        raise Refused(f"{size * node.dtype.itemsize / 2**20:.3g} MiB are too much at once")
    values = np.asarray(node[index] if index else node[()], order="C")
    said = {"path": "/part", "attributes": {}, "dtype": values.dtype.str,
            "shape": list(values.shape), "readable": True}  # fmt: skip
    send(b"H", json.dumps([{"path": "/", "attributes": {}}, said]).encode())
    data = values.reshape(-1).view(np.uint8).data
    for start in range(0, len(data), PIECE):
        send(b"D", data[start : start + PIECE])
    return {DIGEST: ""}


def _answer(asked: dict[str, Any], send: Callable[[bytes, Any], None]) -> dict[str, str]:
    """Read a file, sending what is asked of it; return how it ended."""
    path = asked["path"]
    try:
        with h5py.File(path, "r", locking=False) as file:
            if "part" in asked:
                return _part(file.get(asked["part"]), asked["at"], send)
            found = list(entries(file))
            bounded(found, Path(path).stat().st_size, asked.get("ratio", RATIO))
            told = [attributes(e.node) for e in found]
            described = [_described(*pair) for pair in zip(found, told, strict=True)]
            if asked.get("outline"):
                plain_only = [d | {"numbers": d.get("readable"), "readable": False}
                              for d in described]  # fmt: skip
                send(b"H", json.dumps(plain_only).encode())
                return {DIGEST: ""}
            send(b"H", json.dumps(described).encode())
            return {DIGEST: digest(found, told, lambda data: send(b"D", data))}
    except Refused as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"damaged": "it asks for more memory than its size can need"}
    except Exception as error:  # whatever damage makes h5py raise
        return {"damaged": f"{type(error).__name__}: {error}"}


def _limited(seconds: float, space: int) -> None:
    """Let the system end this process where it works too long, and refuse it more memory."""
    with suppress(ImportError, AttributeError, OSError, ValueError):  # where systems lack them
        import resource

        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        now = int(pages) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (now + space, hard))
    with suppress(AttributeError, OSError):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def main() -> None:
    """Answer until there are no more questions."""
    out = sys.stdout.buffer

    def send(kind: bytes, data: Any) -> None:
        out.write(kind + struct.pack("<q", len(data)))
        out.write(data)

    for line in sys.stdin:
        asked = json.loads(line)
        _limited(asked["seconds"], asked["space"])
        ended = _answer(asked, send)
        _limited(0, asked["space"])
        send(b"E", json.dumps(ended).encode())
        out.flush()


if __name__ == "__main__":
    main()
