"""netCDF and zarr through xarray, with their conventions: ``pip install 'piddm[xarray]'``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from piddm.data.readers.any_hdf5 import WHAT, HDF5Reader
from piddm.data.readers.named_arrays import Arrays, Described
from piddm.data.readers.reader import Reader
from piddm.data.readers.said import CHANNEL, SAMPLE, AxisSaid, Said
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.hdf5_parts import outline

MARKS = ("_NCProperties", "_nc3_strict", "Conventions")
"""Attributes of the root by which netCDF 4 is told from other HDF5."""

SAMPLES = ("sample", "batch", "member", "realization", "ensemble", "trajectory", "number", "run")
"""Names of dimensions that are samples."""

NAMES = {"time": "t", "latitude": "lat", "longitude": "lon"}
"""Names of axes, by standard names of dimensions."""

BY_AXIS = {"T": "t", "X": "x", "Y": "y", "Z": "z"}
"""Names of axes, by the attribute ``axis`` of their coordinates."""


class NetCDFReader(Reader):
    """Variables of a data set as xarray sees them, numbers unpacked, missing ones NaN."""

    def opens(self, path: Path, first: bytes) -> bool:
        """Return whether it is netCDF of version 3 or 4, or a zarr store."""
        if path.is_dir():
            return any((path / n).is_file() for n in (".zgroup", ".zmetadata", "zarr.json"))
        if first.startswith(b"CDF"):
            return True
        if not HDF5Reader().opens(path, first):
            return False
        return any(mark in outline(path, WHAT, 200).attributes for mark in MARKS)

    def arrays(self, path: Path) -> Arrays:
        """Open a file or a store."""
        return _Variables(path)

    def says(self, arrays: Arrays) -> Said:
        """Return what dimensions, units and bounds say."""
        assert isinstance(arrays, _Variables)
        axes, orders = {}, {}
        for name in arrays.dimensions:
            own = arrays.described.get(name)
            axis = _axis(name, {} if own is None else own.attributes)
            if axis not in (SAMPLE, CHANNEL) and own is not None:
                cells = "bounds" in own.attributes
                axes[axis] = AxisSaid(name, "centre" if cells and axis != "t" else None)
        for key, dimensions in arrays.orders.items():
            if key not in arrays.dimensions:
                orders[key] = tuple(
                    _axis(d, arrays.described[d].attributes if d in arrays.described else {})
                    for d in dimensions
                )
        return Said("netCDF" if arrays.path.is_file() else "zarr", orders, axes)


def _axis(name: str, attributes: Any) -> str:
    lower = name.lower()
    if lower in SAMPLES:
        return SAMPLE
    if lower in ("channel", "component"):
        return CHANNEL
    standard = str(attributes.get("standard_name", "")).lower()
    if standard in NAMES or lower in NAMES:
        return NAMES.get(standard, NAMES.get(lower, lower))
    return BY_AXIS.get(str(attributes.get("axis", "")), lower)


class _Variables(Arrays):
    def __init__(self, path: Path) -> None:
        try:
            import xarray
        except ImportError as error:
            raise UsageError(
                f"{path} is netCDF or zarr, which xarray reads: pip install 'piddm[xarray]'"
            ) from error
        engine = "zarr" if path.is_dir() else "h5netcdf"
        if path.is_file() and path.open("rb").read(3) == b"CDF":
            engine = "scipy"
        try:
            # Times stay numbers: an equation has no calendar.
            more: dict[str, Any] = {"consolidated": False} if engine == "zarr" else {}
            self._data = xarray.open_dataset(path, engine=engine, decode_times=False, **more)
        except Exception as error:  # whatever damage makes its engines raise
            text = " ".join(str(error).split())[:200]
            raise PiddmError(f"{path} is damaged, or no netCDF or zarr ({text})") from error
        found: dict[str, Described] = {}
        skipped: dict[str, str] = {}
        self.orders: dict[str, tuple[str, ...]] = {}
        for key, variable in self._data.variables.items():
            if variable.dtype.kind not in "biuf":
                skipped[str(key)] = f"holds {variable.dtype}, no real numbers"
                continue
            found[str(key)] = Described(str(key), variable.shape, variable.dtype,
                                        {str(k): v for k, v in variable.attrs.items()})  # fmt: skip
            self.orders[str(key)] = tuple(map(str, variable.dims))
        self.dimensions = tuple(map(str, self._data.sizes))
        super().__init__(path, found, {str(k): v for k, v in self._data.attrs.items()}, skipped)

    def _read(self, key: str, at: Sequence[slice]) -> np.ndarray:
        try:
            return np.asarray(self._data.variables[key][tuple(at)].values)
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise PiddmError(f"{self.path}: {key} cannot be read ({text}); restore it") from error
