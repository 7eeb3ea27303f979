"""A data set in memory: samples of one equation's fields on one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.tools import memory
from piddm.tools.errors import UsageError
from piddm.tools.notebooks import Shown, drawn, lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOLD = 512
"""Solutions, the first ones, whose ranges are told: all would take seconds."""


def finite(values: Tensor) -> bool:
    """Return whether all of many samples' values are finite."""
    return all(bool(torch.isfinite(values[part]).all()) for part in pieces(values))


def picked(values: Tensor, order: Tensor) -> Tensor:
    """Return samples in another order, on the disk where they are many."""
    several = list(pieces(values[:1].expand(len(order), *values.shape[1:])))
    if len(several) == 1:
        return values[order]
    found = torch.from_numpy(memory.room((len(order), *values.shape[1:]), values.numpy().dtype))
    for part in several:
        found[part] = values[order[part]]
    return found


def pieces(values: Tensor) -> Iterator[slice]:
    """Yield slices of samples that are dealt with together."""
    return memory.parts(len(values), values[:1].numel() * values.element_size())


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Shown):
    """Solutions of one equation on one grid.

    Args:
        pde: Name of the equation.
        grid: The grid.
        fields: Field name to float32 ``(n, *axes)``, or float64 where more digits mean something,
            as after a projection; parameters that differ between trajectories
            stand beside the fields, as a residual takes them, with shape ``(n,)``.
        scale: Row name to the root mean square of the row's largest term, over solved data.
        floor: Row name to the mean-square residual, over scale, that these fields had when they
            were made: a solver's round-off, or a generator's error.
        seed: Seed from which the inputs were drawn.
        fingerprint: Of everything the data depend on, where they were made for a run.
        params: Params that all samples share, where they are not the equation's own.
        origin: Where the data are from, where piddm did not make them.
        computed: By field that nobody measured, the names of the equations that it was computed
            from: its values satisfy them whatever the others are.

    Raises:
        UsageError: If the shapes, or the numbers of trajectories, do not agree.
    """

    pde: str
    grid: Grid
    fields: dict[str, Tensor]
    scale: dict[str, float]
    floor: dict[str, float]
    seed: int
    fingerprint: str = ""
    params: dict[str, float] = field(default_factory=dict)
    origin: str = ""
    computed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not any(values.ndim > 1 for values in self.fields.values()):
            raise UsageError(f"a dataset of {self.pde} needs at least one field")
        for name, values in self.fields.items():
            if tuple(values.shape) not in ((len(self), *self.grid.shape), (len(self),)):
                raise UsageError(
                    f"{self.pde}: {name} has the shape {tuple(values.shape)}, but the grid and the "
                    f"other fields ask for {(len(self), *self.grid.shape)}"
                )
            if values.dtype not in (torch.float32, torch.float64):
                raise UsageError(f"{self.pde}: {name} is {values.dtype}; pass float32 or float64")

    def __len__(self) -> int:
        return next(iter(self.fields.values())).shape[0]

    def in_words(self) -> str:
        """Return what the data are: their number, nodes, ranges and floor."""
        shape, rows = " × ".join(map(str, self.grid.shape)), {}
        for name, values in self.fields.items():
            v = values[:TOLD]
            rows[name] = f"{v.min():.4g} to {v.max():.4g}, deviation {v.std():.4g}"
        rows["floor"] = ", ".join(f"{name} {value:.2g}" for name, value in self.floor.items())
        return lines(f"{len(self)} solutions of {self.pde}, {shape} nodes, seed {self.seed}", rows)

    def plot(self) -> Figure:
        """Return a picture of the first few solutions, a row for each field."""
        return drawn("of_dataset", self)

    def split(self, held_out: int) -> tuple[Dataset, Dataset]:
        """Return the trajectories to train on, and the last ``held_out`` ones to test on."""
        if not 0 < held_out < len(self):
            raise UsageError(
                f"cannot hold out {held_out} of {len(self)} trajectories; keep at least one on "
                "either side"
            )
        cut = len(self) - held_out
        train = {name: values[:cut] for name, values in self.fields.items()}
        test = {name: values[cut:] for name, values in self.fields.items()}
        return replace(self, fields=train), replace(self, fields=test)
