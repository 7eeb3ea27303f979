"""Compiled programs on random equations: every way to run one gives the same numbers.

Plain evaluation is the reference: torch records each of its steps. Tolerances are a few hundred
roundings of the largest value, since sums are taken in another order.
"""

import random

import pytest
import sympy
import torch

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import GaussianField
from piddm.residuals.programs import run
from piddm.symbolic import D, Field, Param, t, x, y
from piddm.symbolic.conditions import Integral, Neumann, Robin

u, a = Field("u"), Field("a")
k = Param("k", 0.7)
LAW = GaussianField(2.0, 3.0)
SEEDS = range(24)


def random_expression(dice: random.Random, axes: list, depth: int = 3):
    if depth == 0:
        return dice.choice([u, u, a, k, dice.choice(axes), sympy.Rational(dice.randint(1, 9), 4)])

    def part():
        return random_expression(dice, axes, depth - 1)

    axis = dice.choice([s for s in axes if s != t])
    match dice.choice(
        ["sum", "sum", "product", "product", "flux", "D", "power", "function", "root"]
    ):
        case "sum":
            return part() - dice.randint(1, 3) * part() + u
        case "product":
            return part() * part()
        case "flux":
            return D((1 + a**2) * D(u, axis), axis)
        case "D":
            return D(u * random_expression(dice, axes, depth - 2) if depth > 1 else u, axis)
        case "power":
            return part() ** 2 / (2 + u**2)
        case "root":
            return sympy.sqrt(1 + part() ** 2)
        case _:
            return dice.choice([sympy.sin, sympy.tanh, sympy.Heaviside, sympy.Abs])(part())


def random_program(seed: int):
    """Return a program, inputs for it, and the names that were given per sample."""
    dice = random.Random(seed)
    timed, periodic, order = seed % 2 == 0, seed % 3 == 0, dice.choice([2, 2, 4, 6])
    if periodic and seed % 9 == 0:
        order = "spectral"
    space = {"x": Axis(0, 1, 14, periodic=periodic), "y": Axis(0, 2, 13)}
    grid = Grid(**({"t": Axis(0, 1, 4, time=True)} if timed else {}), **space)
    symbols = [x, y, t] if timed else [x, y]
    equation = random_expression(dice, symbols) + D(u, x, 2) + a * D(u, y) + k * u
    conditions, integrals = {}, {}
    if seed % 4 == 1:
        conditions["wall"] = Dirichlet(u, 0, on=("y",))
    elif seed % 4 == 2:
        conditions["flow"] = Neumann(u, a, on=("y",))
    elif seed % 4 == 3:
        conditions["mixed"] = Robin(u, 2, on=("y",), alpha=1, beta=k)
    if seed % 5 == 0:
        integrals["mass"] = Integral(u**2 + a, 0)
    pde = PDE(
        "p", "", grid, [u, a],
        {"one": equation + (D(u, t) if timed else 0), "two": u * a - D(a, x)},
        inputs={a: LAW}, params=[k], conditions=conditions, integrals=integrals,
    )  # fmt: skip
    orders = {"x": order, "y": 2 if order == "spectral" else order}
    residual = pde.bind(order=orders)
    given = frozenset({"k"}) if seed % 2 else frozenset()
    return residual._program(given), fields(grid.shape, 3, bool(given))


def fields(shape, batch: int, param: bool, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    made = {
        n: torch.rand(batch, *shape, generator=generator, dtype=torch.float64).to(dtype) + 0.5
        for n in ("u", "a")
    }
    return made | ({"k": torch.linspace(0.4, 0.9, batch, dtype=dtype)} if param else {})


def close(got, wanted, dtype=torch.float64):
    for name, value in wanted.items():
        size = float(value.abs().max()) if value.numel() else 0.0
        # The sums cancel: errors are relative to the terms, which derivatives make large.
        tolerance = 1e5 * torch.finfo(dtype).eps * (1 + size)
        torch.testing.assert_close(got[name], value.expand_as(got[name]), rtol=0, atol=tolerance)


def gradients(program, inputs, evaluate, weights=None):
    leaves = {n: v.detach().clone().requires_grad_() for n, v in inputs.items()}
    out = evaluate(leaves)
    generator = torch.Generator().manual_seed(2)
    weights = weights or {
        n: torch.rand(v.shape, generator=generator, dtype=v.dtype) for n, v in out.items()
    }
    total = sum((v * weights[n]).sum() for n, v in out.items())
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {n: torch.zeros_like(leaves[n]) if g is None else g
            for n, g in zip(leaves, found, strict=True)}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_gives_the_same(seed):
    program, inputs = random_program(seed)
    before = {n: v.clone() for n, v in inputs.items()}
    plain = program.evaluate(inputs)
    close(program.evaluate(inputs, fresh=True), plain)
    close(program.evaluate(inputs, fresh=True), plain)  # on memory that was used before
    adjoint = gradients(program, inputs, lambda v: run(program, v))
    recorded = gradients(program, inputs, program.evaluate)
    close(adjoint, recorded)
    close(gradients(program, inputs, lambda v: run(program, v)), recorded)
    generator = torch.Generator().manual_seed(3)
    for missing in ("", "a"):
        ways = {
            n: torch.rand(2, *v.shape, generator=generator, dtype=v.dtype)
            for n, v in inputs.items() if n != missing
        }  # fmt: skip
        _, change = program.tangent(inputs, ways)
        for way in range(2):
            tangents = {n: ways[n][way] if n in ways else torch.zeros_like(v)
                        for n, v in inputs.items()}  # fmt: skip
            _, wanted = torch.func.jvp(lambda v: run(program, v), (inputs,), (tangents,))
            close({n: c[way] for n, c in change.items()}, wanted)
    for name, value in inputs.items():
        assert torch.equal(value, before[name]), "an input changed"


@pytest.mark.parametrize("seed", [0, 1])
def test_transforms(seed):
    program, inputs = random_program(seed)
    wanted = program.evaluate(inputs)

    def of_one(v):
        return {n: r[0] for n, r in run(program, {n: f[None] for n, f in v.items()}).items()}

    close(torch.func.vmap(of_one)(inputs), wanted)
    gradient = torch.func.grad(lambda v: run(program, v)["one"].sum())(inputs)
    ones = {n: torch.full_like(v, float(n == "one")) for n, v in wanted.items()}
    close(gradient, gradients(program, inputs, lambda v: run(program, v), ones))
    compiled = torch.compile(lambda v: run(program, v), backend="eager", fullgraph=True)
    close(compiled(inputs), wanted)


def test_second_derivatives():
    grid = Grid(x=Axis(0, 1, 5, periodic=True), y=Axis(0, 1, 4))
    equation = D(a * D(u, x), x) + sympy.sin(u) * D(u, y) + u**3
    program = (
        PDE("p", "", grid, [u, a], {"e": equation}, inputs={a: LAW}).bind()._program(frozenset())
    )
    inputs = tuple(v.requires_grad_() for v in fields(grid.shape, 1, False).values())

    def rows(p, q):
        return run(program, {"u": p, "a": q})["e"]

    assert torch.autograd.gradcheck(rows, inputs)
    assert torch.autograd.gradgradcheck(rows, inputs)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_shapes_and_precisions(seed):
    program, inputs = random_program(seed)
    wanted = program.evaluate(inputs)
    one = {n: v[1:2] for n, v in inputs.items()}
    close(program.evaluate(one, fresh=True), {n: v[1:2] for n, v in wanted.items()})
    none = program.evaluate({n: v[:0] for n, v in inputs.items()}, fresh=True)
    assert all(none[n].shape == (0, *v.shape[1:]) for n, v in wanted.items())
    single = {n: v.float() for n, v in inputs.items()}
    for name, value in program.evaluate(single, fresh=True).items():
        assert value.dtype == torch.float32
        size = float(wanted[name].abs().max())
        torch.testing.assert_close(value.double(), wanted[name], rtol=0, atol=1e-3 * (1 + size))
    strided = {n: v.transpose(0, -1).contiguous().transpose(0, -1) for n, v in inputs.items()}
    close(program.evaluate(strided, fresh=True), wanted)
    shared = {n: v[:1].expand_as(v) for n, v in inputs.items()}
    close(program.evaluate(shared, fresh=True), program.evaluate(shared))
    mixed = {**inputs, "a": inputs["a"][:1]}
    close(gradients(program, mixed, lambda v: run(program, v)),
          gradients(program, mixed, program.evaluate))  # fmt: skip
    more = {n: torch.stack([v, v]) for n, v in inputs.items()}
    close({n: v[1] for n, v in program.evaluate(more, fresh=True).items()}, wanted)


def test_rows_change_with_only_a_param_by_their_derivative():
    """A param beside fields in a sum that is cut to times: the row's derivative by it is -1."""
    grid = Grid(t=Axis(0, 1, 5, time=True), x=Axis(0, 1, 6, periodic=True))
    pde = PDE("p", "", grid, [u], {"e": D(u, t) - D(u * D(u, x), x) - k}, params=[k],
              inputs={u.at(t=0): LAW})  # fmt: skip
    program = pde.bind()._program(frozenset({"k"}))
    inputs = {n: v for n, v in fields(grid.shape, 3, param=True).items() if n != "a"}
    _, change = program.tangent(inputs, {"k": torch.ones(3, dtype=torch.float64)})
    close(change, {"e": -torch.ones(3, 4, 6, dtype=torch.float64)})


def test_outputs_are_the_callers():
    """What a user does to an output reaches neither inputs, nor other outputs, nor later calls."""
    grid = Grid(x=Axis(0, 1, 6), y=Axis(0, 1, 6))
    pde = PDE("p", "", grid, [u, a], {"e": D(u, x, 2), "v": D(u, y) - D(u, y) + u},
              inputs={a: LAW})  # fmt: skip
    program = pde.bind()._program(frozenset())
    for grad in (False, True):
        inputs = {n: v.requires_grad_(grad) for n, v in fields(grid.shape, 2, False).items()}
        before = {n: v.detach().clone() for n, v in inputs.items()}
        first = {n: v.detach().clone() for n, v in run(program, inputs).items()}
        out = run(program, inputs)
        with torch.no_grad():
            for value in out.values():
                value.mul_(0).add_(7)
        again = run(program, inputs)
        for name in first:
            assert torch.equal(again[name].detach(), first[name])
        for name in inputs:
            assert torch.equal(inputs[name].detach(), before[name])


def test_graphs_alive_at_once_do_not_share_memory():
    program, inputs = random_program(1)
    wanted = gradients(program, inputs, program.evaluate)
    leaves = [{n: (v * s).requires_grad_() for n, v in inputs.items()} for s in (1.0, 2.0, 1.0)]
    generator = torch.Generator().manual_seed(2)
    totals, weights = [], None
    for leaf in leaves:
        out = run(program, leaf)
        weights = weights or {
            n: torch.rand(v.shape, generator=generator, dtype=v.dtype) for n, v in out.items()
        }
        totals.append(sum((v * weights[n]).sum() for n, v in out.items()))
    for leaf, total in zip(leaves[::2], totals[::2], strict=True):
        for _ in range(2):
            found = torch.autograd.grad(total, list(leaf.values()), retain_graph=True)
            close(dict(zip(leaf, found, strict=True)), wanted)


def test_a_nan_stays_in_its_sample():
    program, inputs = random_program(3)
    wanted = gradients(program, inputs, program.evaluate)
    broken = {n: v.clone() for n, v in inputs.items()}
    broken["u"][1] = float("nan")
    for values, samples in ((broken, [0, 2]), (inputs, [0, 1, 2])):
        found = gradients(program, values, lambda v: run(program, v))
        close({n: v[samples] for n, v in found.items()}, {n: v[samples] for n, v in wanted.items()})


def test_inference_mode_and_autocast():
    program, inputs = random_program(9)
    wanted = program.evaluate(inputs)
    with torch.inference_mode():
        close(program.evaluate(inputs, fresh=True), wanted)
    close(run(program, inputs), wanted)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(run(program, inputs), wanted)
