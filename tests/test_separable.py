"""Solvers of linear systems that the correction is made of, against dense algebra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array

from piddm.numerics.algebra.conjugate_gradients import conjugate_gradients
from piddm.numerics.algebra.minimal_residual import minimal_residual
from piddm.numerics.algebra.separable import SeparableInverse


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(3, 8), st.booleans(), st.booleans(), st.integers(0, 999))
def test_separable_inverses(lines, width, periodic, symmetric, seed):
    draw = np.random.default_rng(seed)
    if periodic:
        first = draw.standard_normal(width)
        across = np.stack([np.roll(first, k) for k in range(width)], axis=1)
    else:
        across = draw.standard_normal((width, width))
        across = across + across.T
        if not symmetric:  # similar to a symmetric one: real eigenvalues, other eigenvectors
            size = np.exp(0.3 * draw.standard_normal(width))
            across = across * size[:, None] / size
    one, two = draw.standard_normal((2, lines, lines))
    dense = np.kron(one, np.eye(width)) + np.kron(two, across)
    if np.linalg.cond(dense) > 1e5:
        return
    found = SeparableInverse(coo_array(dense), (lines, width), periodic)
    rows = torch.from_numpy(draw.standard_normal((3, lines * width)))
    exact = torch.from_numpy(dense)
    torch.testing.assert_close(found.solve(rows) @ exact.mT, rows, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(found.solve(rows, True) @ exact, rows, rtol=1e-7, atol=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.integers(3, 9), st.integers(3, 8), st.booleans(), st.booleans(), st.integers(0, 999))
def test_boxes_have_eigenvalues_only(lines, width, periodic, walls, seed):
    """Where both axes have eigenvectors, other lines at the ends included; a null vector too."""
    draw = np.random.default_rng(seed)
    first, second = (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1) for n in (lines, width))
    first[0, 0] = first[-1, -1] = 1 if walls else 3  # a wall's slope, or a value half a step off
    second[0, 0] = second[-1, -1] = 1
    if periodic:  # with a wind, whose eigenvalues are complex
        second = 2 * np.eye(width) + sum(
            np.roll(np.eye(width), k, axis=1) * (0.3 * k - 1) for k in (1, -1)
        )
    size = np.exp(0.3 * draw.standard_normal(lines))
    first = first * size[:, None] / size
    dense = np.kron(first, np.eye(width)) + draw.uniform(0.5, 2) * np.kron(np.eye(lines), second)
    found = SeparableInverse(coo_array(dense), (lines, width), periodic)
    assert len(found._parts) == 5  # no matrix for each mode
    assert (found.null is not None) == walls
    exact = torch.from_numpy(dense)
    rows = torch.from_numpy(draw.standard_normal((3, lines * width)))
    for side, matrix in ((False, exact), (True, exact.mT)):
        reached = rows @ matrix.mT  # what has a solution
        solved = found.solve(reached, side)
        torch.testing.assert_close(solved @ matrix.mT, reached, rtol=1e-7, atol=1e-7)
    if found.null is not None:
        right, left = found.null
        assert float((exact @ right).abs().max()) < 1e-9
        assert float((left @ exact).abs().max()) < 1e-9


def test_blocks_without_common_eigenvectors_are_refused():
    draw = np.random.default_rng(0)
    blocks = draw.standard_normal((2, 2, 4, 4))
    matrix = coo_array((blocks + blocks.swapaxes(2, 3)).swapaxes(1, 2).reshape(8, 8))
    with pytest.raises(ValueError, match="common eigenvectors"):
        SeparableInverse(matrix, (2, 4), False)


def test_krylov_methods_solve():
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn(2, 12, 12, generator=draw).double() + 4 * torch.eye(12).double()
    positive = matrix @ matrix.mT
    side = torch.randn(2, 12, generator=draw).double()

    def by(some):
        return lambda v: (some @ v[..., None])[..., 0]

    found = minimal_residual(by(matrix), lambda v: v / 4, side, 12)
    torch.testing.assert_close(by(matrix)(found), side, rtol=1e-6, atol=1e-6)
    found = conjugate_gradients(by(positive), lambda v: v / 16, side, 24)
    torch.testing.assert_close(by(positive)(found), side, rtol=1e-6, atol=1e-6)
    zero = torch.zeros_like(side)
    assert torch.equal(conjugate_gradients(by(positive), by(positive), zero, 3), zero)
    assert torch.equal(minimal_residual(by(matrix), by(matrix), zero, 3), zero)


def test_krylov_methods_stop_where_every_system_is_solved_well_enough():
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn(2, 12, 12, generator=draw).double() + 4 * torch.eye(12).double()
    side, calls = torch.randn(2, 12, generator=draw).double(), []

    def by(some):
        def apply(v):
            calls.append(1)
            return (some @ v[..., None])[..., 0]

        return apply

    positive, enough = matrix @ matrix.mT, torch.tensor([0.3, 0.1]).double()
    for method, some, inverse in (
        (minimal_residual, matrix, lambda v: v / 4),
        (conjugate_gradients, positive, lambda v: v / 16),
    ):
        calls.clear()
        found = method(by(some), inverse, side, 24, enough)
        assert len(calls) < 12  # in as many both are exact
        rest = (by(some)(found) - side).norm(dim=1) / side.norm(dim=1)
        assert bool((rest <= enough).all())
        assert float(rest.max()) > 1e-3
