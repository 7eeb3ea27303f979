"""Files of PDEBench (Takamoto et al., arXiv 2210.07182), all families, and of PDEInvBench.

Values are at cell centres. ``tensor`` of one axis of space with its coordinates; ``nu`` and
``tensor`` of Darcy flow; a group for each sample with ``data`` and ``grid``; the primitive fields
of compressible flow; ``velocity`` of incompressible flow. Times may have one entry too many.
"""

from __future__ import annotations

from typing import Literal

from piddm.data.readers.any_hdf5 import HDF5Reader
from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.said import CHANNEL, SAMPLE, AxisSaid, Said

SPACE = ("x", "y", "z")
"""Names of the axes of space, in order."""

COMPRESSIBLE = ("density", "pressure", "Vx", "Vy", "Vz")
"""Keys of the fields of compressible flow."""

Family = Literal["line", "steady", "groups", "flow", "resampled", "pair", "solutions", ""]


class PDEBenchReader(HDF5Reader):
    """Its layouts, told apart by keys and shapes."""

    def knows(self, arrays: Arrays) -> bool:
        """Return whether it is one of them."""
        return bool(family(arrays))

    def says(self, arrays: Arrays) -> Said:
        """Return what the layout says."""
        kind, found = family(arrays), arrays.described
        name = f"PDEBench ({kind})"
        if kind == "line":  # a file of PDEInvBench may hold one trajectory
            order = ("t", "x") if len(found["tensor"].shape) == 2 else (SAMPLE, "t", "x")
            return Said(name, {"tensor": order}, _stored(arrays))
        if kind == "solutions":
            order = (SAMPLE, "t", *SPACE[: len(found["solutions"].shape) - 3], CHANNEL)
            return Said("PDEInvBench", {"solutions": order}, _stored(arrays), _reynolds(arrays))
        if kind == "steady":
            orders = {"nu": (SAMPLE, "x", "y"), "tensor": (SAMPLE, None, "x", "y")}
            axes = {k: AxisSaid(location="centre", ends=(0.0, 1.0)) for k in ("x", "y")}
            return Said(name, orders, axes, roles={"nu": "input", "tensor": "solution"})
        if kind == "pair":
            orders = {k: _pair(found[k].shape) for k in ("coeff", "sol")}
            return Said("PDEInvBench", orders, roles={"coeff": "input", "sol": "solution"})
        if kind == "groups":
            space = SPACE[: len(found["*/data"].shape) - 3]
            axes = {k: AxisSaid(f"*/grid/{k}", "centre") for k in space}
            axes["t"] = AxisSaid("*/grid/t")
            return Said(name, {"*/data": (SAMPLE, "t", *space, CHANNEL)}, axes)
        if kind == "flow":
            orders = {
                k: (SAMPLE, "t", *SPACE[: len(found[k].shape) - 2])
                for k in COMPRESSIBLE if k in found
            }  # fmt: skip
            return Said(name, orders, _stored(arrays))
        axes = {k: AxisSaid(location="centre", ends=(0.0, 1.0)) for k in ("x", "y")}
        axes["t"] = AxisSaid("t")
        orders = {"velocity": (SAMPLE, "t", "x", "y", CHANNEL),
                  "particles": (SAMPLE, "t", "x", "y", CHANNEL),
                  "force": (SAMPLE, "x", "y", CHANNEL)}  # fmt: skip
        return Said(name, {k: v for k, v in orders.items() if k in found}, axes)


def family(arrays: Arrays) -> Family:
    """Return which layout it is; nothing where it is none."""
    found = {k: d.shape for k, d in arrays.described.items()}
    if "x-coordinate" in found and len(found.get("tensor", ())) in (2, 3):
        return "line"
    if "x-coordinate" in found and len(found.get("solutions", ())) in (4, 5, 6):
        return "solutions"
    if "x-coordinate" in found and "density" in found:
        return "flow"
    if len(found.get("nu", ())) == 3 and len(found.get("tensor", ())) == 4:
        return "steady"
    if "*/data" in found and any(k.startswith("*/grid/") for k in found):
        return "groups" if len(found["*/data"]) in (4, 5, 6) else ""
    if {"velocity", "force"} <= set(found) and len(found["velocity"]) == 5:
        return "resampled"
    return "pair" if {"coeff", "sol"} <= set(found) else ""


def _pair(shape: tuple[int, ...]) -> tuple[str | None, ...]:
    """Return the axes of a coefficient or a solution: of many samples, or of one."""
    if len(shape) == 2:
        return SPACE[:2]
    return (
        (*SPACE[: len(shape) - 1], None) if shape[-1] == 1 else (SAMPLE, *SPACE[: len(shape) - 1])
    )


def _reynolds(arrays: Arrays) -> dict[str, float | str]:
    """Return the Reynolds number, which is all that such a file's name says."""
    try:
        return {"Re": float(arrays.path.stem)}
    except ValueError:
        return {}


def _stored(arrays: Arrays) -> dict[str, AxisSaid]:
    axes = {k: AxisSaid(f"{k}-coordinate", "centre") for k in SPACE}
    axes["t"] = AxisSaid("t-coordinate")
    return {k: v for k, v in axes.items() if v.coordinates in arrays.described}
