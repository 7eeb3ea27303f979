"""Answers as bytes: a length, a header of JSON, arrays as they are in memory.

::

    4 bytes     length of the header, little-endian; a multiple of 4
    header      JSON, spaces at its end; "arrays" has name, type, shape and start of each array
    arrays      float32 or uint8, little-endian, one after another, each start a multiple of 4

An array of uint8 stands for ``low + (high - low) * value / 255``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

STEP = 4
"""Bytes that starts are multiples of."""


@dataclass(frozen=True)
class Picture:
    """Values in 256 levels between their ends, a quarter of the bytes."""

    levels: np.ndarray
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> Picture:
        """Return the levels of values."""
        low, high = (float(v) for v in (values.min(), values.max()))
        size = high - low or 1.0
        return cls(np.rint((values - low) * (255 / size)).astype(np.uint8), low, low + size)


def packet(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray | Picture]) -> bytes:
    """Return a message.

    Args:
        header: Plain data; what is no number becomes null.
        arrays: By name.
    """
    told, parts, start = [], list[bytes](), 0
    for name, given in arrays.items():
        picture = isinstance(given, Picture)
        values = given.levels if picture else given
        data = np.ascontiguousarray(values, dtype="u1" if picture else "<f4").tobytes()
        told.append({
            "name": name, "type": "u1" if picture else "f4", "shape": list(values.shape),
            "start": start, "low": given.low if picture else 0.0,
            "high": given.high if picture else 0.0,
        })  # fmt: skip
        data += b"\0" * (-len(data) % STEP)
        parts.append(data)
        start += len(data)
    text = json.dumps(finite({**header, "arrays": told}), allow_nan=False).encode()
    text += b" " * (-len(text) % STEP)
    return b"".join([len(text).to_bytes(4, "little"), text, *parts])


def finite(data: Any) -> Any:
    """Return plain data with null for what is no number: JSON has none."""
    if isinstance(data, Mapping):
        return {k: finite(v) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(v) for v in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
