r"""Of which law a question is: the evidence of its observations under several laws of the inputs.

.. math:: e = -\tfrac12\big(d^T K^{-1} d + \log\det K\big), \qquad d = \frac{y - H\bar x}{s},
    \qquad K = \frac{HCH^T}{s^2} + 1, \qquad C = SS^T,

with mean and colour (:mod:`piddm.data.packing`) of a few simulated solutions of each law. Whatever
the solver, it costs no solution of the question. The difference of two evidences is the most
powerful statistic for telling two Gaussian laws apart (Neyman and Pearson, Philosophical
Transactions of the Royal Society A 231, 1933); chi squared over n tells what no law expected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from piddm.data.packing import Packing
from piddm.data.simulate import simulate
from piddm.equation import PDE
from piddm.grids.grid import Grid
from piddm.solvers._linear_part import through_colour
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.synthetic import drawn_from
from piddm.tasks.task import Task
from piddm.tools.errors import PiddmError
from piddm.tools.files import read_tensors, write_tensors
from piddm.tools.randomness import generator

SOLUTIONS, LEAST, NUMBERS = 128, 32, 2**21
"""Solutions of each law: fewer on grids of so many nodes that they would take minutes. With 16, 64
and 256 of them 82, 85 and 92 % of rougher sources of Poisson are told apart, where 15 % of those of
the own law are mistaken (16 x 16, 26 sensors with 2 % of noise)."""

RANK = 64
"""Principal components of their colour, at most."""

KIND = "law"
"""What a file of a law's mean and colour says of itself."""

MOST = 512
"""Observations at most; of more so many at random."""


@dataclass(frozen=True)
class Evidence:
    """What observations say of a law.

    Args:
        chi_squared: Over the number of observations.
        logarithm: e.
    """

    chi_squared: float
    logarithm: float


class Laws:
    """Laws of an equation's inputs, as what they make of its solutions.

    Args:
        pde: The equation, with the law of the data.
        grid: The grid of the answers.
        names: Which laws, see :func:`piddm.tasks.synthetic.drawn_from`; those that are the data's
            own are left out.
        kept: Says where a law's mean and colour are kept, so that its solutions are simulated
            once; nowhere where left out.
    """

    def __init__(
        self, pde: PDE, grid: Grid, names: Sequence[str],
        kept: Callable[[PDE, str], Path] | None = None,
    ) -> None:  # fmt: skip
        self._names, self._packings = pde.field_names, dict[str, Packing]()
        for name in names:
            other = drawn_from(pde, name)
            if other is None:
                continue
            path = kept(other, name) if kept else None
            self._packings[name] = _read(path, other, grid) or _made(path, other, grid, name)

    @property
    def names(self) -> list[str]:
        """The laws that there are."""
        return list(self._packings)

    @torch.no_grad()
    def evidence(self, task: Task, deviation: Mapping[str, float] | Packing) -> dict[str, Evidence]:
        """Return the evidence of a question's observations, law by law.

        Args:
            task: The question.
            deviation: Deviations of fields, from which exact observations have their tolerance.
        """
        likelihood = Likelihood.of(task, self._names, deviation)
        sensors, n = likelihood.sensors, len(likelihood)
        chosen = torch.arange(n)
        if n > MOST:
            chosen = torch.randperm(n, generator=generator(0, "surprise"))[:MOST].sort().values
        unit = likelihood.sigma[chosen]
        more = {k: torch.full((1,), v) for k, v in sensors.other.defaults.items()}
        found = {}
        for name, packing in self._packings.items():
            mean = packing.middle()
            away = (sensors.values - sensors(more | mean)[0].double().cpu())[chosen] / unit
            rows = through_colour(packing, sensors, chosen).double().cpu() / unit[:, None]
            inner = rows @ rows.mT
            inner.diagonal().add_(1.0)
            factor = torch.linalg.cholesky(inner)
            white = torch.linalg.solve_triangular(factor, away[:, None], upper=False)
            size = float(white.square().sum())
            volume = 2 * float(factor.diagonal().log().sum())
            found[name] = Evidence(size / len(chosen), -0.5 * (size + volume))
        return found


def _read(path: Path | None, pde: PDE, grid: Grid) -> Packing | None:
    """Return what is kept of a law; nothing where nothing is, or nothing that can be read."""
    if path is None or not path.exists():
        return None
    packing = Packing(grid, pde.field_names, RANK)
    try:
        packing.load_state_dict(read_tensors(path, KIND)[0])
    except (PiddmError, RuntimeError):  # damaged, or of another layout: it is made again
        return None
    return packing


def _made(path: Path | None, pde: PDE, grid: Grid, name: str) -> Packing:
    """Return mean and colour of simulated solutions, and keep them."""
    count = max(LEAST, min(SOLUTIONS, NUMBERS // math.prod(grid.shape)))
    parts = list(simulate(pde, grid, count, generator(0, "law", name)))
    fields = {k: torch.cat([p[k] for p in parts]).float() for k in pde.field_names}
    packing = Packing(grid, pde.field_names, RANK).fit(fields)
    if path is not None:
        with suppress(PiddmError):  # where nothing can be written they are simulated each time
            write_tensors(path, packing.state_dict(), {"piddm_kind": KIND})
    return packing
