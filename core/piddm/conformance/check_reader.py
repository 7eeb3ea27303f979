"""The promises of a reader: numbers as they are stored, in parts, or a refusal in one line."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from piddm.conformance.trial import Trial, What
from piddm.data.readers.named_arrays import KINDS, Arrays
from piddm.data.readers.reader import Reader
from piddm.data.readers.said import CHANNEL, SAMPLE, Said
from piddm.tools.errors import PiddmError
from piddm.tools.formats import head

OTHERS = {
    "nothing": b"",
    "text": b"a, b\n1, 2\n",
    "bytes": bytes(range(7, 200)),
    "zeros": bytes(64),
}
"""Files that are of no format."""


def check_reader(what: What, path: Path | str, **settings: Any) -> None:
    """Check a reader on a file of its format.

    Args:
        what: The name that it is registered under, or what was registered.
        path: A small file of the format, or a folder; its arrays are read whole.
        **settings: The reader's own, where it has some.

    Raises:
        AssertionError: If it does not keep what :class:`piddm.interfaces.Reader` promises.
        PiddmError: If it cannot be built, or does not read the file.
    """
    trial, path = Trial("reader", what), Path(path)
    reader: Reader = trial.build(Reader, (), settings)
    before = _content(path)
    trial.hold(reader.opens(path, head(path)) is True, f"it does not open {path}")
    arrays = reader.arrays(path)
    trial.hold(isinstance(arrays, Arrays), "its arrays are no Arrays")
    trial.hold(reader.knows(arrays) is True, f"it does not know {path}")
    trial.hold(bool(arrays.described), f"it finds no array in {path}")
    _numbers(trial, arrays)
    _names(trial, arrays, reader.says(arrays))
    trial.hold(_content(path) == before, "it changes the file that it reads")
    with tempfile.TemporaryDirectory() as folder:
        _foreign(trial, reader, Path(folder))
        if path.is_file():
            _cut(trial, reader, path, Path(folder))


def _content(path: Path) -> dict[str, bytes]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(p): p.read_bytes() for p in files if p.is_file()}


def _numbers(trial: Trial, arrays: Arrays) -> None:
    """Hold that arrays are of the numbers that they are said to be, whole and in parts."""
    for key, own in arrays.described.items():
        trial.hold(own.key == key, f"{key} is described as {own.key}")
        trial.hold(own.dtype.kind in KINDS, f"{key} holds {own.dtype}, no real numbers")
        whole = arrays.read(key)
        trial.hold(whole.shape == tuple(own.shape),
                   f"{key} is said to be {own.shape}, and is {whole.shape}")  # fmt: skip
        trial.hold(whole.dtype.isnative, f"{key} is not in this machine's order of bytes")
        some = tuple(slice(n // 3, n, 2) for n in own.shape)
        for at in (some, tuple(slice(0, min(n, 1)) for n in own.shape)):
            part = arrays.read(key, at)
            same = part.shape == whole[at].shape and np.array_equal(part, whole[at], equal_nan=True)
            trial.hold(same, f"a part of {key} is not that part of the whole")
    try:
        arrays.read("no array is called so")
    except PiddmError as error:
        trial.hold("\n" not in str(error), "it refuses a key in more than one line")
    else:
        trial.hold(False, "it has an array for every key")


def _names(trial: Trial, arrays: Arrays, said: Said) -> None:
    """Hold that what it says is of the file's arrays."""
    trial.hold(isinstance(said, Said), "what it says is no Said")
    for key, order in said.orders.items():
        trial.hold(key in arrays.described, f"it says an order of {key}, which is not there")
        shape = arrays[key].shape
        trial.hold(len(order) == len(shape), f"it says the order {order} of {key}, {shape}")
        axes = [o for o in order if o not in (None, CHANNEL)]
        trial.hold(len(set(axes)) == len(axes), f"it says an axis of {key} twice: {order}")
        left = [n for o, n in zip(order, shape, strict=True) if o is None]
        trial.hold(all(n == 1 for n in left), f"it leaves out more than one entry of {key}")
    for name, axis in said.axes.items():
        trial.hold(name not in (SAMPLE, CHANNEL), f"it says where {name} is, which is no axis")
        there = axis.coordinates is None or axis.coordinates in arrays.described
        trial.hold(there, f"coordinates of {name} are {axis.coordinates}, which is not there")
    for name, value in said.params.items():
        there = not isinstance(value, str) or value in arrays.described
        trial.hold(there, f"{name} is in {value}, which is not there")
    for key in (*said.roles, *said.times):
        trial.hold(key in arrays.described, f"it says what {key} is, which is not there")


def _foreign(trial: Trial, reader: Reader, folder: Path) -> None:
    """Hold that it leaves files of no format to others, without an error."""
    for name, content in OTHERS.items():
        path = folder / name
        path.write_bytes(content)
        trial.hold(reader.opens(path, head(path)) is False, f"it opens a file of {name}")


def _cut(trial: Trial, reader: Reader, path: Path, folder: Path) -> None:
    """Hold that a file cut short is refused in one line, or is nobody's."""
    short = folder / path.name
    content = path.read_bytes()
    for share in (0.9, 0.5, 0.1):
        short.write_bytes(content[: int(share * len(content))])
        try:
            if not reader.opens(short, head(short)):
                continue
            arrays = reader.arrays(short)
            for key in arrays.described if reader.knows(arrays) else ():
                arrays.read(key)
        except PiddmError as error:
            trial.hold("\n" not in str(error), "it refuses a damaged file in more than one line")
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            trial.hold(False, f"a file cut short makes it raise {told}; raise a PiddmError")
