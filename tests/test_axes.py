"""Axes: where nodes are between walls, and how stored coordinates are read."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from piddm import Axis, Grid, UsageError
from piddm.grids.axis_data import AxisData, grid_of
from piddm.residuals import uneven
from piddm.residuals.stencils import weights

ROOT = Path(__file__).parents[1]
KINDS = {
    "centre": Axis(0, 2, 9, location="centre"),
    "i/n": Axis(0, 2, 9, location=(0, 1)),
    "mixed": Axis(0, 2, 9, location=(0.5, 0)),
    "lobatto": Axis.chebyshev(0, 2, 9),
    "gauss": Axis.chebyshev(0, 2, 9, "centre"),
    "stretched": Axis(0, 2, 9, nodes=tuple(2 * np.linspace(0, 1, 9) ** 1.5)),
}


@pytest.mark.parametrize(
    ("axis", "nodes"),
    [
        (Axis(0, 1, 4, location="centre"), [0.125, 0.375, 0.625, 0.875]),
        (Axis(0, 1, 4, location=(0, 1)), [0, 0.25, 0.5, 0.75]),
        (Axis(0, 1, 3, location=(1, 1)), [0.25, 0.5, 0.75]),
        (Axis(-1, 1, 2, location=(0.5, 0)), [-1 + 2 / 3, 1]),
        (Axis(3, 7, 4, periodic=True, location="centre"), [3.5, 4.5, 5.5, 6.5]),
        (Axis.chebyshev(-1, 1, 3), [-1, 0, 1]),
        (Axis.chebyshev(-1, 1, 2, "centre"), [-(0.5**0.5), 0.5**0.5]),
    ],
)
def test_where_nodes_are(axis, nodes):
    np.testing.assert_allclose(axis.coordinates(), nodes, atol=1e-15)
    gaps = nodes[0] - axis.lower, axis.upper - nodes[-1]
    np.testing.assert_allclose(axis.gaps, gaps, atol=1e-15)


def test_a_pair_that_has_a_name_is_that():
    assert Axis(0, 1, 8, location=(0.5, 0.5)) == Axis(0, 1, 8, location="centre")
    assert Axis(0, 1, 8, location=[0, 0]) == Axis(0, 1, 8)
    assert hash(Axis(0, 1, 8, location=(0, 1))) != hash(Axis(0, 1, 8))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("n", [8, 128, 1024])
@pytest.mark.parametrize(
    "made",
    [
        lambda n: Axis(0, 1, n),
        lambda n: Axis(-1, 1, n, location="centre"),
        lambda n: Axis(0, 1, n, location=(0, 1)),
        lambda n: Axis(0, 1, n, location=(1, 1)),
        lambda n: Axis(0.5 / n, 1 + 0.5 / n, n, periodic=True),
        lambda n: Axis(0, 2 * np.pi, n, periodic=True, location="centre"),
        lambda n: Axis.chebyshev(-1, 1, min(n, 128)),
        lambda n: Axis.chebyshev(0, 3, min(n, 128), "centre"),
    ],
)
def test_what_a_file_says_is_read_back(made, n, dtype):
    axis = made(n)
    stored = axis.coordinates().astype(dtype)
    found = Axis.through(stored, axis.lower, axis.upper, periodic=axis.periodic)
    assert found.location == axis.location
    assert found.chebyshev_kind == axis.chebyshev_kind
    np.testing.assert_allclose(found.coordinates(), axis.coordinates(), atol=1e-6)


def test_what_a_file_does_not_say():
    stored = np.linspace(0.25, 0.75, 5)
    assert Axis.through(stored) == Axis(0.25, 0.75, 5)
    assert Axis.through(stored, periodic=True) == Axis(0.25, 0.875, 5, periodic=True)
    assert Axis.through(stored, time=True) == Axis(0.25, 0.75, 5, time=True)
    uneven_ones = stored**2
    assert Axis.through(uneven_ones).nodes == tuple(uneven_ones)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Axis(0, 1, 8, location="center"), "did you mean 'centre'"),
        (lambda: Axis(0, 1, 8, location=(0, 2)), "at most a spacing"),
        (lambda: Axis(0, 1, 8, location=3), "such as"),
        (lambda: Axis(0, 1, 8, periodic=True, location=(0, 1)), "say where it begins"),
        (lambda: Axis(0, 1, 8, time=True, location="centre"), "first and its last time"),
        (lambda: Axis(0, 1, 3, nodes=(0, 0.5)), "3 nodes cannot have the 2 given"),
        (lambda: Axis(0, 1, 3, nodes=(0, 0.5, 0.5)), "no two alike"),
        (lambda: Axis(0, 1, 3, nodes=(0, 0.5, 1.5)), "beyond the ends"),
        (lambda: Axis(0, 1, 3, nodes=(0, 0.5, np.nan)), "finite"),
        (lambda: Axis(0, 1, 3, periodic=True, nodes=(0, 0.1, 0.5)), "axes with walls"),
        (lambda: Axis(0, 1, 3, location="centre", nodes=(0, 0.1, 0.5)), "leave the location out"),
        (lambda: Axis.through([1, 0.5, 0]), "flip the data"),
        (lambda: Axis.through([0, 1, 1]), "no two alike"),
        (lambda: Axis.through([0, 0.1, 1], periodic=True), "equal distances"),
        (lambda: Axis.through([0, 0.1, 1], time=True), "an axis of time"),
        (lambda: Axis.through([0, np.inf]), "finite"),
        (lambda: Axis.chebyshev(0, 1, 8, (0, 1)), "'vertex' or 'centre'"),
    ],
)
def test_what_is_no_axis_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_files_tell_what_is_new_only_where_it_is_set():
    assert Axis(0, 1, 8).to_dict() == {
        "lower": 0, "upper": 1, "size": 8, "periodic": False, "time": False,
    }  # fmt: skip
    grid = Grid(**{f"x{k}": axis for k, axis in enumerate(KINDS.values())})
    text = json.dumps(grid.to_dict())
    assert grid_of(TypeAdapter(dict[str, AxisData]).validate_json(text)) == grid


@pytest.mark.parametrize("kind", KINDS)
def test_other_numbers_of_nodes_are_alike(kind):
    """Half as many intervals of a smooth map have every other node, up to its curvature."""
    axis = KINDS[kind]
    coarse, fine = axis.resized(65), axis.resized(129)
    assert (coarse.size, coarse.ends) == (65, axis.ends)
    middle = np.interp(np.linspace(0, 1, 65), np.linspace(0, 1, 129), fine.coordinates())
    assert np.abs(coarse.coordinates() - middle).max() < coarse.spacing
    assert axis.resized(axis.size) == axis


@pytest.mark.parametrize("m", [0, 1, 2, 4])
def test_weights_in_floating_point_are_the_rational_ones(m):
    offsets = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)
    found = uneven.weights_at(0.0, np.array(offsets), m)
    np.testing.assert_allclose(found, weights(offsets, m), atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [2, 4, 6])
def test_integrals_and_walls_are_exact_for_polynomials(kind, order):
    axis = KINDS[kind]
    at = axis.coordinates()
    for k in range(order):
        total = uneven.quadrature(axis, order) @ at**k
        assert total == pytest.approx(2.0 ** (k + 1) / (k + 1), rel=1e-12)
        for end, place in ((-1, 0.0), (1, 2.0)):
            first, row = uneven.wall(axis, end, 0, order)
            value = row[0] @ at[first : first + row.shape[1]] ** k
            assert value == pytest.approx(place**k, abs=1e-12)


@pytest.mark.parametrize("kind", ["lobatto", "gauss"])
def test_all_nodes_together_are_spectral(kind):
    """exp(x), whose derivatives and integral are known, on 24 nodes: round-off times n^4."""
    axis = KINDS[kind].resized(24)
    values = np.exp(axis.coordinates())
    for m in (1, 2):
        np.testing.assert_allclose(uneven.polynomial(axis, m) @ values, values, rtol=1e-9)
    assert uneven.quadrature(axis, 0) @ values == pytest.approx(np.exp(2) - 1, rel=1e-13)
    _, row = uneven.wall(axis, 1, 1, 0)
    assert row[0] @ values == pytest.approx(np.exp(2), rel=1e-9)


def test_means_count_nodes_by_their_cells():
    axis = Axis(0, 1, 3, nodes=(0, 0.25, 1))
    np.testing.assert_allclose(axis.weights(), 3 * np.array([0.125, 0.5, 0.375]))
    assert (Axis(0, 1, 8, location="centre").weights() == 1).all()


def test_the_page_about_nodes_says_what_holds():
    text = (ROOT / "docs" / "schemes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(block, {})
