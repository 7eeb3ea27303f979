r"""No model: fields themselves are moved until they fit the observations and the equation.

.. math:: \min_x \; \left\|\frac{Hx - y}{s} - \xi\right\|^2
    + \lambda\,\|R(x_{mix})\|^2, \qquad \xi \sim N(0, I),

with x the normalised fields, :math:`\xi` a member's own draw of the noise (nothing where a value is
exact; without it all members would follow the noise that there is, and agree), s the noise of each
observation (a thousandth of the field's deviation where it is exact), R the normalised residual,
summed over equations as the mean square of each, and :math:`x_{mix}` the fields with exactly known
values put in their place. It is what a student is to be compared with: the same objective as in
latent space, without what it has learned. Members differ by that draw, and by the noise that they
start from. Source: the question of the reviewers of PIDDM, Algorithm 3, which is in latent space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Generator as Steps
from typing import Literal, get_args

import torch
from torch import Generator, Tensor

from piddm.data.no_equation import needed
from piddm.data.packing import Packing
from piddm.numerics.algebra.lbfgs import minimise
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.model import Model
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress

STILL, DRAWS = 1e-4, 8
"""Range along an axis, over the deviation, up to which a field's departures from its mean count as
constant along it: single precision; and draws of the data's law that tell it."""

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
        run: Model,
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
        needed(self.run.residual, "the solver data-space")
        packing = self.run.packing
        shape = (count, packing.channels, *packing.image)
        white = torch.randn(shape, generator=generator, dtype=torch.float64)
        start = (self.start * white).flatten(1)
        loss = _Loss(self.run, task, self.weight, count, generator)
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

    def __init__(
        self, run: Model, task: Task, weight: float, count: int, generator: Generator
    ) -> None:
        # Of data that satisfy it nearly, no nearer: their answers are no better than they are.
        self._residual, self._scale, self._weight = run.soft_residual, run.scale, weight
        self._packing = run.packing
        self._likelihood = Likelihood.of(task, run.residual.field_names, self._packing)
        self._sensors = self._likelihood.sensors
        self._noise = self._likelihood.noise(count, generator) * (self._sensors.sigma > 0)
        self._params = task.observations.params
        self._middle, self._still = _still_axes(self._packing)
        # Noisy values are not put in place: their noise would be a residual that nothing removes.
        self._at, self._values = self._sensors.exact

    def fields(self, x: Tensor) -> dict[str, Tensor]:
        """Return physical fields."""
        shape = (-1, self._packing.channels, *self._packing.image)
        found: dict[str, Tensor] = dict(self._packing.relaxed(x.view(shape)))
        for name, dims in self._still.items():
            middle = self._middle[name].to(found[name])
            away = found[name] - middle
            found[name] = middle + away.mean(dims, keepdim=True).expand_as(away)
        return found

    def __call__(self, x: Tensor) -> Tensor:
        fields = self.fields(x)
        misfit = self._likelihood.misfit(fields) - self._noise
        mixed: dict[str, Tensor] = self._mixed(fields)
        mixed |= {k: x.new_full((len(x),), v) for k, v in self._params.items()}
        rows = self._residual(mixed)
        physics = torch.stack(
            [(r / self._scale[k]).flatten(1).square().mean(1) for k, r in rows.items()]
        )
        return misfit.square().sum(1) + self._weight * physics.sum(0)

    def _mixed(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return fields with exactly known nodes replaced by the known values."""
        names, shape = self._sensors.names, self._sensors.grid.shape
        flat = torch.cat([fields[k].flatten(1) for k in names], dim=1)
        flat = flat.index_copy(1, self._at, self._values.expand(len(flat), -1))
        parts = flat.split(self._sensors.nodes, dim=1)
        return {k: p.view(-1, *shape) for k, p in zip(names, parts, strict=True)}


@torch.no_grad()
def _still_axes(packing: Packing) -> tuple[dict[str, Tensor], dict[str, tuple[int, ...]]]:
    """Return each field's mean ``(1, *axes)``, and along which axes all differ by a constant.

    A source that is one number at all nodes stays one number.
    """
    draw = torch.Generator().manual_seed(0)
    shape = (DRAWS, packing.channels, *packing.image)
    white = torch.randn(shape, generator=draw).to(packing.scale)
    middle, still = packing.middle(), {}
    for name, drawn in packing.relaxed(packing.colour(white)).items():
        away = drawn - middle[name]
        least = STILL * float(away.square().mean().sqrt())
        dims = (d for d in range(1, away.ndim)
                if float((away.amax(d) - away.amin(d)).max()) <= least)  # fmt: skip
        if least and (own := tuple(dims)):
            still[name] = own
    return middle, still
