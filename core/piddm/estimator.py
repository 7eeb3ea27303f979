r"""A run or a trained model as an estimator of scikit-learn: readings in, fields out.

It has what scikit-learn's tools call (``fit``, ``predict``, ``score``, ``get_params``, tags) and
imports nothing of it: pipelines, cross-validation and searches take it as one of their own.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from piddm.api import Run, load_run
from piddm.pretrained import load_model
from piddm.tasks.observations import Observations
from piddm.tools.errors import UsageError

LEVEL = 0.9
"""Share of values that two deviations of a normal law on both sides, after ``fit``, hold for."""

NORMAL = 1.6448536269514722
"""Deviations of a normal law within which :data:`LEVEL` of it lies."""


class SensorRegressor:
    r"""Fields from the readings of sensors whose places stay the same.

    A row of ``X`` has a reading for each place, NaN where one is missing; a row of ``y`` the nodes
    of :attr:`field`, flattened, or of all fields one after another. The network is trained before,
    by :func:`piddm.distill`; fitting only finds the factor by which deviations are to be stretched
    so that 90 % of known values lie within 1.645 of them.

    Args:
        model: A trained model's name, a run's folder, or a run.
        places: For each column of ``X`` the field and its coordinates, ``("u", 0.2, 0.5)``, in the
            order of the grid's axes.
        sigma: Standard deviation of the readings' noise, in their units; 0 is exact.
        field: The field that is asked for; all where it is empty.
        solver: Name of a registered solver.
        samples: Members of the ensemble of each row.
        seed: Their seed.
        settings: The solver's own, by name.
    """

    def __init__(
        self,
        model: str | Path | Run,
        places: Sequence[tuple[Any, ...]] = (),
        sigma: float = 0.0,
        field: str = "",
        solver: str = "gaussian",
        samples: int = 16,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.places, self.sigma, self.field = model, places, sigma, field
        self.solver, self.samples, self.seed, self.settings = solver, samples, seed, settings

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Open the model, check the places, and stretch the deviations where ``y`` is given.

        Args:
            X: Readings ``(n, places)``.
            y: The true fields ``(n, values)``.

        Raises:
            UsageError: If a place, a field or a shape does not fit.
        """
        self.run_ = _opened(self.model)
        self.n_features_in_ = len(self.places)
        known = self.run_.pde.field_names
        if strange := [p[0] for p in self.places if p[0] not in known]:
            raise UsageError(f"there is no field {strange[0]!r}; there are {', '.join(known)}")
        if self.field and self.field not in known:
            raise UsageError(f"there is no field {self.field!r}; there are {', '.join(known)}")
        readings, self.stretch_ = self._readings(X), 1.0
        if y is not None:
            true = self._truth(y, len(readings))
            mean, std = self.predict(readings, return_std=True)
            away = np.abs(true - mean)[std > 0] / std[std > 0]
            self.stretch_ = float(np.quantile(away, LEVEL)) / NORMAL if away.size else 1.0
        return self

    def predict(
        self,
        X: ArrayLike,
        return_std: bool = False,
    ) -> Any:
        """Return the ensembles' means ``(n, values)``, in the fields' units.

        Args:
            X: Readings ``(n, places)``.
            return_std: Whether to return ``(mean, deviation)``, both of that shape.

        Raises:
            UsageError: If it is not fitted, or a row has no reading at all.
        """
        if not hasattr(self, "run_"):
            raise UsageError("this SensorRegressor is not fitted yet: call fit first")
        found = [self._answer(row) for row in self._readings(X)]
        means, stds = (np.stack(part) for part in zip(*found, strict=True))
        return (means, stds * self.stretch_) if return_std else means

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        r"""Return the coefficient of determination of all values together.

        .. math:: R^2 = 1 - \sum_{ij} (y_{ij} - \hat y_{ij})^2 / \sum_{ij} (y_{ij} - \bar y_j)^2

        That is scikit-learn's ``r2_score(..., multioutput="variance_weighted")``: nodes of a wall,
        which are all alike, count for nothing.

        Args:
            X: Readings ``(n, places)``.
            y: The true fields ``(n, values)``, at least two rows.

        Raises:
            UsageError: If a shape does not fit.
        """
        found = self.predict(X)
        true = self._truth(y, len(found))
        return float(1 - np.square(true - found).sum() / np.square(true - true.mean(0)).sum())

    def sample(self, count: int = 1, seed: int | None = None) -> NDArray[np.float64]:
        """Return fields ``(count, values)`` drawn from the model's law, without any reading.

        Args:
            count: How many.
            seed: Seed of the noise; the estimator's own where None is given.

        Raises:
            UsageError: If it is not fitted.
        """
        if not hasattr(self, "run_"):
            raise UsageError("this SensorRegressor is not fitted yet: call fit first")
        return self._flat(self.run_.sample(count, self.seed if seed is None else seed))

    def fields(self, y: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return rows of ``y`` as ``{field: (n, *axes)}``.

        Args:
            y: Fields ``(n, values)``, such as a prediction.

        Raises:
            UsageError: If it is not fitted, or the number of values is another.
        """
        if not hasattr(self, "run_"):
            raise UsageError("this SensorRegressor is not fitted yet: call fit first")
        whole = np.asarray(y, float)
        whole = self._truth(whole, len(whole))
        parts = np.split(whole, len(self._names()), axis=1)
        shape = self.run_.grid.shape
        return {k: v.reshape(-1, *shape) for k, v in zip(self._names(), parts, strict=True)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments it was made with; ``deep`` says nothing here."""
        return {name: getattr(self, name) for name in _arguments()}

    def set_params(self, **params: Any) -> Self:
        """Set arguments by name.

        Raises:
            UsageError: If there is no such argument.
        """
        for name, value in params.items():
            if name not in _arguments():
                raise UsageError(f"no argument {name!r}; there are {', '.join(_arguments())}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import (  # pyright: ignore[reportMissingImports]
            InputTags,
            RegressorTags,
            Tags,
            TargetTags,
        )

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=False, multi_output=True, single_output=False),
            regressor_tags=RegressorTags(),
            input_tags=InputTags(allow_nan=True),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "run_")

    def __repr__(self) -> str:
        given = {k: v for k, v in self.get_params().items() if k != "places"}
        said = ", ".join(f"{k}={v!r}" for k, v in given.items() if not isinstance(v, Run))
        return f"SensorRegressor({len(self.places)} places, {said})"

    def _names(self) -> tuple[str, ...]:
        return (self.field,) if self.field else tuple(self.run_.pde.field_names)

    def _flat(self, fields: Mapping[str, torch.Tensor]) -> NDArray[np.float64]:
        parts = [fields[name].detach().cpu().double().flatten(1) for name in self._names()]
        return torch.cat(parts, 1).numpy()

    def _answer(self, row: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        there = [i for i, value in enumerate(row) if not np.isnan(value)]
        if not there:
            raise UsageError("a row of X has no reading at all; leave it out")
        names = dict.fromkeys(str(self.places[i][0]) for i in there)
        own = {name: [i for i in there if self.places[i][0] == name] for name in names}
        seen = Observations.at_points(
            self.run_.residual.grid,
            {name: np.array([self.places[i][1:] for i in which], float)
             for name, which in own.items()},
            {name: row[which] for name, which in own.items()},
            float(self.sigma),
        )  # fmt: skip
        answer = self.run_.solve(
            "reconstruct", seen, self.solver, self.samples, seed=self.seed,
            settings=self.settings, progress=False,
        )  # fmt: skip
        mean, std = (self._flat({k: v[None] for k, v in part.items() if v.ndim})
                     for part in (answer.mean, answer.std))  # fmt: skip
        return mean[0], std[0]

    def _readings(self, readings: ArrayLike) -> NDArray[np.float64]:
        found = np.asarray(readings, float)
        if found.ndim != 2 or found.shape[1] != len(self.places) or not self.places:
            raise UsageError(
                f"X has the shape {found.shape}, and a row needs a reading for each of "
                f"{len(self.places)} places"
            )
        return found

    def _truth(self, y: ArrayLike, count: int) -> NDArray[np.float64]:
        found, values = np.asarray(y, float), len(self._names()) * math.prod(self.run_.grid.shape)
        if found.shape != (count, values):
            raise UsageError(
                f"y has the shape {found.shape}, and {(count, values)} is asked for: "
                f"{', '.join(self._names())} on all nodes, one after another"
            )
        return found


def _arguments() -> list[str]:
    return list(inspect.signature(SensorRegressor).parameters)


def _opened(model: str | Path | Run) -> Run:
    if isinstance(model, Run):
        return model
    return load_run(model) if Path(model).is_dir() else load_model(str(model))
