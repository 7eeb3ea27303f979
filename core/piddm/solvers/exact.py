r"""The exact posterior of a linear equation with Gaussian inputs.

.. math:: \bar z = B^T K^{-1}(y - Hx_0), \qquad K = BB^T + \mathrm{diag}(\sigma^2), \qquad
    B = H\,\partial x/\partial z,

with x(z) the affine map of :mod:`piddm.solvers._affine`: the rows of B cost one adjoint solve each
and one transform of the inputs' law, and no covariance of fields is ever written down. Members are
exact draws by Matheron's rule,

.. math:: z_k + B^T K^{-1}\big(y + \sigma\xi_k - Hx(z_k)\big), \qquad z_k, \xi_k \sim N(0, I).

The mean is exact, and so are pointwise deviations where they are worth their solves. Nothing is
learned and nothing is searched. Source: Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, chapter 2; Wilson et al., Pathwise conditioning of Gaussian processes, Journal of
Machine Learning Research 22, 2021, for the draws.
"""

from __future__ import annotations

from collections.abc import Generator as Steps
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from scipy.sparse import csr_matrix, eye_array
from scipy.stats import chi2
from torch import Generator, Tensor

from piddm.solvers._affine import Affine, bent
from piddm.solvers._choice import choose
from piddm.solvers._sensitivity import Inputs
from piddm.tasks.sensors import Sensors
from piddm.tasks.solver import Members, Solver
from piddm.tasks.task import Task
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.progress import Progress

if TYPE_CHECKING:
    from piddm.tasks.model import Model

LARGEST = 3.0
"""Gigabytes that B and K may take."""

JITTER, LOOSEST = 1e-13, 1e-6
"""Least variance of an observation, over that of what its sensor sees: rounding; and the most that
an exact one gets, a thousandth of the deviation."""

EVERY = 3_000
"""Values of a state up to which their deviations are exact; beyond, those of the solution are those
of :data:`DRAWS` exact draws, for they would cost a solve each."""

DRAWS = 128
"""See :data:`EVERY`; the deviations of so many are off by 6 %."""


class ExactSolver(Solver):
    """Mean, deviations and draws in closed form.

    Args:
        run: Its equation and grid; no model is used.
        deviations: Whether deviations of the solution are exact at any size, a solve for each node.
    """

    exact = True

    def __init__(self, run: Model, deviations: bool = False) -> None:
        self.run, self.deviations = run, deviations
        self._kept: tuple[Mapping[str, float], Affine] | None = None

    @torch.no_grad()
    def solve(self, task: Task, count: int, generator: Generator) -> Steps[Progress, None, Members]:
        """Return the posterior's mean and deviations, and ``count`` draws of it."""
        pde = self.run.pde
        sensors = Sensors(task.observations, pde.field_names, task.interpolation)
        if sensors.curved:
            raise UsageError(
                f"{pde.name}: exact takes linear readings, and one is no linear function of the "
                "fields; take classical, or ensemble-kalman, which needs no derivative"
            )
        affine = self._affine(task, len(sensors))
        posterior = LinearPosterior(affine, sensors)
        yield Progress("exact", 1, 2, {"observations": float(len(sensors))})
        fields = affine.fields(posterior.draws(count, generator))
        mean, deviation = posterior.mean, posterior.deviation(generator, self.deviations)
        yield Progress("exact", 2, 2, {"chi squared": posterior.chi_squared})
        return Members(
            fields,
            mean={k: v[0] for k, v in affine.fields(mean[None]).items()},
            deviation={k: v[0] for k, v in affine.fields(deviation[None]).items()},
            caution=posterior.caution,
        )

    def _affine(self, task: Task, seen: int) -> Affine:
        """Return the map with its factor: that of the question before, where params are alike."""
        known = dict(task.observations.params)
        if self._kept is None or self._kept[0] != known:
            pde, residual = self.run.pde, self.run.residual
            if why := bent(pde, residual, known):
                raise UsageError(
                    f"{pde.name}: exact takes linear equations with Gaussian inputs, and {why}; "
                    f"take {choose(self.run, task, trained=False)[0]}"
                )
            laws = {g: p for g, p in pde.inputs.items() if str(g) not in known}
            _refuse_large(Inputs(pde, residual.grid, laws).size, seen)  # before it is factorised
            self._kept = known, Affine(pde, residual, known)
        return self._kept[1]


class LinearPosterior:
    """The law of a state given what sensors saw of it.

    Args:
        affine: The law before.
        sensors: What was seen.

    Attributes:
        mean: ``(columns,)``.
        chi_squared: That of the observations under the law before, noise included.
    """

    def __init__(self, affine: Affine, sensors: Sensors) -> None:
        self.affine, self._sensors, n = affine, sensors, len(sensors)
        _refuse_large(affine.size, n)
        seen = sensors.matrix(affine.columns)
        rows = affine.rows(seen)
        self._missing = sensors.values - torch.from_numpy(seen @ affine.origin.numpy())
        covariance = rows @ rows.mT
        noise = sensors.sigma.square()
        # In units of its own deviation each; what has none, such as a wall's reading, says nothing.
        size = (covariance.diagonal() + noise).sqrt()
        telling = size > 1e-9 * size.max()
        self._told = telling.nonzero()[:, 0]
        self._size = size[telling]
        self._rows = rows[telling] / self._size[:, None]
        self._noise = sensors.sigma[telling] / self._size
        unit = covariance[telling][:, telling] / self._size / self._size[:, None]
        missing = self._missing[telling] / self._size
        self._factor, weights = _weights(unit, self._noise, missing)
        self.noise = self._rows.mT @ weights
        self.mean = affine.states(self.noise[None])[0]
        self.chi_squared = float(weights @ missing)

    def _solved(self, sides: Tensor) -> Tensor:
        return torch.cholesky_solve(sides, self._factor)

    def draws(self, count: int, generator: Generator, polish: bool = True) -> Tensor:
        """Return exact draws, ``(count, columns)``; polished, they are so to the last digits."""
        white = self.affine.draw(count, generator)
        xi = torch.randn(count, len(self._noise), generator=generator, dtype=torch.float64)
        target = self._missing[self._told] / self._size + self._noise * xi
        missing = target - white @ self._rows.mT
        noise = torch.addmm(white, self._solved(missing.mT).mT, self._rows)
        return self.affine.states(noise, polish)

    def deviation(self, generator: Generator, every: bool = False) -> Tensor:
        """Return the deviation of each value of a state, ``(columns,)``.

        Args:
            generator: Of draws, where they stand for deviations that would cost too much.
            every: Whether to have all exactly, whatever that costs.
        """
        affine, found = self.affine, torch.empty(self.affine.columns, dtype=torch.float64)
        if every or affine.columns <= EVERY:
            lower = torch.linalg.solve_triangular(self._factor, self._rows, upper=False)
            columns = csr_matrix(eye_array(affine.columns))
            for start in range(0, affine.columns, 512):
                own = affine.rows(columns[start : start + 512])
                left = own.square().sum(1) - (own @ lower.mT).square().sum(1)
                found[start : start + 512] = left
            return found.clamp_min(0.0).sqrt()
        found = self.draws(DRAWS, generator, polish=False).std(0)
        told = torch.zeros(len(affine.given), dtype=torch.float64)
        inverse = torch.linalg.solve_triangular(
            self._factor, torch.eye(len(self._factor), dtype=torch.float64), upper=False
        )
        for part in inverse.split(64):
            told += affine.inputs_of(part @ self._rows).square().sum(0)
        variance = affine.prior_variance() - told
        found[affine.given] = variance.clamp_min(0.0).sqrt()
        return found

    @property
    def caution(self) -> str:
        """What is to be said where the law of the inputs all but excludes the observations."""
        n = len(self._told)
        if not float(self._noise.min()) > JITTER**0.5 or chi2.sf(self.chi_squared, n) > 1e-6:
            return ""
        return (
            f"the law of the inputs all but excludes the observations: their chi squared under it "
            f"is {self.chi_squared:.4g} for {n}; is it the right law, the right unit, the right "
            "sigma?"
        )


def _refuse_large(size: int, seen: int) -> None:
    """Refuse more observations of more unknown numbers than memory is set aside for."""
    if (need := 8e-9 * seen * (2 * size + 2 * seen)) > LARGEST:
        raise UsageError(
            f"exact would take {need:.2g} GB for {seen} observations of {size} unknown numbers, "
            f"more than {LARGEST:g}: take fewer observations, a smaller grid, or ensemble-kalman"
        )


def _weights(unit: Tensor, noise: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the factor of K and :math:`K^{-1}d`, in units of the sensors' deviations.

    Exact observations have the least noise with which they are as likely as observations are: more
    than :data:`JITTER` where they were rounded, or are more than the equation leaves free.
    """
    jitter, n = JITTER, len(missing)
    while True:
        own = noise.square().clamp_min(jitter)
        factor, failed = torch.linalg.cholesky_ex(unit + torch.diag(own))
        if not int(failed):
            weights = torch.cholesky_solve(missing[:, None], factor)[:, 0]
            likely = float(weights @ missing) < n + 10 * (2 * n) ** 0.5
            if likely or jitter >= LOOSEST or bool((noise.square() > jitter).all()):
                return factor, weights
        elif jitter >= LOOSEST:
            raise PiddmError("exact: the observations are too nearly the same; give them a sigma")
        jitter *= 10
