"""The correction against dense algebra, the classical solver, and what it must not do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from piddm import PDE, Axis, Dirichlet, Grid, Integral, Neumann, UsageError, get_pde
from piddm.bench.entries import parse
from piddm.data.simulate import held_inputs, simulate
from piddm.numerics import correction as module
from piddm.numerics.correction import Correction
from piddm.numerics.interior import Unsuited
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.nearest_moves import NearestMoves
from piddm.numerics.solution_moves import SolutionMoves
from piddm.plugins.loader import current
from piddm.priors import GaussianField, LogNormal, Uniform
from piddm.residuals.norms import mean_squares, sample_errors, term_scale
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from piddm.symbolic.operators import Param as AnyParam
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY

a, f, u = Field("a"), Field("f"), Field("u")
SMOOTH = GaussianField(2.5, 7.0)
C, NU = Param("c", 0.0, free=True), Param("nu", 2.0, free=True)
BOX = Grid(x=Axis(0, 1, 9), y=Axis(0, 2, 11))
SPACE_TIME = Grid(t=Axis(0, 1, 8, time=True), x=Axis(0, 1, 10, periodic=True))

MEDIUM = PDE("medium", "", BOX, [a, u],
             {"balance": D(a * D(u, x), x) + D(a * D(u, y), y) + x - C}, params=[C],
             inputs={a: LogNormal(SMOOTH)}, conditions={"wall": Neumann(u, 0)},
             integrals={"mean": Integral(u, 0)})  # fmt: skip
HEAT = PDE("heat", "", SPACE_TIME, [u], {"heat": D(u, t) - NU * D(u, x, 2) / 50}, params=[NU],
           inputs={u.at(t=0): SMOOTH, NU: Uniform(1, 5)})  # fmt: skip
ROD = PDE("rod", "", Grid(t=Axis(0, 1, 7, time=True), x=Axis(0, 1, 9)), [u],
          {"balance": D(u, t) - D(u, x, 2) / 50 - u * (1 - u)}, inputs={u.at(t=0): SMOOTH},
          conditions={"left": Neumann(u.at(x=0), 1), "right": Dirichlet(u.at(x=1), 0)})  # fmt: skip
EVERY = [BURGERS, DARCY, MEDIUM, HEAT, ROD]


def made(pde, move=None, noise=0.02, count=3):
    """Return a correction, noisy fields and the solutions that they were made from, float64."""
    grid = pde.grid.resized(10) if pde in (BURGERS, DARCY) else pde.grid
    (clean,) = simulate(pde, grid, 8, torch.Generator().manual_seed(0), chunk=8)
    residual = pde.bind(grid)
    fields = {k: clean[k] for k in pde.field_names}
    sizes = {k: float(v.std()) for k, v in fields.items()}
    draw = torch.Generator().manual_seed(3)
    noisy = {k: v[:count] + noise * sizes[k] * torch.randn(v[:count].shape, generator=draw).double()
             for k, v in fields.items()}  # fmt: skip
    mean = {k: v.mean(0, keepdim=True) for k, v in fields.items()}
    params = tuple(str(g) for g in pde.inputs if isinstance(g, AnyParam))
    inputs = held_inputs(pde, grid)
    scale = term_scale(residual, clean)
    return Correction(residual, sizes, scale, mean, inputs, params, move), noisy, clean


def jacobian(correction, fields):
    """Return the scaled rows' dense derivative by fields and free params, of the first sample."""
    residual = correction.residual
    pattern = Jacobian(residual, residual.field_names, residual.free_params)
    one = {k: v[:1] for k, v in fields.items()}
    _, values = pattern.values(one, correction.row_scale)
    dense = np.zeros((pattern.rows, pattern.columns))
    dense[pattern.row, pattern.column] = values[:, 0].numpy()
    return torch.from_numpy(dense)


def flat(correction, fields):
    names = (*correction.residual.field_names, *correction.residual.free_params)
    return torch.cat([fields[k][:1].flatten() for k in names])


@pytest.mark.parametrize(
    ("pde", "move", "steps"),
    [(pde, "solution", 12) for pde in EVERY]
    # Where a medium moves too, the mean state says little of it: that takes longer.
    + [(BURGERS, "nearest", 12), (DARCY, "nearest", 80), (HEAT, "nearest", 12)]
    + [(ROD, "nearest", 12)],
    ids=lambda v: getattr(v, "name", str(v)),
)
def test_samples_come_onto_the_equation(pde, move, steps):
    correction, noisy, _ = made(pde, move)
    found = correction(noisy, steps=steps)
    assert found.before.min() > 1e-4
    assert bool(found.converged.all())
    assert found.error.max() < 1e-20
    again = sample_errors(correction.residual, found.fields, correction.row_scale)
    assert torch.equal(again, found.error)


@pytest.mark.parametrize("pde", EVERY, ids=lambda p: p.name)
def test_a_solution_is_the_classical_one_from_the_same_inputs(pde):
    correction, noisy, clean = made(pde, "solution")
    inputs = held_inputs(pde, correction.residual.grid)
    for name, at in inputs.items():
        kept = torch.from_numpy(at)
        noisy[name] = torch.where(kept, clean[name][:3], noisy[name])
    given_params = {str(g): clean[str(g)][:3] for g in pde.inputs if isinstance(g, AnyParam)}
    found = correction(noisy | given_params, steps=12).fields
    for name in pde.field_names:
        # The data were solved to 1e-11 of the largest term.
        assert (found[name] - clean[name][:3]).abs().max() < 1e-7 * clean[name].std()


@pytest.mark.parametrize("pde", EVERY, ids=lambda p: p.name)
def test_a_solutions_step_is_the_dense_one(pde):
    correction, noisy, _ = made(pde, "solution")
    moves = correction.moves
    assert isinstance(moves, SolutionMoves)
    state = correction.residual.fit(noisy)
    here = moves.at(state)
    step = here.solve(here.rows, 80)
    full = {k: step.get(k, torch.zeros_like(v)) for k, v in state.items()}
    change = jacobian(correction, state) @ flat(correction, full)
    moving = (jacobian(correction, state)[:, flat(correction, full) != 0] != 0).any(1)
    torch.testing.assert_close(change[moving], here.rows[0][moving], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("pde", EVERY, ids=lambda p: p.name)
def test_the_nearest_step_is_the_dense_one(pde):
    """The shortest scaled move, and free params at no cost: by a dense saddle-point system."""
    correction, noisy, _ = made(pde, "nearest")
    moves = correction.moves
    assert isinstance(moves, NearestMoves)
    state = correction.residual.fit(noisy)
    here = moves.at(state)
    step = here.solve(here.rows, 400)
    dense, columns = jacobian(correction, state), len(moves.weights)
    left, beside = dense[:, :columns] * moves.weights, dense[:, columns:]
    zero = torch.zeros(beside.shape[1], beside.shape[1], dtype=torch.float64)
    saddle = torch.cat([
        torch.cat([left @ left.mT, beside], 1), torch.cat([beside.mT, zero], 1)
    ])  # fmt: skip
    side = torch.cat([here.rows[0], zero.sum(1)])
    solved = torch.linalg.lstsq(saddle, side, driver="gelsd").solution
    move = moves.weights * (left.mT @ solved[: len(dense)])
    expected = torch.cat([move, solved[len(dense) :]])
    away = (flat(correction, step) - expected).norm() / expected.norm()
    # Params are kept out of the multipliers by a preconditioner in single precision.
    assert away < (2e-3 if correction.residual.free_params else 1e-5)


@pytest.mark.parametrize("pde", EVERY, ids=lambda p: p.name)
def test_gradients_through_a_solution(pde, monkeypatch):
    """By finite differences of the whole correction, to round-off, in random directions."""
    monkeypatch.setattr(module, "BACKWARDS", 80)
    correction, noisy, _ = made(pde, "solution", count=2)
    draw = torch.Generator().manual_seed(1)
    start = correction.residual.fit(noisy)
    weights = {k: torch.randn(v.shape, generator=draw).double() for k, v in start.items()}

    def score(values):
        found = correction(dict(zip(start, values, strict=True)), tolerance=1e-26, steps=16).fields
        return torch.stack([(weights[k] * found[k].sin()).sum() for k in start]).sum()

    leaves = [v.clone().requires_grad_() for v in start.values()]
    gradients = torch.autograd.grad(score(leaves), leaves)
    for _ in range(2):
        away = [torch.randn(v.shape, generator=draw).double() * v.std().nan_to_num(0.1)
                for v in leaves]  # fmt: skip
        along = sum(float((g * d).sum().detach()) for g, d in zip(gradients, away, strict=True))
        ends = [
            score([v.detach() + s * 1e-4 * d for v, d in zip(leaves, away, strict=True)]).item()
            for s in (1, -1)
        ]
        assert along == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("pde", EVERY, ids=lambda p: p.name)
def test_gradients_through_a_nearest_state(pde, monkeypatch):
    """The projector on the tangent space, by dense algebra at the corrected state."""
    monkeypatch.setattr(module, "BACKWARDS", 400)
    correction, noisy, _ = made(pde, "nearest", count=2)
    names, params = correction.residual.field_names, correction.residual.free_params
    leaves = {k: v.clone().requires_grad_() for k, v in noisy.items()}
    found = correction(leaves, steps=12).fields
    draw = torch.Generator().manual_seed(1)
    weights = {k: torch.randn(v.shape, generator=draw).double() for k, v in found.items()}
    score = torch.stack([(weights[k] * found[k]).sum() for k in found]).sum()
    gradients = torch.autograd.grad(score, list(leaves.values()))
    at = {k: v.detach() for k, v in found.items()}
    dense, moves = jacobian(correction, at), correction.moves
    assert isinstance(moves, NearestMoves)
    columns = len(moves.weights)
    plain, beside = dense[:, :columns], dense[:, columns:]
    squares = moves.weights.square()
    zero = torch.zeros(len(params), len(params), dtype=torch.float64)
    saddle = torch.cat([
        torch.cat([(plain * squares) @ plain.mT, beside], 1), torch.cat([beside.mT, zero], 1)
    ])  # fmt: skip
    inverse = torch.linalg.pinv(saddle, hermitian=True, rtol=1e-12)
    rows = len(dense)
    # The corrected state's change with the given one's: of fields, and of params.
    by_fields = torch.eye(columns).double() - (
        squares[:, None] * plain.mT @ inverse[:rows, :rows] @ plain
    )
    by_params = -inverse[rows:, :rows] @ plain
    given = flat(correction, weights)
    expected = by_fields.mT @ given[:columns] + by_params.mT @ given[columns:]
    made_of = torch.cat([g[:1].flatten() for g in gradients])
    assert names == tuple(leaves)
    away = (made_of - expected).norm() / expected.norm()
    assert away < (2e-3 if params else 1e-5)  # as above


def test_what_does_not_converge_says_so_and_is_no_worse():
    correction, noisy, _ = made(BURGERS, "nearest")
    bad = {k: v.clone() for k, v in noisy.items()}
    bad["u"][1] = 300 * torch.randn(bad["u"][1].shape, generator=torch.Generator().manual_seed(0))
    bad["u"][2, 3, 3] = torch.nan
    found = correction(bad, tolerance=1e-9, steps=4)
    assert found.converged.tolist() == [True, False, False]
    assert found.error[1] <= found.before[1]
    assert torch.isinf(found.error[2])
    torch.testing.assert_close(found.fields["u"][2], bad["u"][2], equal_nan=True)


@pytest.mark.parametrize("pde", EVERY, ids=lambda p: p.name)
def test_single_precision_finds_the_same(pde):
    correction, noisy, _ = made(pde)
    exact = correction(noisy).fields
    single = correction({k: v.float() for k, v in noisy.items()})
    assert bool(single.converged.all())
    for name in pde.field_names:
        assert single.fields[name].dtype == torch.float32
        away = (single.fields[name] - exact[name]).square().mean().sqrt()
        # What an error of 1e-6 leaves, amplified by a solve.
        assert away < 1e-2 * exact[name].std()


def test_companions_change_nothing():
    correction, noisy, _ = made(BURGERS, "nearest", count=3)
    noisy["u"][2] *= 4  # takes more steps than the others
    every, one = correction(noisy), correction({k: v[:1] for k, v in noisy.items()})
    torch.testing.assert_close(every.fields["u"][:1], one.fields["u"], rtol=1e-6, atol=1e-7)


def test_a_move_is_checked():
    with pytest.raises(UsageError, match="nearest or solution"):
        made(BURGERS, "all")


def test_what_is_not_separable_is_corrected_by_the_shortest_move():
    """A coefficient that is written into the equation is no constant-coefficient matrix."""
    pde = PDE("varying", "", BOX, [f, u], {"balance": laplace(u, [x, y]) * (1 + x * y) - f},
              inputs={f: SMOOTH}, conditions={"wall": Dirichlet(u, 0)})  # fmt: skip
    correction, noisy, _ = made(pde, "solution")
    state = {k: v[:1] for k, v in noisy.items()}
    inputs = held_inputs(pde, BOX)
    with pytest.raises(Unsuited):
        SolutionMoves(correction.residual, correction.row_scale, inputs, (), state)
    assert isinstance(correction.moves, NearestMoves)
    found = correction(noisy, steps=20)
    assert torch.equal(found.fields["f"], noisy["f"])
    assert found.error.max() < 1e-8


def test_the_nearest_state_moves_hardly_more_than_the_projection():
    from piddm.numerics.projection import Projection

    correction, noisy, clean = made(BURGERS, "nearest")
    sizes = {k: float(clean[k].std()) for k in noisy}
    exact = Projection(correction.residual, sizes, correction.row_scale)(noisy, nearest=20)
    found = correction(noisy, steps=12).fields
    moved = [(v["u"] - noisy["u"]).square().mean() for v in (exact, found)]
    assert moved[0] * (1 - 1e-9) <= moved[1] <= 1.01 * moved[0]


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.5, 3), st.floats(0.5, 3), st.floats(-5, 5), st.booleans(),
    st.sampled_from(["dirichlet", "neumann"]), st.integers(5, 9), st.integers(0, 99),
)  # fmt: skip
def test_random_elliptic_equations(p, q, r, round_, kind, size, seed):
    """Against the classical solver; -r keeps the operator definite."""
    grid = Grid(x=Axis(0, 1, size), y=Axis(0, 1, size + 2, periodic=round_))
    wall = {"dirichlet": Dirichlet, "neumann": Neumann}[kind]
    ends = {"low": wall(u.at(x=0), 0.5), "high": wall(u.at(x=1), -1)}
    if not round_:
        ends |= {"left": wall(u.at(y=0), 0), "right": wall(u.at(y=1), 1)}
    expression = p * D(u, x, 2) + q * D(u, y, 2) - (1 + abs(r)) * u - f
    pde = PDE("elliptic", "", grid, [f, u], {"balance": expression}, inputs={f: SMOOTH},
              conditions=ends)  # fmt: skip
    draw = torch.Generator().manual_seed(seed)
    source = torch.randn(2, *grid.shape, generator=draw).double()
    clean = pde.solve({f: source}, grid)
    residual = pde.bind(grid)
    scale = term_scale(residual, clean)
    start = {"f": source, "u": torch.randn(2, *grid.shape, generator=draw).double()}
    mean = {k: v[:1] for k, v in start.items()}
    found = Correction(residual, {"f": 1.0, "u": 1.0}, scale, mean, held_inputs(pde, grid), (),
                       "solution")(start, steps=12)  # fmt: skip
    assert bool(found.converged.all())
    assert (found.fields["u"] - clean["u"]).abs().max() < 1e-7 * clean["u"].abs().max()


def test_a_run_corrects_its_samples(tiny_run):
    before = tiny_run.sample(3, 1)
    found = tiny_run.correct(before)
    after = tiny_run.sample(3, 1, correct=True)
    assert torch.equal(after["u"], found.fields["u"])
    assert bool((found.error <= found.before).all())
    assert torch.equal(found.fields["u"][:, 0], before["u"][:, 0])  # from its own first time on
    nearest = tiny_run.sample(3, 1, correct="nearest")
    assert not torch.equal(nearest["u"][:, 0], before["u"][:, 0])
    with pytest.raises(UsageError, match="give all of"):
        tiny_run.correct({})


def test_errors_are_those_of_the_report():
    residual = get_pde("darcy").bind(get_pde("darcy").grid.resized(8))
    fields = {k: torch.randn(4, 8, 8).double() for k in ("a", "u")}
    scale = {"mass": 2.0, "wall": 0.5}
    each = sample_errors(residual, fields, scale)
    total = sum(mean_squares(residual, fields, scale).values())
    torch.testing.assert_close(each.mean(), torch.as_tensor(total))


def test_a_student_learns_through_the_correction(tiny_run):
    """The loss is taken on samples that satisfy the equation, and its gradient is finite."""
    context = tiny_run.context
    student = tiny_run.student.requires_grad_(True)
    noise = torch.randn(4, *context.shape, generator=torch.Generator().manual_seed(0))
    x = student(noise)
    after = context.correct(x)
    fields = context.packing.unpack(after.detach())
    assert tiny_run.pde_error(fields) < 1e-2 * tiny_run.pde_error(
        context.packing.unpack(x.detach())
    )
    after.square().mean().backward()
    norms = [p.grad.norm() for p in student.parameters() if p.grad is not None]
    assert norms
    assert bool(torch.stack(norms).isfinite().all())
    assert float(torch.stack(norms).max()) > 0
    student.requires_grad_(False).zero_grad()


def test_a_bench_ends_with_the_correction():
    entry = parse("one-step+correction+draws=2", current())
    assert (entry.correction, entry.projection, entry.draws) == (True, False, 2)
    with pytest.raises(UsageError, match=r"\+projection or \+solved"):
        parse("one-step+correction+projection", current())


def test_a_run_scores_its_corrected_samples(tiny_run):
    scores = tiny_run.metrics
    raw = tiny_run.metrics["student"]
    assert scores["student, corrected"].pde_error_normalised < raw.pde_error_normalised
    assert scores["student, projected"].pde_error_normalised < 1e-12
    assert scores["student, corrected"].nfe == raw.nfe
