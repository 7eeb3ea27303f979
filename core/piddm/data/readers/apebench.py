"""Files of APEBench (Koehler et al., arXiv 2411.00180): ``NAME_train.npy`` beside ``NAME.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.numpy_files import NpyReader
from piddm.data.readers.said import CHANNEL, SAMPLE, AxisSaid, Said
from piddm.tools.errors import PiddmError
from piddm.tools.files import regular_text

SPACE = ("x", "y", "z")
"""Names of the axes of space, in order."""


class APEBenchReader(NpyReader):
    """Trajectories ``(sample, time, channel, *space)``, periodic, from 0 to their extent."""

    def knows(self, arrays: Arrays) -> bool:
        """Return whether its array has such a shape, and its description is beside it."""
        (own,) = arrays.described.values()
        return len(own.shape) in (4, 5, 6) and _description(arrays.path) is not None

    def says(self, arrays: Arrays) -> Said:
        """Return what the layout says; of difficulties, extent and time step are 1."""
        (own,) = arrays.described.values()
        path = _description(arrays.path)
        assert path is not None
        try:
            numbers = dict(_numbers(json.loads(regular_text(path))))
        except (ValueError, OSError) as error:
            raise PiddmError(f"{path} is no JSON; restore it") from error
        extent = numbers.pop("domain_extent", 1.0)
        step = numbers.pop("dt", 1.0)
        space = SPACE[: len(own.shape) - 3]
        axes = {k: AxisSaid(None, "periodic", True, (0.0, extent)) for k in space}
        axes["t"] = AxisSaid(None, "vertex", False, (0.0, step * (own.shape[1] - 1)))
        return Said("APEBench", {own.key: (SAMPLE, "t", CHANNEL, *space)}, axes, numbers)


def _description(path: Path) -> Path | None:
    for ending in ("_train", "_test"):
        beside = path.with_name(path.stem.removesuffix(ending) + ".json")
        if path.stem.endswith(ending) and beside.is_file():
            return beside
    return None


def _numbers(data: Any) -> Iterator[tuple[str, float]]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield str(key), float(value)
            else:
                yield from _numbers(value)
