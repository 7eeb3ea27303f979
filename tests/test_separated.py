"""Free params by few rows, and solutions at each state's own params, against all rows and dense."""

from typing import Any

import pytest
import torch

from piddm import get_pde
from piddm.data.simulate import held_inputs, simulate
from piddm.numerics.algebra.line_recursion import LineRecursion
from piddm.numerics.correction import Correction
from piddm.numerics.solution_moves import SolutionMoves
from piddm.residuals.norms import term_scale
from piddm.symbolic.operators import Param

SIZE = 14


def problem(name):
    pde = get_pde(name)
    grid = pde.grid.resized(SIZE)
    residual: Any = pde.bind(grid)
    draw = torch.Generator().manual_seed(0)
    (data,) = simulate(pde, grid, 8, draw, chunk=8)
    return pde, residual, data, draw


def test_few_rows_have_the_sum_of_squares_of_all():
    _, residual, data, draw = problem("stokes")
    fields = {"u": data["u"] + 0.1 * torch.randn(data["u"].shape, generator=draw).double()}
    names = list(residual.free_params)
    small = residual._small(frozenset(names), names)
    assert small.names == ["momentum"]
    few, p = small.of(fields, names), torch.rand(8, 2, generator=draw).double() + 0.1
    value, slope = few.linearised(p)
    rows = residual(fields | {k: p[:, i] for i, k in enumerate(names)})
    whole = sum(v.flatten(1).square().mean(1) for v in rows.values())
    torch.testing.assert_close(value.square().sum(1), whole, rtol=1e-10, atol=0)
    assert value.shape[1] < 0.5 * sum(v[0].numel() for v in rows.values())
    for i in range(2):  # central differences: their error is of the third derivative
        step = torch.zeros_like(p)
        step[:, i] = 1e-5
        change = (few.linearised(p + step)[0] - few.linearised(p - step)[0]) / 2e-5
        torch.testing.assert_close(slope[..., i], change, rtol=1e-5, atol=1e-5)


def test_params_of_exact_and_of_noisy_states():
    _, residual, data, draw = problem("stokes")
    found = residual.fit({"u": data["u"]})
    for k in residual.free_params:  # the data meet the rows to round-off
        torch.testing.assert_close(found[k].abs(), data[k].abs(), rtol=1e-10, atol=0)
    noisy = {"u": data["u"] + 0.3 * torch.randn(data["u"].shape, generator=draw).double()}
    found = residual.fit(noisy)
    leaf = {k: found[k].clone().requires_grad_() for k in residual.free_params}
    rows = residual(noisy | leaf)
    whole = torch.stack([v.flatten(1).square().mean(1) for v in rows.values()]).sum(0)
    slopes = torch.autograd.grad(whole.sum(), list(leaf.values()))
    for slope, value in zip(slopes, leaf.values(), strict=True):  # a minimum, to its steps' length
        assert ((slope * value).abs() / whole).max() < 1e-3


@pytest.mark.parametrize("name", ["stokes", "heat"])
def test_every_state_is_solved_at_its_own_params_in_one_step(name):
    pde, residual, data, draw = problem(name)
    scale = term_scale(residual, data)
    mean = {k: data[k].mean(0, keepdim=True) for k in pde.field_names}
    params = tuple(str(given) for given in pde.inputs if isinstance(given, Param))
    made = Correction(
        residual, {}, scale, mean, held_inputs(pde, residual.grid), params, "solution"
    )
    assert isinstance(made.moves, SolutionMoves)
    assert isinstance(made.moves._lines, LineRecursion)
    fields = {k: data[k].clone() for k in data}
    fields["u"] = fields["u"] + 0.1 * torch.randn(fields["u"].shape, generator=draw).double()
    found = made(fields, steps=1)
    # The linear equations are solved in float32: their relative error squared, and to spare.
    assert (found.error < 1e-10 * found.before).all()
    here: Any = made.moves.at(fields)
    inner = torch.randn(8, made.moves.interior.reduced.shape[0], generator=draw).double()
    torch.testing.assert_close(here.inverse(here.product(inner), False), inner)
    back = here.inverse(here._transposed(inner), True)
    torch.testing.assert_close(back, inner)
