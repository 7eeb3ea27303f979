r"""From fields to what sensors see: points between nodes, averages, fluxes, functions of fields.

.. math:: (Hx)_i = \sum_j w_{ij}\, x_j

A point has Lagrange's weights along each axis, 2 or 4 nodes around it, taken at the nodes' own
coordinates, which need not be evenly spaced. At a node it is that node's value. Along periodic
axes the nodes go on across the seam; at walls those of the nearest interval inside are used. Other
readings (:mod:`piddm.tasks.quantities`) follow the points: where they are linear in the fields they
are rows of H too, else functions of the state with a derivative. Sensors that have a bias in common
are told of one another (:mod:`piddm.tasks.bias`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack
from torch import Tensor

from piddm.residuals.residual import Fields
from piddm.tasks.bias import whitened
from piddm.tasks.instruments import Instruments
from piddm.tasks.observations import Observations
from piddm.tasks.regions import WIDTHS, point_weights
from piddm.tools.errors import UsageError


class Sensors:
    """The map from fields to what a set of observations sees.

    Args:
        observations: Where and what was seen.
        names: The fields, in order.
        interpolation: ``linear``, which never overshoots, or ``cubic``, for smooth fields.

    Attributes:
        values: What was seen, ``(n,)``, float64; of a group with a bias what is new in it.
        sigma: Its noise, ``(n,)``.
        points: How many of them are values at points, the first ones.
        index: Nodes that each point touches, ``(points, k)``, in the fields one after another, each
            row-major.
        weight: Their weights, ``(points, k)``.
        field: Which field each point is of, ``(points,)``.
        curved: Whether a reading is no linear function of the fields.
        other: What else is read.
    """

    def __init__(
        self, observations: Observations, names: tuple[str, ...], interpolation: str = "linear"
    ) -> None:
        if interpolation not in WIDTHS:
            raise UsageError(f"no interpolation {interpolation!r}; choose linear or cubic")
        self.grid, self.names = observations.grid, names
        self.nodes = math.prod(self.grid.shape)
        present = [k for k in names if len(observations.values.get(k, ()))]
        self.other = Instruments(observations, names, interpolation)
        none = torch.zeros(0, dtype=torch.float64)
        values = [*(observations.values[k] for k in present), self.other.values, none]
        sigma = [*(observations.sigma[k] for k in present), self.other.sigma, none]
        self.values, self.sigma = torch.cat(values), torch.cat(sigma)
        found = [point_weights(self.grid, observations.points[k].numpy(), interpolation)
                 for k in present]  # fmt: skip
        width = min(WIDTHS[interpolation], *self.grid.shape) ** len(self.grid.shape)
        index = [np.zeros((0, width if not found else found[0][0].shape[1]), dtype=np.int64)]
        weight = [index[0].astype(float)]
        field = [np.zeros(0, dtype=np.int64)]
        for (i, w), k in zip(found, present, strict=True):
            index.append(i + self.nodes * names.index(k))
            weight.append(w)
            field.append(np.full(len(i), names.index(k)))
        self.index, self.weight, self.field = (
            torch.from_numpy(np.concatenate(v)) for v in (index, weight, field)
        )
        self.points, self.curved = len(self.index), self.other.curved
        self._mix: csr_matrix | None = None
        self._jacobian: csr_matrix | None = None
        self._mixed(observations)

    def _mixed(self, observations: Observations) -> None:
        """Tell readings of a group with a bias what those before them say of it."""
        groups = observations.all_groups(self.names)
        if not any(groups):
            return
        mix, sigma = whitened(groups, observations.bias, self.sigma.numpy())
        self.values = torch.from_numpy(mix @ self.values.numpy())
        self.sigma, self._mix = torch.from_numpy(sigma), mix
        entries = mix.tocoo()
        self._mix_at = torch.from_numpy(np.stack([entries.row, entries.col]).astype(np.int64))
        self._mix_by = torch.from_numpy(entries.data)

    @property
    def local(self) -> bool:
        """Whether all are values at points and none has a bias: each touches nodes around it."""
        return not len(self.other) and self._mix is None

    def __len__(self) -> int:
        return len(self.values)

    def __call__(self, fields: Fields) -> Tensor:
        """Return what the sensors see of fields ``(batch, *grid.shape)``: ``(batch, n)``."""
        flat = torch.cat([fields[k].flatten(1) for k in self.names], dim=1)
        weight = self.weight.to(flat)
        seen = (flat[:, self.index.to(flat.device)] * weight).sum(-1)
        if len(self.other):
            seen = torch.cat([seen, self.other(fields, flat)], dim=1)
        if self._mix is None:
            return seen
        row, column = self._mix_at.to(flat.device)
        parts = seen[:, column] * self._mix_by.to(seen)
        return seen.new_zeros(seen.shape).index_add(1, row, parts)

    def linear(self, state: Fields) -> Sensors:
        """Return the sensors linearised at one state, fields ``(1, *grid.shape)``; or themselves.

        Only what has weights is linear of them; called, they are what they were.
        """
        if not self.curved:
            return self
        found = copy.copy(self)
        found._jacobian = self.matrix(self.nodes * len(self.names), state)
        return found

    def push(self, moves: Fields) -> Tensor:
        """Return H v of moves ``(batch, *grid.shape)``: ``(batch, n)``, no gradient."""
        if self.local:
            return self(moves)
        flat = torch.cat([moves[k].flatten(1) for k in self.names], dim=1)
        h = self.matrix(self.nodes * len(self.names))
        return torch.from_numpy((h @ flat.detach().cpu().double().numpy().T).T).to(flat)

    def matrix(
        self, columns: int, state: Fields | None = None, params: Sequence[str] = ()
    ) -> csr_matrix:
        """Return H as a sparse matrix ``(n, columns)``; columns beyond what is seen are empty.

        Args:
            columns: Values of a state: fields one after another, then params.
            state: Where readings that are not linear are differentiated, one sample.
            params: Names of the params that have columns.

        Raises:
            UsageError: If a reading is not linear and there is no state.
        """
        if self._jacobian is not None and state is None:
            return self._jacobian
        count, width = self.index.shape
        pointer = np.arange(count + 1) * width
        entries = self.weight.flatten().numpy(), self.index.flatten().numpy(), pointer
        found = csr_matrix(entries, (count, columns))
        if len(self.other):
            found = csr_matrix(vstack([found, self.other.matrix(columns, state, params)]))
        return found if self._mix is None else csr_matrix(self._mix @ found)

    def spread(self, at_sensors: Tensor) -> dict[str, Tensor]:
        r"""Return :math:`H^T r` of ``(batch, n)``: fields ``(batch, *grid.shape)``."""
        if not self.local:
            h = self.matrix(self.nodes * len(self.names))
            flat = torch.from_numpy((h.T @ at_sensors.detach().cpu().double().numpy().T).T)
            return self._fields(flat.to(at_sensors))
        flat = at_sensors.new_zeros(len(at_sensors), self.nodes * len(self.names))
        parts = (at_sensors[..., None] * self.weight.to(at_sensors)).flatten(1)
        flat.index_add_(1, self.index.flatten().to(flat.device), parts)
        return self._fields(flat)

    def rows(self, chosen: Tensor) -> dict[str, Tensor]:
        """Return rows of H, float32, as fields ``(len(chosen), *grid.shape)``."""
        if not self.local:
            h = self.matrix(self.nodes * len(self.names))
            return self._fields(torch.from_numpy(h[chosen.numpy()].toarray()).float())
        flat = torch.zeros(len(chosen), self.nodes * len(self.names))
        flat.scatter_add_(1, self.index[chosen], self.weight[chosen].to(flat))
        return self._fields(flat)

    def _fields(self, flat: Tensor) -> dict[str, Tensor]:
        parts = flat.split(self.nodes, dim=1)
        return {k: p.view(-1, *self.grid.shape) for k, p in zip(self.names, parts, strict=True)}

    def units(self, deviation: Mapping[str, float]) -> Tensor:
        """Return the deviation of the field that each point is of, ``(points,)``, float64."""
        every = torch.tensor([deviation[k] for k in self.names], dtype=torch.float64)
        return every[self.field]

    @property
    def exact(self) -> tuple[Tensor, Tensor]:
        """Nodes whose own value was seen without noise, as ``index`` has them, and the values."""
        n = self.points
        own = (self.weight.abs() > 1 - 1e-9) & (self.sigma[:n] == 0)[:, None]
        return self.index[own], self.values[:n][own.nonzero()[:, 0]]

    @property
    def known(self) -> dict[str, np.ndarray]:
        """Field name to boolean ``(*grid.shape)``: nodes whose own value was seen."""
        single = (self.weight.abs() > 1 - 1e-9).nonzero()
        flat = np.zeros(self.nodes * len(self.names), dtype=bool)
        flat[self.index[single[:, 0], single[:, 1]].numpy()] = True
        parts = np.split(flat, len(self.names))
        return {k: part.reshape(self.grid.shape) for k, part in zip(self.names, parts, strict=True)}
