"""Observations take arrays as people have them: what is hidden is not seen, no digit is lost."""

import numpy as np
import pytest
import torch

from piddm import Axis, Grid, UsageError, get_pde
from piddm.tasks.observations import Observations

GRID = Grid(t=Axis(0, 1, 4, time=True), x=Axis(0, 1, 8, periodic=True))
CUBE = Grid(x=Axis(0, 1, 3), y=Axis(0, 1, 4), z=Axis(0, 1, 5))
HIDDEN = -9999.0


def half_hidden(shape):
    values = np.full(shape, 0.5)
    values[1:] = HIDDEN
    return np.ma.masked_equal(values, HIDDEN)


@pytest.mark.parametrize("grid", [GRID, CUBE])
def test_what_a_masked_array_hides_is_not_observed(grid):
    seen = Observations.at_nodes(grid, {"u": half_hidden(grid.shape)})
    assert seen.count == np.prod(grid.shape[1:])
    assert seen.values["u"].unique().tolist() == [0.5]
    assert seen.points["u"][:, 0].unique().tolist() == [0.0]


def test_a_mask_beside_a_masked_array_narrows_it():
    some = np.zeros(GRID.shape, bool)
    some[:, 2:4] = True
    seen = Observations.at_nodes(GRID, {"u": half_hidden(GRID.shape)}, {"u": some})
    assert seen.points["u"].tolist() == [[0, 0.25], [0, 0.375]]


def test_points_whose_value_is_hidden_are_left_out():
    points = np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]])
    values = np.ma.masked_array([1.0, np.nan, 3.0], [False, True, False])
    seen = Observations.at_points(
        GRID, {"u": points}, {"u": values}, {"u": [0.1, 0.2, 0.3]}, labels={"u": ["a", "b", "c"]}
    )
    assert seen.points["u"].tolist() == points[[0, 2]].tolist()
    assert seen.values["u"].tolist() == [1, 3]
    assert seen.sigma["u"].tolist() == [0.1, 0.3]
    assert seen.labels["u"] == ["a", "c"]


def test_points_or_noise_may_not_hide_anything():
    points = np.ma.masked_array([[0.1, 0.1]], [[False, True]])
    with pytest.raises(UsageError, match="the points of u hides 1 values"):
        Observations.at_points(GRID, {"u": points}, {"u": [1.0]})
    noise = np.ma.masked_array([0.1], [True])
    with pytest.raises(UsageError, match="the sigma of u hides 1 values"):
        Observations.at_points(GRID, {"u": [[0.1, 0.1]]}, {"u": [1.0]}, {"u": noise})


@pytest.mark.parametrize("kind", [">f8", "<f8", ">f4", "f2", ">i4", "u1", "longdouble", "bool"])
@pytest.mark.parametrize("order", ["C", "F", "reversed"])
def test_every_kind_of_real_number_arrives_exactly(kind, order):
    plain = np.arange(32).reshape(GRID.shape) % 2
    given = np.array(plain, dtype=kind, order="C" if order == "reversed" else order)
    if order == "reversed":
        given = np.ascontiguousarray(given[::-1, ::-1])[::-1, ::-1]
    seen = Observations.at_nodes(GRID, {"u": given}, {"u": np.asfortranarray(plain < 2)})
    assert seen.values["u"].dtype == torch.float64
    assert seen.values["u"].tolist() == plain.ravel().tolist()


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_masks_of_numpy_and_torch(make):
    mask = np.eye(4, 8) > 0
    seen = Observations.at_nodes(GRID, {"u": make(np.ones((4, 8)))}, {"u": make(mask)})
    assert seen.count == 4


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((4, 8), complex), "u is complex"),
        (torch.zeros(4, 8, dtype=torch.complex64), "u is complex"),
        (np.full((4, 8), "1"), "no array of numbers"),
        (np.full((4, 8), None), "no array of numbers"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
        (np.zeros((8, 4)), r"the shape of the grid, \(4, 8\), not \(8, 4\)"),
    ],
)
def test_what_has_no_real_numbers_is_refused_by_name(values, reason):
    with pytest.raises(UsageError, match=reason):
        Observations.at_nodes(GRID, {"u": values})


def test_a_mask_is_of_booleans():
    with pytest.raises(UsageError, match="the mask of u is of float64, not of booleans"):
        Observations.at_nodes(GRID, {"u": np.zeros((4, 8))}, {"u": np.zeros((4, 8))})


def test_solve_takes_the_same_arrays_and_refuses_hidden_or_complex_values():
    heat = get_pde("burgers")
    grid = heat.grid.resized({"t": 4, "x": 8})
    (given,) = heat.inputs
    start = np.sin(2 * np.pi * np.arange(8) / 8)[None]
    wanted = heat.solve({given: torch.from_numpy(start)}, grid)["u"]
    assert torch.equal(heat.solve({given: start.astype(">f8")}, grid)["u"], wanted)
    with pytest.raises(UsageError, match="is complex"):
        heat.solve({given: torch.from_numpy(start + 1j)}, grid)
    with pytest.raises(UsageError, match="hides 1 values"):
        heat.solve({given: np.ma.masked_greater(start, 0.99)}, grid)
