"""The Newton step that ends an operator: what it moves, how far, and its derivative."""

import copy

import torch

from piddm.data.simulate import held_inputs
from piddm.residuals.norms import sample_errors
from piddm.students.polish import AS_GOOD, Polish
from piddm.tools.randomness import white
from test_staged import CPU, prepared


def polished(folder, monkeypatch, name, iterations):
    """A run, a student of it with a polish, and noise."""
    run, context, student = prepared(folder, monkeypatch, name, **{"student.polish": iterations})
    student.objective(context)  # fits it
    noise = white((3, *context.shape), CPU, 0, "noise")
    return run, student.requires_grad_(False), noise


def errors(run, x):
    return sample_errors(run.residual, run.packing.unpack(x.double()), run.scale)


def test_a_linear_equation_is_solved_by_one_product(tmp_path, monkeypatch):
    run, student, noise = polished(tmp_path, monkeypatch, "poisson", 1)
    x = student(noise)
    before = student.solve(student.draw(noise))
    assert float(errors(run, before).min()) > 1e-4
    assert float(errors(run, x).max()) < 1e-8  # the rounding of float32 in second differences
    held = held_inputs(run.pde, run.grid)
    inputs = run.packing.stack({k: torch.from_numpy(v)[None] for k, v in held.items()})[0]
    assert torch.equal(x[:, inputs], before[:, inputs])


def test_a_medium_stays_and_each_product_brings_its_solution_nearer(tmp_path, monkeypatch):
    found = []
    for count in (1, 3, 6):
        run, student, noise = polished(tmp_path, monkeypatch, "darcy", count)
        x, before = student(noise), student.solve(student.draw(noise))
        assert torch.equal(x[:, 0], before[:, 0])
        found.append(float(errors(run, x).mean() / errors(run, before).mean()))
    assert found[0] < 0.3
    assert found[1] < 0.1 * found[0]
    assert found[2] < 0.1 * found[1]


def test_a_march_starts_from_the_first_time_that_was_drawn_and_comes_nearer(tmp_path, monkeypatch):
    run, student, noise = polished(tmp_path, monkeypatch, "burgers", 6)
    x, drawn = student(noise), student.draw(noise)
    before = student.solve(drawn)
    beside = torch.where(student.mask, drawn, before)
    assert float((errors(run, x) / errors(run, beside)).max()) < 0.1


def test_a_drawn_first_time_stays_where_that_leaves_errors_of_the_same_size(tmp_path, monkeypatch):
    """What is chosen is the kept one if its error, measured here, is at most twice the other's."""
    run, student, _ = polished(tmp_path, monkeypatch, "burgers", 6)
    noise = white((16, *run.context.shape), CPU, 0, "noise")
    drawn, left, moved = student.draw(noise), {}, {}
    for keeps in (False, True):
        student.polish.keeps.fill_(keeps)
        x = student(noise)
        left[keeps] = float(errors(run, x).mean())
        moved[keeps] = float((x - drawn)[:, student.mask].abs().max())
    assert moved[True] < 1e-6 < moved[False]
    student.settle(run.context.data, 0)
    assert bool(student.polish.keeps) == (left[True] <= AS_GOOD * left[False])
    monkeypatch.setattr("piddm.students.polish.AS_GOOD", 0.0)
    student.settle(run.context.data, 0)
    assert not bool(student.polish.keeps)


def test_films_are_left_to_the_correction(tmp_path, monkeypatch):
    _, student, noise = polished(tmp_path, monkeypatch, "navier-stokes", 2)
    assert not student.polish.moves(student.packing)
    assert torch.equal(student(noise), student.solve(student.draw(noise)))


def test_a_copy_makes_its_own(tmp_path, monkeypatch):
    _, student, noise = polished(tmp_path, monkeypatch, "darcy", 2)
    x = student(noise)
    assert torch.equal(copy.deepcopy(student)(noise), x)


def test_its_derivative_is_that_of_the_solution(tmp_path, monkeypatch):
    run, student, _ = polished(tmp_path, monkeypatch, "poisson", 1)
    polish, packing = student.polish, run.packing
    assert isinstance(polish, Polish)
    x, along, seen = (white((2, *student.offset.shape), CPU, i, "x") for i in range(3))
    x.requires_grad_()
    slope = torch.autograd.grad((polish(x, packing) * seen).sum(), x)[0]
    with torch.no_grad():  # linear: any step is as good, a long one rounds less
        ends = [(polish(x + s * along, packing).double() * seen).sum() for s in (0.5, -0.5)]
    torch.testing.assert_close(
        (slope.double() * along).sum(), ends[0] - ends[1], rtol=1e-3, atol=1e-2
    )


def test_a_sphere_whose_inverse_is_exact_is_solved_by_one_product(tmp_path, monkeypatch):
    run, student, noise = polished(tmp_path, monkeypatch, "sphere-poisson", 1)
    x, drawn = student(noise), student.draw(noise)
    before = student.solve(drawn)
    assert float(errors(run, before).min()) > 1e-4
    assert float(errors(run, x).max()) < 1e-6  # the rounding of float32 in the Laplacian
    # The source has lost its mean, which no solution has, and nothing else.
    moved = run.packing.unpack(x)["a"] - run.packing.unpack(drawn)["a"]
    # A sample is packed and unpacked again in float32.
    assert float((moved - moved[:, :1, :1]).abs().max()) < 1e-5
