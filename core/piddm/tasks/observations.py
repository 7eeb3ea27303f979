"""What is known: values of fields at points of the domain, each with the size of its noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from piddm.errors import UsageError, nearest
from piddm.grid import Grid

EDGE = 1e-9
"""Share of an axis by which a point may lie outside, from rounding in a file."""


@dataclass(frozen=True)
class Observations:
    r"""Values :math:`y_i = u(p_i) + \sigma_i e_i` of some fields, with e of unit variance.

    Points need not be nodes, nor times those of the grid. Make them with :meth:`at_points` or
    :meth:`at_nodes`, or read them with :func:`piddm.tasks.reading.read_observations`.

    Args:
        grid: The domain.
        points: Field name to coordinates ``(n, axes)``, in the grid's order, float64.
        values: Field name to ``(n,)``, float64.
        sigma: Field name to ``(n,)``, float64; 0 is exact.
        params: Known values of the equation's params.
        labels: Field name to what each observation is called in messages, such as its line in a
            file.

    Raises:
        UsageError: If a point is outside the domain or twice there, a value is not finite, a sigma
            negative, shapes disagree, or there is nothing at all.
    """

    grid: Grid
    points: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    sigma: Mapping[str, Tensor]
    params: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not sum(len(v) for v in self.values.values()):
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
        places = self._folded(points)
        _, inverse, counts = places.unique(dim=0, return_inverse=True, return_counts=True)
        if bool((counts > 1).any()):
            first, second, *_ = torch.nonzero(inverse == int(counts.argmax()))[:, 0].tolist()
            raise UsageError(
                f"{self._label(name, second)} is at the same place as {self._label(name, first)}; "
                "keep one of them, or their mean with a smaller sigma"
            )

    def _folded(self, points: Tensor) -> Tensor:
        """Return points with both ends of a periodic axis taken for one, rounded."""
        lower = points.new_tensor([a.lower for a in self.grid.axes.values()])
        length = points.new_tensor([a.upper - a.lower for a in self.grid.axes.values()])
        share = ((points - lower) / length / EDGE).round()
        whole = share.new_tensor(round(1 / EDGE))
        periodic = torch.tensor(self.grid.periodic)
        return torch.where(periodic, share % whole, share)

    def _refuse(self, name: str, bad: Tensor, why: str) -> None:
        if bool(bad.any()):
            raise UsageError(f"{self._label(name, int(bad.nonzero()[0]))} {why}")

    def _label(self, name: str, index: int) -> str:
        at = ", ".join(
            f"{k}={float(v):g}"
            for k, v in zip(self.grid.names, self.points[name][index], strict=True)
        )
        own = self.labels.get(name)
        where = own[index] if own else f"observation {index + 1} of {name}"
        return f"{where} ({name} at {at})"

    @classmethod
    def at_points(
        cls,
        grid: Grid,
        points: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
        sigma: Mapping[str, Tensor] | float = 0.0,
        **more: Mapping,
    ) -> Observations:
        """Return observations at arbitrary points and times.

        Args:
            grid: The domain.
            points: Field name to coordinates ``(n, axes)``, in the grid's order.
            values: Field name to ``(n,)``.
            sigma: Standard deviation of the noise, one for all or by field ``(n,)``.
            more: ``params`` and ``labels``, see the class.
        """
        if points.keys() != values.keys():
            raise UsageError(
                f"points are of {', '.join(points)}, values of {', '.join(values)}: give both of "
                "each field"
            )
        exact = {k: torch.as_tensor(v, dtype=torch.float64) for k, v in values.items()}
        if not isinstance(sigma, Mapping):
            sigma = {k: torch.full_like(v, sigma) for k, v in exact.items()}
        return cls(
            grid,
            {k: torch.as_tensor(v, dtype=torch.float64) for k, v in points.items()},
            exact,
            {k: torch.as_tensor(v, dtype=torch.float64) for k, v in sigma.items()},
            **more,
        )

    @classmethod
    def at_nodes(
        cls,
        grid: Grid,
        values: Mapping[str, Tensor],
        mask: Mapping[str, Tensor] | None = None,
        sigma: float = 0.0,
        **more: Mapping,
    ) -> Observations:
        """Return observations at nodes of the grid.

        Args:
            grid: The grid.
            values: Field name to ``(*grid.shape)``.
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
            at = (mask or {}).get(name, full)
            if value.shape != grid.shape or at.shape != grid.shape or at.dtype != torch.bool:
                raise UsageError(
                    f"{name} and its mask (of booleans) have the shape of the grid, {grid.shape}, "
                    f"not {tuple(value.shape)} and {tuple(at.shape)}"
                )
            points[name], known[name] = nodes[at], value[at]
        return cls.at_points(grid, points, known, sigma, **more)

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(len(v) for v in self.values.values())

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
        return self
