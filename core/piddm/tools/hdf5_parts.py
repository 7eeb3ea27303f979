"""HDF5 files of any size: what is in them, and parts of their arrays, by the reading process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from piddm.tools.files import reading
from piddm.tools.hdf5_child import RATIO
from piddm.tools.hdf5_reading import Array, Group, asked


def outline(path: Path | str, what: str, ratio: int = RATIO) -> Group:
    """Return what a file holds without its numbers: groups, arrays' types and shapes, attributes.

    Args:
        path: The file.
        what: What it should be, for people.
        ratio: Bytes of arrays per byte of the file, at most.

    Raises:
        PiddmError: As :func:`contents` does.
    """
    with reading(path, what, ValueError) as source:
        return asked(source, {"outline": True, "ratio": ratio}).root


def part(path: Path | str, key: str, at: Sequence[slice], what: str) -> np.ndarray:
    """Return some of an array of a file.

    Args:
        path: The file.
        key: The array.
        at: A slice along each of its axes, with whole numbers.
        what: What the file should be, for people.

    Raises:
        PiddmError: As :func:`contents` does, or where there is no such array.
    """
    steps = [[s.start, s.stop, s.step or 1] for s in at]
    with reading(path, what, ValueError) as source:
        found = asked(source, {"part": key, "at": steps}).root.members["part"]
    assert isinstance(found, Array)
    assert found.values is not None
    return found.values.view(found.dtype)
