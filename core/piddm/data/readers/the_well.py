"""Files of The Well (Ohana et al., arXiv 2412.00568): their layout says nearly everything."""

from __future__ import annotations

import numpy as np

from piddm.data.readers.any_hdf5 import HDF5Arrays, HDF5Reader
from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.said import CHANNEL, SAMPLE, AxisSaid, Location, Said
from piddm.tools.errors import PiddmError

RANKS = {"t0_fields": 0, "t1_fields": 1, "t2_fields": 2}
"""Groups of fields, and the rank of their tensors."""


class TheWellReader(HDF5Reader):
    """Fields by rank, coordinates, boundary conditions and scalars, each in a group."""

    def knows(self, arrays: Arrays) -> bool:
        """Return whether it has the layout's groups and attributes."""
        assert isinstance(arrays, HDF5Arrays)
        return "dimensions" in arrays.groups and {"grid_type", "n_trajectories"} <= set(
            arrays.attributes
        )

    def says(self, arrays: Arrays) -> Said:
        """Return what the layout says."""
        assert isinstance(arrays, HDF5Arrays)
        spatial = arrays.groups["dimensions"].get("spatial_dims", [])
        if not isinstance(spatial, list) or not spatial:
            raise PiddmError(f"{arrays.path}: dimensions do not say their spatial_dims")
        kinds = _conditions(arrays)
        axes = {name: AxisSaid(f"dimensions/{name}", *kinds.get(name, (None, None)))
                for name in spatial if f"dimensions/{name}" in arrays.described}  # fmt: skip
        if len(np.atleast_1d(arrays.read("dimensions/time"))) > 1:
            axes["t"] = AxisSaid("dimensions/time")
        orders, params = {}, {}
        for key, own in arrays.described.items():
            group, _, name = key.partition("/")
            if group in RANKS:
                orders[key] = _order(own.attributes, len(own.shape), spatial, RANKS[group])
            elif group == "scalars":
                params[name] = float(arrays.read(key)) if not own.shape else key
        given = arrays.attributes.get("simulation_parameters", [])
        for name in given if isinstance(given, list) else []:
            value = arrays.attributes.get(name)
            if isinstance(value, (int, float)) and name not in params:
                params[name] = float(value)
        return Said("The Well", orders, axes, params)


def _order(
    said: dict | object, count: int, spatial: list[str], rank: int
) -> tuple[str | None, ...]:
    own = said if isinstance(said, dict) else {}
    varying = own.get("dim_varying", [True] * len(spatial))
    order: list[str | None] = [SAMPLE] if own.get("sample_varying", True) else []
    order += ["t"] if own.get("time_varying", True) else []
    order += [n for n, v in zip(spatial, varying, strict=False) if v]
    order += [CHANNEL] * rank
    if len(order) + 1 == count and "t" not in order:  # a steady field, stored as one time
        order.insert(1, None)
    return tuple(order)


def _conditions(arrays: HDF5Arrays) -> dict[str, tuple[Location | None, bool | None]]:
    """Return what the boundary conditions say of the axes."""
    found: dict[str, tuple[Location | None, bool | None]] = {}
    for path, attributes in arrays.groups.items():
        group, _, _ = path.partition("/")
        axes = attributes.get("associated_dims")
        if group != "boundary_conditions" or not isinstance(axes, list):
            continue
        periodic = str(attributes.get("bc_type", "")).lower() == "periodic"
        for axis in axes:
            found[axis] = ("periodic", True) if periodic else (None, False)
    return found
