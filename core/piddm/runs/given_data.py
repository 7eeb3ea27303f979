"""Data that are given: what a run takes from them, split so that no sample is on both sides."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from piddm.config import Config, SourceConfig
from piddm.data import dataset
from piddm.data.dataset import Dataset
from piddm.data.dataset_record import picked
from piddm.data.file_maps import DataMap
from piddm.data.no_equation import no_equation
from piddm.data.placing import placed
from piddm.equation import PDE
from piddm.grids.axis_data import AxisData, grid_of
from piddm.residuals.tolerance import shares
from piddm.runs.reading import as_data_set
from piddm.tools.about import NO_EQUATION
from piddm.tools.digests import of_tensors
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.progress import Progress
from piddm.tools.randomness import generator

LEAST = 8
"""Samples to train on, and to hold out, at least."""

OF, NUMBERS = 128, 1 << 21
"""Samples that tell how a residual splits into octaves, and nodes of them at most."""

SHARE = 5
"""One of so many samples is held out, at most."""


def equation_of(config: Config, pde: PDE) -> PDE:
    """Return a run's equation: on the grid of its data, with their params, where data are given."""
    taken = config.data.taken
    if taken is None:
        return pde
    if taken.fields:
        return no_equation(taken.fields, grid_of(taken.grid))
    return placed(pde, grid_of(taken.grid), taken.params, taken.varying)


def equation_on(pde: PDE, data: Dataset) -> PDE:
    """Return an equation on the grid of data, with their params; those that differ are free."""
    if pde.name == NO_EQUATION:
        return no_equation(tuple(data.fields), data.grid)
    return placed(pde, data.grid, data.params, _ranges(data))


def _ranges(data: Dataset) -> dict[str, tuple[float, float]]:
    scalars = {k: v for k, v in data.fields.items() if v.ndim == 1}
    return {k: (float(v.min()), float(v.max())) for k, v in scalars.items()}


def _octaves(pde: PDE, data: Dataset) -> dict[str, tuple[float, ...]]:
    """Return how the residual of data splits into octaves, by some of them."""
    if pde.name == NO_EQUATION:
        return {}
    residual = equation_on(pde, data).bind(data.grid)
    some = max(1, min(OF, len(data), NUMBERS // math.prod(data.grid.shape)))
    return shares(residual, {k: v[:some].double() for k, v in data.fields.items()})


def with_source(
    config: Config, pde: PDE, path: Path | str | None = None,
    map: DataMap | Path | str | None = None, progress: bool = True,
) -> Config:  # fmt: skip
    """Return a configuration with what it takes from its data set filled in.

    As many samples are trained on as there are, unless the configuration says fewer.

    Args:
        config: The configuration.
        pde: The equation.
        path: The data set, in place of ``data.source``, or a file of others, which is imported.
        map: The map of a file of others.
        progress: Whether to show progress of that, on standard error.

    Raises:
        UsageError: If the data are of another equation, or too few.
        PiddmError: If they cannot be read.
    """
    source = config.data.source if path is None else str(path)
    settings = config.data
    if source is None or settings.taken is not None:
        if settings.model_error is not None and settings.taken is None:
            raise UsageError("data.model_error is of data that are given: give --data FILE")
        if pde.name == NO_EQUATION and settings.taken is None:
            raise UsageError("without an equation nothing can be simulated: give --data FILE")
        return config
    source = str(as_data_set(source, pde, map, progress))
    data = dataset.read(source)
    if data.pde != pde.name:
        raise UsageError(f"{source} holds data of {data.pde}, asked is {pde.name}")
    distinct = len(_groups(data))
    if distinct < 2 * LEAST:
        raise UsageError(
            f"{source} has {distinct} different samples, and {LEAST} to train on and {LEAST} to "
            "hold out are the least; bring more"
        )
    held_out = max(LEAST, min(settings.held_out, distinct // SHARE))
    said = "train" in settings.model_fields_set
    train = len(data) - held_out
    train = min(train, settings.train) if said else train
    allowed = data.floor
    if settings.model_error is not None:
        allowed = dict.fromkeys(data.floor, settings.model_error**2)
    taken = SourceConfig(
        content=content(data),
        fields=pde.field_names if pde.name == NO_EQUATION else (),
        grid={k: AxisData(**dataclasses.asdict(axis)) for k, axis in data.grid.axes.items()},
        params=data.params,
        varying=_ranges(data),
        allowed=allowed,
        octaves=_octaves(pde, data),
    )
    plain = config.model_dump()
    plain["data"] |= {"source": source, "taken": taken, "train": train, "held_out": held_out}
    if taken.fields:  # there is no physics to weigh
        plain["student"]["physics_weight"] = 0.0
    return Config.model_validate(plain)


def content(data: Dataset) -> str:
    """Return the digest of a data set's numbers and of where they are."""
    told = {"grid": str(data.grid.to_dict()), "params": str(sorted(data.params.items()))}
    return of_tensors(data.fields, told)


def take(config: Config, path: Path, mark: str) -> Generator[Progress, None, None]:
    """Write a run's data: those that are given, in an order that tells trained from held-out ones.

    Raises:
        PiddmError: If the data set is gone, or is another one by now.
    """
    settings, seed = config.data, config.seed
    assert settings.taken is not None
    data = dataset.read(str(settings.source))
    if content(data) != settings.taken.content:
        raise PiddmError(
            f"{settings.source} is not what it was when this run began; bring it back, or begin "
            "another run"
        )
    order = split(data, settings.train, settings.held_out, seed)
    fields = {k: picked(v, order) for k, v in data.fields.items()}
    made = replace(data, fields=fields, seed=seed, fingerprint=mark)
    dataset.write(made, path)
    yield Progress("take", len(order), len(order), data.floor)


def split(data: Dataset, train: int, held_out: int, seed: int) -> Tensor:
    """Return which samples are trained on, and after them which are held out.

    They are shuffled, since files are often sorted. Samples that are the same stay together, among
    those that are trained on.
    """
    groups = _groups(data)
    draw = generator(seed, "split")
    order = torch.randperm(len(groups), generator=draw).tolist()
    single = [i for i in order if len(groups[i]) == 1]
    if len(single) < held_out:
        raise UsageError(f"only {len(single)} samples are there once: hold out no more")
    out = set(single[-held_out:])
    rest = [k for i in order if i not in out for k in groups[i]]
    return torch.tensor([*rest[:train], *(groups[i][0] for i in single[-held_out:])])


def _groups(data: Dataset) -> list[list[int]]:
    """Return the indices of samples, those that are the same together."""
    found: dict[bytes, list[int]] = {}
    for i in range(len(data)):
        mark = hashlib.sha256()
        for name in sorted(data.fields):
            mark.update(data.fields[name][i].contiguous().numpy().tobytes())
        found.setdefault(mark.digest(), []).append(i)
    return list(found.values())
