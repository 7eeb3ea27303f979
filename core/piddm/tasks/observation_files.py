"""Observations from files: CSV and TOML that people write, HDF5 that programs do.

HDF5 is a file of observations, or a dataset, of which one sample is taken for what was seen.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from piddm.data import dataset
from piddm.data.dataset import Dataset, dataset_of
from piddm.grids.grid import Grid
from piddm.tasks.csv_files import NUMBER, read_csv
from piddm.tasks.hdf5_files import SCHEMA, observations_of
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors
from piddm.tasks.toml_files import read_toml
from piddm.tools.errors import UsageError, nearest
from piddm.tools.files import reading
from piddm.tools.formats import foreign, is_hdf5
from piddm.tools.hdf5_reading import contents
from piddm.tools.memory import require

if TYPE_CHECKING:
    from piddm.equation import PDE


def refuse_foreign(path: Path | str) -> None:
    """Refuse a file that is missing, none, or of a format that is not read, before any work.

    Raises:
        PiddmError: If it is missing or no regular file.
        UsageError: If it is of another format.
    """
    with reading(path, "file of observations") as source:
        if kind := foreign(source):
            raise UsageError(
                f"{path} is {kind}, and observations are CSV, or HDF5 of piddm's; read it in "
                "Python, and pass "
                "piddm.tasks.observations.Observations.at_nodes(grid, {field: values})"
            )


def read_observations(
    path: Path | str,
    pde: PDE,
    grid: Grid,
    sigma: float = 0.0,
    sample: int = 0,
    fields: str = "",
) -> Observations:
    """Read observations from CSV or HDF5 and check all of them.

    Args:
        path: The file.
        pde: The equation, whose fields and params are named.
        grid: The domain.
        sigma: Noise of values that the file gives none for.
        sample: Of a dataset, which sample was seen.
        fields: Of a dataset, what of it was seen, such as ``a`` or ``u@t=0,nu``: whole fields,
            fields where an axis has a value, and params. Its grid may have other nodes than
            ``grid``.

    Raises:
        PiddmError: If the file is missing or damaged.
        UsageError: If it holds what cannot be used, or nothing; with the line of a CSV file.
    """
    path = Path(path)
    refuse_foreign(path)
    if not is_hdf5(path):
        if fields or sample:
            raise UsageError(f"{path} is no dataset: it has neither samples nor fields to choose")
        if path.suffix == ".toml":
            return read_toml(path, pde, grid, sigma).checked(pde.field_names, _params(pde))
        return read_csv(path, pde, grid, sigma).checked(pde.field_names, _params(pde))
    content = contents(path, "file of observations")
    if content.root.attributes.get("schema") != SCHEMA:
        seen = _sample(dataset_of(content), path, pde, grid, sample)
        return select(seen, pde, fields, sigma, grid)
    if fields or sample:
        raise UsageError(f"{path} holds observations, not a dataset: it has no samples to choose")
    return observations_of(content, pde.name, grid).checked(pde.field_names, _params(pde))


def sample_of(path: Path, pde: PDE, grid: Grid, sample: int = 0) -> Dataset:
    """Return one sample of a dataset, which must be of the equation and its domain.

    Raises:
        PiddmError: If the file is missing or damaged.
        UsageError: If it is of another equation or domain, or has no such sample.
    """
    return _sample(dataset.read(path), path, pde, grid, sample)


def _sample(made: Dataset, path: Path, pde: PDE, grid: Grid, sample: int) -> Dataset:
    if made.pde != pde.name:
        raise UsageError(f"{path} is of the equation {made.pde}, and this is about {pde.name}")
    if {k: (a.ends, a.periodic) for k, a in made.grid.axes.items()} != {
        k: (a.ends, a.periodic) for k, a in grid.axes.items()
    }:
        raise UsageError(f"{path} has another domain, {made.grid!r}; make it again")
    if not 0 <= sample < len(made):
        raise UsageError(f"{path} has no sample {sample}: they are 0 to {len(made) - 1}")
    own = {k: v[sample : sample + 1] for k, v in made.fields.items()}
    return Dataset(made.pde, made.grid, own, made.scale, made.floor, made.seed)


def read_truth(path: Path | str, pde: PDE, grid: Grid, sample: int = 0) -> dict[str, Tensor]:
    """Return one sample of a dataset on a grid, fields ``(*grid.shape)`` and params, float64.

    Raises:
        PiddmError: If the file is missing or damaged.
        UsageError: If it is of another equation or domain, or has no such sample.
    """
    made = sample_of(Path(path), pde, grid, sample)
    own = {k: v.double() for k, v in made.fields.items()}
    found = {k: v[0] for k, v in own.items()}
    if made.grid == grid:
        return found
    for name in pde.field_names:
        nodes = Observations.at_nodes(grid, {name: torch.zeros(grid.shape)})
        there = Observations(made.grid, nodes.points, nodes.values, nodes.sigma)
        found[name] = Sensors(there, pde.field_names, "cubic")(own)[0].view(grid.shape)
    return found


def select(
    seen: Dataset, pde: PDE, fields: str, sigma: float = 0.0, grid: Grid | None = None
) -> Observations:
    """Return what is seen where some fields of a dataset's first sample are seen at its nodes.

    Args:
        seen: The dataset.
        pde: The equation.
        fields: What is seen; see :func:`read_observations`.
        sigma: Noise.
        grid: The domain as another grid has it; the dataset's own where none is given.
    """
    masks, params = chosen(fields, pde, seen.grid)
    for name in (*masks, *params):
        if name not in seen.fields:
            raise UsageError(f"the file has no {name}{nearest(name, seen.fields)}")
    values = {k: seen.fields[k][0] for k in masks}
    known = {k: float(seen.fields[k][0]) for k in params}
    found = Observations.at_nodes(seen.grid, values, masks, sigma, params=known)
    if grid is None:
        return found
    return Observations(grid, found.points, found.values, found.sigma, known)


def chosen(fields: str, pde: PDE, grid: Grid) -> tuple[dict[str, Tensor], list[str]]:
    """Read a choice such as ``a,u@t=0,nu``: field name to where, ``(*grid.shape)``, and params.

    Raises:
        UsageError: If it is empty, or names what the equation or the grid has not.
    """
    known = (*pde.field_names, *_params(pde))
    if not fields.strip():
        raise UsageError(
            f"say what is seen, by --fields: such as {pde.field_names[0]}, of {', '.join(known)}, "
            f"or {pde.field_names[0]}@{grid.names[0]}=VALUE where an axis has a value"
        )
    nodes = math.prod(grid.shape)
    require(nodes * len(pde.fields), f"{pde.name} on {nodes} nodes", "take fewer nodes")
    masks: dict[str, Tensor] = {}
    params = []
    for part in (p.strip() for p in fields.split(",")):
        name, _, where = part.partition("@")
        if name not in known:
            raise UsageError(f"{pde.name} has no field {name!r}{nearest(name, known)}")
        if name not in pde.field_names:
            params.append(name)
            continue
        mask = torch.ones(grid.shape, dtype=torch.bool)
        if where:
            mask[:] = False
            dim, node = _slice(part, where, grid)
            mask.movedim(dim, 0)[node] = True
        masks[name] = masks[name] | mask if name in masks else mask
    return masks, params


def _slice(part: str, where: str, grid: Grid) -> tuple[int, int]:
    """Return the axis and the node that ``t=0`` means."""
    axis, _, value = where.partition("=")
    dim, at = grid.index(axis), grid.axes[axis].coordinates()
    if not NUMBER.fullmatch(value):
        raise UsageError(f"{part!r}: write it as FIELD@AXIS=VALUE, such as u@{axis}=0")
    away = np.abs(at - float(value))
    if away.min() > 1e-6 * grid.axes[axis].spacing:
        near = at[away.argmin()]
        raise UsageError(f"{part!r}: no node there, the nearest is at {axis}={near:.6g}")
    return dim, int(away.argmin())


def _params(pde: PDE) -> list[str]:
    return [p.name for p in pde.params]
