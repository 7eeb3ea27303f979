r"""No model: fields themselves are moved until they fit the observations and the equation.

.. math:: \min_x \; \left\|\frac{Hx - y}{s}\right\|^2
    + \lambda\,\|R(x_{mix})\|^2,

with x the normalised fields, s the noise of each observation (a thousandth of the field's deviation
where it is exact), R the normalised residual, summed over equations as the mean square of each, and
:math:`x_{mix}` the fields with what is known exactly put in its place. It is what a student is to
be compared with: the same objective as in latent space, without what it has learned.
Members differ by the noise that they start from. Source: the question of the reviewers of PIDDM,
Algorithm 3, which is in latent space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Generator as Steps
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Generator, Tensor

from piddm.errors import UsageError
from piddm.interfaces import Members, Solver, Task
from piddm.solvers.lbfgs import minimise
from piddm.tasks.finishing import EXACT
from piddm.tasks.sensors import Sensors
from piddm.training import Progress

if TYPE_CHECKING:
    from piddm.api import Run

Optimiser = Literal["lbfgs", "adam"]


class DataSpaceSolver(Solver):
    """Optimises fields directly.

    Args:
        run: Its equation, and the mean and scale of its data; models are not used.
        steps: Evaluations of the objective and its gradient.
        weight: Lambda. The equation holds exactly, so it is large: with less, fields overfit noisy
            observations in the course of the steps.
        start: Standard deviation of the noise that members start from, around the data's mean, in
            the fields' own.
        optimiser: ``lbfgs`` or ``adam``.
        learning_rate: Adam's.
    """

    def __init__(
        self,
        run: Run,
        steps: int = 2000,
        weight: float = 1e6,
        start: float = 0.1,
        optimiser: Optimiser = "lbfgs",
        learning_rate: float = 0.02,
    ) -> None:
        if steps < 1 or weight < 0 or start < 0 or learning_rate <= 0:
            raise UsageError("data-space takes at least 1 step, and no negative numbers")
        if optimiser not in get_args(Optimiser):
            raise UsageError(f"there is no optimiser {optimiser!r}; choose lbfgs or adam")
        self.run, self.steps, self.weight, self.start = run, steps, weight, start
        self.optimiser, self.learning_rate = optimiser, learning_rate

    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Look for ``count`` members; see :meth:`piddm.interfaces.Solver.solve`."""
        packing = self.run.packing
        shape = (count, packing.channels, *packing.image)
        white = torch.randn(shape, generator=generator, dtype=torch.float64)
        start = (self.start * white).flatten(1)
        loss = _Loss(self.run, task, self.weight)
        x = start

        def members() -> Members:
            return Members(loss.fields(x))

        self.so_far = members
        for step, (found, value) in enumerate(self._descent(loss, start)):
            x, values = found, {"loss": float(value.nanmean())}
            yield Progress("data-space", step + 1, self.steps, values)
        return members()

    def _descent(
        self, loss: Callable[[Tensor], Tensor], x: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        if self.optimiser == "lbfgs":
            yield from minimise(loss, x, self.steps)
            return
        x = x.requires_grad_()
        adam = torch.optim.Adam([x], lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.steps)
        for _ in range(self.steps):
            adam.zero_grad()
            with torch.enable_grad():
                value = loss(x)
                value.sum().backward()
            adam.step()
            schedule.step()
            yield x.detach().clone(), value.detach()


class _Loss:
    """The objective, sample by sample, of normalised fields ``(batch, n)``."""

    def __init__(self, run: Run, task: Task, weight: float) -> None:
        self._residual, self._scale, self._weight = run.residual, run.scale, weight
        self._packing = run.packing
        self._sensors = sensors = Sensors(
            task.observations, run.residual.field_names, task.interpolation
        )
        scale = self._packing.field_scale()
        unit = torch.tensor([scale[k] for k in sensors.names], dtype=torch.float64)
        self._sigma = torch.where(sensors.sigma > 0, sensors.sigma, EXACT * unit[sensors.field])
        self._params = task.observations.params
        # Noisy values are not put in place: their noise would be a residual that nothing removes.
        own = (sensors.weight.abs() > 1 - 1e-9) & (sensors.sigma == 0)[:, None]
        self._at, self._values = sensors.index[own], sensors.values[own.nonzero()[:, 0]]

    def fields(self, x: Tensor) -> dict[str, Tensor]:
        """Return physical fields."""
        return self._packing.unpack(x.view(-1, self._packing.channels, *self._packing.image))

    def __call__(self, x: Tensor) -> Tensor:
        fields = self.fields(x)
        misfit = (self._sensors(fields) - self._sensors.values) / self._sigma
        mixed: dict[str, Tensor] = self._mixed(fields)
        mixed |= {k: x.new_full((len(x),), v) for k, v in self._params.items()}
        rows = self._residual(mixed)
        physics = torch.stack(
            [(r / self._scale[k]).flatten(1).square().mean(1) for k, r in rows.items()]
        )
        return misfit.square().sum(1) + self._weight * physics.sum(0)

    def _mixed(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return fields with exactly known nodes replaced by what is known."""
        names, shape = self._sensors.names, self._sensors.grid.shape
        flat = torch.cat([fields[k].flatten(1) for k in names], dim=1)
        flat = flat.index_copy(1, self._at, self._values.expand(len(flat), -1))
        parts = flat.split(self._sensors.nodes, dim=1)
        return {k: p.view(-1, *shape) for k, p in zip(names, parts, strict=True)}
