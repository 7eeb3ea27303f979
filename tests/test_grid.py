"""Grids: where the nodes are, and which slips are refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from piddm import Axis, Grid, UsageError

TIME = Axis(0, 2, 5, time=True)
RING = Axis(-1, 1, 8, periodic=True)
LINE = Axis(0, 3, 4)


def test_a_bounded_axis_has_both_ends():
    assert LINE.spacing == 1.0
    np.testing.assert_allclose(LINE.coordinates(), [0, 1, 2, 3], rtol=0, atol=1e-15)


def test_a_periodic_axis_stops_before_its_seam():
    assert RING.spacing == 0.25
    expected = [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75]
    np.testing.assert_allclose(RING.coordinates(), expected, rtol=0, atol=1e-15)


@given(
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.integers(2, 300),
    st.booleans(),
)
def test_coordinates_are_evenly_spaced_and_reach_the_end(lower, length, size, periodic):
    axis = Axis(lower, lower + length, size, periodic=periodic)
    nodes = axis.coordinates()
    assert nodes.shape == (size,)
    assert nodes.dtype == np.float64
    assert nodes[0] == lower
    tolerance = 1e-12 * (abs(lower) + length)
    np.testing.assert_allclose(np.diff(nodes), axis.spacing, rtol=0, atol=tolerance)
    end = nodes[-1] + (axis.spacing if periodic else 0)
    assert abs(end - axis.upper) <= tolerance


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"lower": 0, "upper": 1, "size": 1}, "at least 2 nodes, not 1"),
        ({"lower": 1, "upper": 1, "size": 4}, "must go up, not from 1 to 1"),
        ({"lower": 2, "upper": 1, "size": 4}, "must go up, not from 2 to 1"),
        ({"lower": 0, "upper": float("nan"), "size": 4}, "must go up"),
        ({"lower": 0, "upper": 1, "size": 4, "periodic": True, "time": True}, "cannot be periodic"),
    ],
)
def test_axes_that_make_no_sense(arguments, reason):
    with pytest.raises(UsageError, match=reason):
        Axis(**arguments)


def test_time_comes_first_and_a_grid_is_not_empty():
    with pytest.raises(UsageError, match="must be the first"):
        Grid(x=LINE, t=TIME)
    with pytest.raises(UsageError, match="at least one axis"):
        Grid()


def test_properties_follow_the_order_of_the_axes():
    grid = Grid(t=TIME, y=RING, x=LINE)
    assert grid.names == ("t", "y", "x")
    assert grid.shape == (5, 8, 4)
    assert grid.spacing == (0.5, 0.25, 1.0)
    assert grid.periodic == (False, True, False)
    assert [grid.index(name) for name in grid.names] == [0, 1, 2]
    with pytest.raises(UsageError, match="no axis 'z'"):
        grid.index("z")


def test_resizing_keeps_the_domain():
    grid = Grid(t=TIME, x=RING)
    assert grid.resized(16).shape == (16, 16)
    finer = grid.resized({"x": 32})
    assert finer.shape == (5, 32)
    assert finer.axes["x"] == Axis(-1, 1, 32, periodic=True)
    assert grid.shape == (5, 8)
    with pytest.raises(UsageError, match="no axis 'y'"):
        grid.resized({"y": 4})


def test_a_slice_has_one_axis_less():
    grid = Grid(t=TIME, x=RING)
    assert grid.without("t") == Grid(x=RING)
    with pytest.raises(UsageError, match="no axis 'y'"):
        grid.without("y")


def test_equality_is_of_axes_and_their_order():
    grid = Grid(x=LINE, y=RING)
    assert grid == Grid(x=LINE, y=RING)
    assert hash(grid) == hash(Grid(x=LINE, y=RING))
    assert grid != Grid(y=RING, x=LINE)
    assert grid != Grid(x=LINE, y=LINE)
    assert grid != "a grid"


def test_a_grid_survives_json():
    grid = Grid(t=TIME, x=RING, y=LINE)
    again = Grid(**{k: Axis(**a) for k, a in json.loads(json.dumps(grid.to_dict())).items()})
    assert again == grid
    assert again.names == grid.names
    assert again.axes["x"].periodic
    assert again.axes["t"].time
