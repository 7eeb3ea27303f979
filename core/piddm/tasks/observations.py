"""What is known: values of fields at points, and of other quantities, each with its noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from piddm.grids.grid import Grid
from piddm.tasks.quantities import EDGE
from piddm.tasks.readings import Reading, check_groups, check_readings
from piddm.tasks.repetitions import combined
from piddm.tools import arrays
from piddm.tools.errors import UsageError, nearest


@dataclass(frozen=True)
class Observations:
    r"""Values :math:`y_i = u(p_i) + \sigma_i e_i` of some fields, with e of unit variance.

    Points need not be nodes, nor times those of the grid. Make them with :meth:`at_points` or
    :meth:`at_nodes`, or read them with :func:`piddm.tasks.observation_files.read_observations`.

    Args:
        grid: The domain.
        points: Field name to coordinates ``(n, axes)``, in the grid's order, float64.
        values: Field name to ``(n,)``, float64.
        sigma: Field name to ``(n,)``, float64; 0 is exact.
        params: Known values of the equation's params.
        labels: Field name to what each observation is called in messages, such as its line in a
            file.
        combined: How many readings were combined with others at their place, by their sigmas.
        note: What else was found out about them.
        readings: What instruments read that see no points.
        bias: Group of sensors to the standard deviation of what all of them read too much, or too
            little, by: an unknown of its own, Gaussian and of mean zero.
        groups: Field name to the group of each observation; empty where it has none.

    Raises:
        UsageError: If a point is outside the domain, two exact values at one place differ, a value
            is not finite, a sigma negative, shapes disagree, or there is nothing at all.
    """

    grid: Grid
    points: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    sigma: Mapping[str, Tensor]
    params: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    combined: int = 0
    note: str = ""
    readings: Sequence[Reading] = ()
    bias: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.count:
            raise UsageError("there are no observations: give at least one value of a field")
        if bad := [k for k, v in self.params.items() if not math.isfinite(v)]:
            raise UsageError(f"the param {bad[0]} is {self.params[bad[0]]}: give a finite number")
        for name, points in self.points.items():
            n = len(points)
            if points.shape != (n, len(self.grid.shape)) or any(
                part[name].shape != (n,) for part in (self.values, self.sigma)
            ):
                raise UsageError(
                    f"observations of {name}: {n} points with {len(self.grid.shape)} coordinates "
                    f"({', '.join(self.grid.names)}) need as many values and sigmas"
                )
            self._check(name)
        check_readings(self.grid, self.readings)
        check_groups(self.bias, self.groups, self.readings,
                     {k: len(v) for k, v in self.values.items()})  # fmt: skip
        for name in tuple(self.points):
            self._combine(name)

    def _check(self, name: str) -> None:
        points, values, sigma = self.points[name], self.values[name], self.sigma[name]
        finite = values.isfinite() & points.isfinite().all(1) & sigma.isfinite()
        self._refuse(name, ~finite, "is not a finite number")
        self._refuse(name, sigma < 0, "has a negative sigma")
        for d, (key, axis) in enumerate(self.grid.axes.items()):
            slack = EDGE * (axis.upper - axis.lower)
            out = (points[:, d] < axis.lower - slack) | (points[:, d] > axis.upper + slack)
            self._refuse(
                name, out, f"is outside the domain: {key} goes from {axis.lower:g} to "
                f"{axis.upper:g}",
            )  # fmt: skip

    def _combine(self, name: str) -> None:
        """Make one of several readings at a place, by their sigmas; an exact one counts only."""
        found = combined(
            self.grid, self.points[name], self.values[name], self.sigma[name],
            self.groups.get(name, ()), lambda index: self.label(name, index),
        )  # fmt: skip
        if found is None:
            return
        kept, values, sigma = found
        gone = len(self.points[name]) - len(kept)
        self._put("points", name, self.points[name][kept])
        self._put("values", name, values)
        self._put("sigma", name, sigma)
        for named in ("labels", "groups"):
            if own := getattr(self, named).get(name):
                self._put(named, name, [own[int(i)] for i in kept])
        object.__setattr__(self, "combined", self.combined + gone)

    def _put(self, what: str, name: str, values: Any) -> None:
        object.__setattr__(self, what, {**getattr(self, what), name: values})

    def _refuse(self, name: str, bad: Tensor, why: str) -> None:
        if bool(bad.any()):
            raise UsageError(f"{self.label(name, int(bad.nonzero()[0]))} {why}")

    def place(self, name: str, index: int) -> str:
        """Return of what an observation is, and where."""
        at = ", ".join(
            f"{k}={float(v):g}"
            for k, v in zip(self.grid.names, self.points[name][index], strict=True)
        )
        return f"{name} at {at}"

    def label(self, name: str, index: int) -> str:
        """Return what an observation is called in messages, with its place."""
        own = self.labels.get(name)
        where = own[index] if own else f"observation {index + 1} of {name}"
        return f"{where} ({self.place(name, index)})"

    @classmethod
    def at_points(
        cls,
        grid: Grid,
        points: Mapping[str, ArrayLike],
        values: Mapping[str, ArrayLike],
        sigma: Mapping[str, ArrayLike] | float = 0.0,
        **more: Any,
    ) -> Observations:
        """Return observations at arbitrary points and times.

        Args:
            grid: The domain.
            points: Field name to coordinates ``(n, axes)``, in the grid's order.
            values: Field name to ``(n,)``; what a masked array hides is not observed.
            sigma: Standard deviation of the noise, one for all or by field ``(n,)``.
            more: ``params`` and ``labels``, see the class.
        """
        if points.keys() != values.keys():
            raise UsageError(
                f"points are of {', '.join(points)}, values of {', '.join(values)}: give both of "
                "each field"
            )
        exact = {k: arrays.exact(v, f"the values of {k}") for k, v in values.items()}
        at = {k: arrays.whole(v, f"the points of {k}") for k, v in points.items()}
        if isinstance(sigma, Mapping):
            noise = {k: arrays.whole(v, f"the sigma of {k}") for k, v in sigma.items()}
        else:
            noise = {k: torch.full_like(v, sigma) for k, v in exact.items()}
        labels, groups = dict(more.pop("labels", {})), dict(more.pop("groups", {}))
        for name, given in values.items():
            seen = arrays.visible(given)
            if seen is None or seen.shape != exact[name].shape:
                continue
            for part in (exact, at, noise):
                if len(part[name]) == len(seen):  # else what checks shapes says so
                    part[name] = part[name][seen]
            for named in (labels, groups):
                if name in named:
                    named[name] = [own for own, s in zip(named[name], seen, strict=True) if s]
        return cls(grid, at, exact, noise, labels=labels, groups=groups, **more)

    @classmethod
    def at_nodes(
        cls,
        grid: Grid,
        values: Mapping[str, ArrayLike],
        mask: Mapping[str, ArrayLike] | None = None,
        sigma: float = 0.0,
        **more: Any,
    ) -> Observations:
        """Return observations at nodes of the grid.

        Args:
            grid: The grid.
            values: Field name to ``(*grid.shape)``; what a masked array hides is not known.
            mask: Field name to boolean ``(*grid.shape)``: where the value is known; everywhere
                where a field has none.
            sigma: Standard deviation of the noise.
            more: ``params`` and ``labels``, see the class.
        """
        axes = [torch.from_numpy(axis.coordinates()) for axis in grid.axes.values()]
        nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        points, known = {}, {}
        for name, value in values.items():
            full = torch.ones(grid.shape, dtype=torch.bool)
            at = arrays.boolean((mask or {}).get(name, full), f"the mask of {name}")
            found, seen = arrays.exact(value, name), arrays.visible(value)
            if found.shape != grid.shape or at.shape != grid.shape:
                raise UsageError(
                    f"{name} and its mask have the shape of the grid, {grid.shape}, "
                    f"not {tuple(found.shape)} and {tuple(at.shape)}"
                )
            at = at if seen is None else at & seen
            points[name], known[name] = nodes[at], found[at]
        return cls.at_points(grid, points, known, sigma, **more)

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(len(v) for v in self.values.values()) + len(self.readings)

    @property
    def kinds(self) -> list[str]:
        """What is seen: names of fields, and formulas of what else is read."""
        return [*self.values, *dict.fromkeys(own.quantity.formula for own in self.readings)]

    def places(self, names: Sequence[str], labelled: bool = False) -> list[str]:
        """Return what all observations are called, in the order of the sensors.

        Args:
            names: The fields, in order.
            labelled: Whether with their labels, such as lines of a file.
        """
        call = self.label if labelled else self.place
        found = [call(k, i) for k in names for i in range(len(self.values.get(k, ())))]
        return found + [own.title if labelled else own.quantity.title for own in self.readings]

    def all_groups(self, names: Sequence[str]) -> list[str]:
        """Return the group of each observation, in the order of the sensors."""
        found: list[str] = []
        for name in names:
            count = len(self.values.get(name, ()))
            found += self.groups.get(name) or [""] * count
        return found + [own.group for own in self.readings]

    def with_sigma(self, sigma: Tensor, names: Sequence[str]) -> Observations:
        """Return the same with other sigmas, in the order of the sensors."""
        present = [k for k in names if len(self.values.get(k, ()))]
        parts = sigma.split([*(len(self.values[k]) for k in present), len(self.readings)])
        changed = {**self.sigma, **dict(zip(present, parts[:-1], strict=True))}
        readings = [replace(own, sigma=float(s))
                    for own, s in zip(self.readings, parts[-1], strict=True)]  # fmt: skip
        return replace(self, sigma=changed, readings=readings)

    @property
    def told(self) -> str:
        """What was done to the observations, if anything."""
        if not self.combined:
            return self.note
        are = "reading was" if self.combined == 1 else "readings were"
        said = f"{self.combined} {are} combined with another at its place, by their sigmas"
        return f"{said}; {self.note}" if self.note else said

    def checked(self, fields: Sequence[str], params: Sequence[str]) -> Observations:
        """Return itself, once all that it names is known to an equation."""
        for known, given, what in (
            (fields, self.values, "field"),
            (params, self.params, "param"),
        ):
            if strange := [k for k in given if k not in known]:
                raise UsageError(
                    f"the equation has no {what} {strange[0]}{nearest(strange[0], known)}"
                )
        for own in self.readings:
            own.quantity.check_symbols(fields, params, own.title)
        return self
