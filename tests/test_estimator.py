"""The estimator among scikit-learn's own tools, and against what piddm itself answers."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import piddm
from piddm import SensorRegressor, UsageError
from piddm.tasks.observations import Observations

sklearn = pytest.importorskip("sklearn")

PLACES = [("u", t / 15, x / 16) for t in (0, 5, 10) for x in (1, 5, 9, 13)]


@pytest.fixture(scope="module")
def question(tiny_run):
    """Readings (n, 12) and true fields (n, 256) of the tiny run's held-out data."""
    truth = tiny_run.data[1].fields["u"][:6].double()
    rows = [truth[:, round(t * 15), round(x * 16)] for _, t, x in PLACES]
    return torch.stack(rows, 1).numpy(), truth.flatten(1).numpy()


def made(run, **more):
    return SensorRegressor(str(run.path), PLACES, sigma=0.01, samples=4, **more)


def test_a_row_is_the_answer_of_the_run(tiny_run, question):
    readings, _ = question
    readings = readings.copy()
    readings[1, :3] = np.nan  # three sensors of the second row are broken
    mean, std = made(tiny_run).fit(readings).predict(readings, return_std=True)
    at = np.array([place[1:] for place in PLACES])[3:]
    seen = Observations.at_points(tiny_run.grid, {"u": at}, {"u": readings[1, 3:]}, 0.01)
    answer = tiny_run.solve("reconstruct", seen, "gaussian", 4, progress=False)
    np.testing.assert_allclose(mean[1], answer.mean["u"].flatten(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(std[1], answer.std["u"].flatten(), rtol=1e-9, atol=1e-9)


def test_the_tools_of_scikit_learn_take_it(tiny_run, question):
    from sklearn.base import clone, is_regressor
    from sklearn.metrics import r2_score
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    own, (readings, truth) = made(tiny_run), question
    assert is_regressor(own)
    again = clone(own)
    assert again.get_params() == own.get_params()
    own.fit(readings, truth)
    expected = r2_score(truth, own.predict(readings), multioutput="variance_weighted")
    assert own.score(readings, truth) == pytest.approx(expected, abs=1e-9)
    assert expected > 0.5  # twelve sensors tell most of a smooth film, with no network in it
    scores = cross_val_score(again, readings, truth, cv=2)
    assert scores.shape == (2,)
    assert scores.min() > 0
    search = GridSearchCV(again, {"sigma": [0.01, 10.0]}, cv=2).fit(readings, truth)
    assert search.best_params_ == {"sigma": 0.01}  # who believes no sensor knows nothing
    line = make_pipeline(FunctionTransformer(lambda volts: 2 * volts), own)
    np.testing.assert_allclose(line.fit(readings / 2, truth).predict(readings / 2),
                               own.predict(readings))  # fmt: skip


def test_deviations_are_stretched_to_hold(tiny_run, question):
    """With half the readings' noise stated, deviations are too small until truths are shown."""
    readings, truth = question
    own = made(tiny_run).fit(readings, truth)
    mean, std = own.predict(readings, return_std=True)
    open_ = std > 0
    inside = np.abs(truth - mean)[open_] <= 1.645 * std[open_]
    assert inside.mean() == pytest.approx(0.9, abs=0.01)
    assert own.stretch_ != 1


def test_samples_and_shapes(tiny_run, question):
    own = made(tiny_run).fit(question[0])
    drawn = own.fields(own.sample(2, seed=3))["u"]
    np.testing.assert_allclose(drawn, tiny_run.sample(2, seed=3)["u"], rtol=1e-6)
    assert "12 places" in repr(own)


@pytest.mark.parametrize(
    ("change", "readings", "why"),
    [
        ({"places": [("w", 0, 0)]}, [[1.0]], "no field 'w'"),
        ({"field": "w"}, [[1.0] * 12], "no field 'w'"),
        ({}, [[1.0] * 3], "a reading for each of 12 places"),
        ({}, [[np.nan] * 12], "no reading at all"),
        ({"model": "no-such-model"}, [[1.0] * 12], "no model 'no-such-model'"),
        ({"places": [("u", 7.0, 0.0)]}, [[1.0]], "outside"),
    ],
)
def test_what_does_not_fit_is_one_line(tiny_run, change, readings, why):
    own = made(tiny_run).set_params(**change)
    with pytest.raises(UsageError, match=why):
        own.fit(readings).predict(readings)
    with pytest.raises(UsageError, match="not fitted"):
        made(tiny_run).predict(readings)
    with pytest.raises(UsageError, match="no argument"):
        own.set_params(depth=3)
    assert piddm.SensorRegressor is SensorRegressor


def test_every_block_of_the_page_runs():
    """On the model that it names: six questions, and a search."""
    page = (Path(__file__).parents[1] / "docs" / "scikit_learn.md").read_text()
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, "scikit_learn.md", "exec"), names)
    assert names["mean"].shape == (6, 4096)
    assert names["sensors"].score(names["X"][6:], names["y"][6:]) > 0.9
    assert names["search"].best_params_ == {"sigma": 1e-4}
