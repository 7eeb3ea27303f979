"""The interface of a reader, and which of them a file is for: by its content, not by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.said import Said
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.formats import foreign, head


class Reader(ABC):
    """Opens one format, or one layout within a format, as named arrays."""

    @abstractmethod
    def opens(self, path: Path, first: bytes) -> bool:
        """Return whether a file, or a folder, is of the format.

        Args:
            path: The file or folder.
            first: Its first bytes; none of a folder.
        """

    @abstractmethod
    def arrays(self, path: Path) -> Arrays:
        """Open a file of the format.

        Raises:
            PiddmError: If it is damaged, or holds what no file of numbers may.
        """

    def knows(self, arrays: Arrays) -> bool:
        """Return whether what is in a file of the format is of this layout."""
        return True

    def says(self, arrays: Arrays) -> Said:
        """Return what the layout says of the arrays."""
        return Said()


def recognised(path: Path | str, readers: Sequence[tuple[str, Reader]]) -> tuple[str, Arrays, Said]:
    """Return the name of the first reader that knows a file, the file's arrays, what it says.

    Args:
        path: The file, or a folder for formats that are folders.
        readers: Readers by name, layouts before the formats that they are in.

    Raises:
        PiddmError: If the file is missing, damaged, or of no format that a reader knows.
    """
    path = Path(path)
    if not path.exists():
        raise PiddmError(f"{path} does not exist; check the path")
    first = head(path)
    for name, reader in readers:
        if not reader.opens(path, first):
            continue
        arrays = reader.arrays(path)
        if reader.knows(arrays):
            return name, arrays, reader.says(arrays)
    if first.startswith(b"\x80") and len(first) > 1 and first[1] <= 5:
        raise PiddmError(f"{path} is a pickle, which runs code as it is read, and is not read; "
                         "save the arrays as npz or HDF5")  # fmt: skip
    kind = foreign(path) or "of no format that a reader knows"
    known = ", ".join(name for name, _ in readers)
    raise PiddmError(f"{path} is {kind}; readers: {known}")


def one(name: str, readers: Sequence[tuple[str, Reader]]) -> list[tuple[str, Reader]]:
    """Return the reader of a name only.

    Raises:
        UsageError: If there is none.
    """
    found = [pair for pair in readers if pair[0] == name]
    if not found:
        raise UsageError(f"no reader {name!r}; there are {', '.join(n for n, _ in readers)}")
    return found
