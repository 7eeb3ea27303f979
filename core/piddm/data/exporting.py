"""Data sets and answers for others: xarray, netCDF, npz, and The Well's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from piddm.data import dataset
from piddm.data.dataset import Dataset
from piddm.grids.grid import Grid
from piddm.residuals.residual import Fields
from piddm.tools.atomic import atomic_path
from piddm.tools.errors import PiddmError, UsageError

if TYPE_CHECKING:
    import xarray

ENDINGS = {".nc": "netCDF", ".npz": "npz", ".h5": "The Well", ".hdf5": "The Well"}
"""Endings of the files that can be written, and their formats."""


class Sampled(Protocol):
    """Fields of many samples: a data set, or the ensemble of an answer."""

    @property
    def pde(self) -> str:
        """Name of the equation."""
        ...

    @property
    def grid(self) -> Grid:
        """The grid."""
        ...

    @property
    def fields(self) -> Fields:
        """Fields ``(count, *axes)``, params ``(count,)``."""
        ...


def to_xarray(data: Sampled) -> xarray.Dataset:
    """Return samples as an xarray data set: dimensions ``sample`` and the grid's axes.

    Raises:
        UsageError: If xarray is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise UsageError("xarray is not installed: pip install 'piddm[xarray]'") from error
    axes = {
        name: ((name,), axis.coordinates(), {"axis": "T"} if axis.time else {})
        for name, axis in data.grid.axes.items()
    }
    variables = {
        name: (("sample", *data.grid.names)[: values.ndim], _numpy(values))
        for name, values in data.fields.items()
    }
    return xarray.Dataset(variables, axes, {"pde": data.pde, **_numbers(data)})


def export(data: Sampled, path: Path | str) -> Path:
    """Write samples in a format of others, by the ending of the file's name.

    ``.nc`` is netCDF, through xarray. ``.npz`` has the fields, and the coordinates of each axis
    under its name. ``.h5`` and ``.hdf5`` are in The Well's layout, as all data sets of piddm's are.

    Args:
        data: A data set, or an answer.
        path: The file.

    Raises:
        UsageError: If there is no such format, or xarray is not installed.
        PiddmError: If it cannot be written.
    """
    path = Path(path)
    kind = ENDINGS.get(path.suffix)
    if kind is None:
        raise UsageError(f"{path}: the ending says the format, one of {', '.join(ENDINGS)}")
    if kind == "The Well":
        own = data if isinstance(data, Dataset) else _as_data(data)
        dataset.write(own, path)
        return path
    if kind == "npz":
        coordinates = {name: axis.coordinates() for name, axis in data.grid.axes.items()}
        fields = {name: _numpy(values) for name, values in data.fields.items()}
        if clash := sorted(coordinates.keys() & fields.keys()):
            raise PiddmError(f"{clash[0]} names a field and an axis; write netCDF")
        with atomic_path(path) as part, part.open("wb") as handle:
            np.savez(handle, allow_pickle=False, **fields, **coordinates)
        return path
    content = to_xarray(data).to_netcdf(engine="h5netcdf")  # HDF5 locks what it writes itself
    with atomic_path(path) as part:
        part.write_bytes(content)
    return path


def _as_data(data: Sampled) -> Dataset:
    fields = {k: v.detach().cpu() for k, v in data.fields.items()}
    return Dataset(data.pde, data.grid, fields, {}, {}, 0)


def _numbers(data: Sampled) -> dict[str, Any]:
    """Return the params of a data set that are its own."""
    return dict(data.params) if isinstance(data, Dataset) else {}


def _numpy(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy()
