"""Sparse factorisations in threads: right, and released."""

from pathlib import Path

import numpy as np
import pytest
import torch

from piddm.numerics.algebra.linear_system import LinearSystem, Singular

SIDE = 48


def laplacian(side):
    """Rows, columns and entries of the five-point matrix on a square."""
    node = np.arange(side * side).reshape(side, side)
    pairs = [(node, node, 4.0)]
    for a, b in ((node[1:], node[:-1]), (node[:, 1:], node[:, :-1])):
        pairs += [(a, b, -1.0), (b, a, -1.0)]
    row = np.concatenate([a.ravel() for a, _, _ in pairs])
    column = np.concatenate([b.ravel() for _, b, _ in pairs])
    return row, column, np.concatenate([np.full(a.size, v) for a, _, v in pairs])


def problem(side, batch, seed):
    """A system of matrices that differ from sample to sample, and their entries."""
    row, column, entry = laplacian(side)
    draw = np.random.default_rng(seed)
    values = entry[:, None] * draw.uniform(0.9, 1.1, (len(entry), batch))
    values[row == column] += 1.0
    return LinearSystem(row, column, side * side, None), row, column, values, draw


def test_solutions_are_those_of_dense_algebra():
    system, row, column, values, draw = problem(15, 6, 0)
    rhs = draw.standard_normal((6, 225))
    found = system.solve(torch.from_numpy(values), torch.from_numpy(rhs))
    for k in range(6):
        dense = np.zeros((225, 225))
        dense[row, column] = values[:, k]
        # Well conditioned (diagonally dominant): some hundred roundings.
        np.testing.assert_allclose(found[k].numpy(), np.linalg.solve(dense, rhs[k]), rtol=1e-11)


def test_a_singular_matrix_is_told_from_its_thread():
    system, row, _, values, draw = problem(15, 2, 1)
    values[row == 7, 1] = 0.0
    system.examined = True  # the factorisation itself is to find it
    with pytest.raises(Singular):
        system.solve(torch.from_numpy(values), torch.from_numpy(draw.standard_normal((2, 225))))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux' memory counts")
def test_factorisations_give_their_memory_back():
    """Released by another thread than made them, scipy's never do: 100 MB here."""
    row, column, entry = laplacian(SIDE)
    system = LinearSystem(row, column, SIDE * SIDE, None)
    draw = np.random.default_rng(2)
    rhs = torch.from_numpy(draw.standard_normal((4, SIDE * SIDE)))

    def solve(times):
        for _ in range(times):
            values = entry[:, None] * draw.uniform(0.9, 1.1, (len(entry), 4))
            values[row == column] += 1.0
            system.solve(torch.from_numpy(values), rhs)
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    before = solve(5)
    assert solve(25) - before < 30  # megabytes
