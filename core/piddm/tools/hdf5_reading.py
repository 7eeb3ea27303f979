"""HDF5 files as groups of arrays and attributes, read by a process that limits and Ctrl-C end."""

from __future__ import annotations

import atexit
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np

from piddm.tools import hdf5_child, memory
from piddm.tools.errors import PiddmError
from piddm.tools.files import reading
from piddm.tools.formats import foreign
from piddm.tools.hdf5_child import DIGEST, PIECE, RATIO, SPACE

if TYPE_CHECKING:
    from torch import Tensor

WORK, WAIT, SPEED = 1.5, 15.0, 20e6
"""Seconds of processor, and of waiting, that any file may take; bytes a second beyond that."""

ROOM = 1 << 28
"""Bytes of memory that the reading process may have beside a file's arrays."""


@dataclass(frozen=True)
class Array:
    """An array; its values are None where they are not numbers."""

    dtype: np.dtype
    shape: tuple[int, ...] | None
    values: np.ndarray | None
    attributes: dict[str, Any]

    def tensor(self) -> Tensor:
        """Return its numbers, in this machine's order of bytes."""
        import torch

        assert self.values is not None
        return torch.from_numpy(np.asarray(self.values, self.dtype.newbyteorder("=")))


@dataclass(frozen=True)
class Group:
    """A group: attributes as plain data, and what is in it by name."""

    attributes: dict[str, Any]
    members: dict[str, Group | Array] = field(default_factory=dict)

    def get(self, name: str) -> Group | Array | None:
        """Return a member, or nothing."""
        return self.members.get(name)


@dataclass(frozen=True)
class Content:
    """What a file holds, and whether that is what was written.

    Args:
        path: The file.
        root: Its root group.
        found: The digest of what was read.
        written: The digest of what was written; empty in files of others, and of older piddm.
    """

    path: Path
    root: Group
    found: str
    written: str

    def prove(self) -> None:
        """Check the digest, where the file has one.

        Raises:
            PiddmError: If the content is not what was written.
        """
        if self.written and self.written != self.found:
            raise PiddmError(
                f"{self.path} is damaged: its content is not what was written; restore it, or "
                "remove it and make it again"
            )


def contents(path: Path | str, what: str) -> Content:
    """Read a whole file.

    Args:
        path: The file.
        what: What it should be, for people: ``"dataset"``.

    Raises:
        PiddmError: If it is missing, damaged, refers to other files, or takes more time or memory
            than a sound file of its size.
    """
    with reading(path, what, ValueError) as source:
        if kind := foreign(source):
            raise PiddmError(f"{path} is {kind}, and no {what} of piddm's; give one of those")
        return asked(source, {})


def asked(source: Path, question: dict[str, Any]) -> Content:
    """Return what the reading process answers; see :mod:`piddm.tools.hdf5_child`."""
    try:
        return _process().read(source, question)
    except _Lost:  # by whatever ended the process while it had nothing to do, perhaps
        return _process().read(source, question)


class _Lost(ValueError):
    """The reading process ended, by none of its limits."""


class _Process:
    """The reading process."""

    def __init__(self) -> None:
        self.owner, self._waited = os.getpid(), False
        path = os.pathsep.join(p for p in sys.path if p)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            # Not the folder of the program, whose modules are no top-level ones.
            [sys.executable, "-P", hdf5_child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            # HDF5 loads no filters that a file asks for by number.
            env={**os.environ, "PYTHONPATH": path, "HDF5_PLUGIN_PRELOAD": "::",
                 "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for who asks, and ends both
        )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it can be asked, by this process: a fork shares its pipes and may not."""
        return self.owner == os.getpid() and self._process.poll() is None

    def read(self, path: Path, question: dict[str, Any]) -> Content:
        """Read what is asked of a file; a ValueError says why it cannot be read."""
        size = path.stat().st_size
        with self._lock:
            watch = threading.Timer(WAIT + size / SPEED, self._late)
            watch.daemon = True
            watch.start()
            try:
                return self._read(path, size, question)
            except (ValueError, PiddmError):
                raise
            except BaseException:  # Ctrl-C too: the answer to this question is not the next one's
                self.end()
                raise
            finally:
                watch.cancel()

    def _read(self, path: Path, size: int, question: dict[str, Any]) -> Content:
        space = ROOM + SPACE + RATIO * size + PIECE
        bounds = {"path": str(path.absolute()), "seconds": WORK + size / SPEED, "space": space}
        self._send(json.dumps(bounds | question).encode() + b"\n")
        nodes: list[dict[str, Any]] = []
        waiting: Iterator[np.ndarray] = iter(())
        target = memoryview(b"")
        while True:
            kind, length = struct.unpack("<cq", self._bytes(9))
            if kind == b"D":
                while not len(target):
                    target = next(waiting).data
                self._into(target[:length])
                target = target[length:]
                continue
            said = json.loads(self._bytes(length))
            if kind == b"H":
                nodes = said
                waiting = iter([_storage(n) for n in nodes if n.get("readable")])
                continue
            if "refused" in said:
                raise PiddmError(f"{path}: {said['refused']}; make it again")
            if "damaged" in said:
                raise ValueError(said["damaged"])
            root = _tree(nodes)
            return Content(path, root, said[DIGEST], str(root.attributes.pop(DIGEST, "")))

    def _send(self, line: bytes) -> None:
        try:
            self._pipe(self._process.stdin).write(line)
        except OSError:
            self._died()

    def _bytes(self, length: int) -> bytearray:
        data = bytearray(length)
        self._into(memoryview(data))
        return data

    def _into(self, target: memoryview) -> None:
        """Fill memory from the answer."""
        stream: Any = self._pipe(self._process.stdout)
        while len(target):
            count = stream.readinto(target)
            if not count:
                self._died()
            target = target[count:]

    def _late(self) -> None:
        self._waited = True
        self._process.kill()

    def _died(self) -> NoReturn:
        code = self._process.wait()
        self.end()
        if self._waited or -code == getattr(signal, "SIGPROF", None):
            raise ValueError("HDF5 comes to no end of it")
        raise _Lost(f"HDF5 breaks down over it, code {code}")

    def end(self) -> None:
        """End the process, whatever it does."""
        if self.owner != os.getpid():
            return
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                self._pipe(stream).close()

    @staticmethod
    def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream


def _storage(node: dict[str, Any]) -> np.ndarray:
    """Return the bytes of an array that is to come, and keep the array with its node."""
    values = memory.room(tuple(node["shape"]), np.dtype(node["dtype"]))
    node["values"] = values
    return values.reshape(-1).view(np.uint8)


def _tree(nodes: list[dict[str, Any]]) -> Group:
    root = Group(nodes[0]["attributes"])
    groups = {"/": root}
    for node in nodes[1:]:
        above, _, name = node["path"].rpartition("/")
        if "dtype" in node:
            shape = None if node["shape"] is None else tuple(node["shape"])
            made: Group | Array = Array(
                np.dtype(node["dtype"]), shape, node.get("values"), node["attributes"]
            )
        else:
            made = groups[node["path"]] = Group(node["attributes"])
        groups[above or "/"].members[name] = made
    return root


_current: _Process | None = None
_starting = threading.Lock()


def _process() -> _Process:
    """Return the process that reads for this one, started on first use."""
    global _current
    with _starting:
        if _current is None or not _current.alive:
            _current = _Process()
        return _current


@atexit.register
def _end() -> None:
    if _current is not None:
        _current.end()
