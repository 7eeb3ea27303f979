"""The staged student: what it keeps, what each loss moves, and solutions of its own inputs."""

from __future__ import annotations

import json

import pytest
import torch

from piddm import Axis, Grid
from piddm.config import Config, resolve
from piddm.data.packing import Packing
from piddm.plugins.loader import get_pde
from piddm.runs.model_files import build_student, build_teacher
from piddm.runs.stages import Distillation
from piddm.students.gaussian_inputs import is_gaussian
from piddm.students.linear_prediction import GRAIN, LinearPrediction
from piddm.students.staged import Extension, determined
from piddm.tools.randomness import white
from tiny import tiny

CPU = torch.device("cpu")
NETWORK = {"widths": [8, 8], "fold": 2}
CHANGES = {
    "data.times": 4, "data.train": 32, "network.fold": 2, "packing.rank": 4,
    "student.name": "staged", "student.operator": NETWORK, "student.inputs": NETWORK,
}  # fmt: skip


def make(name: str, **overrides):
    pde = get_pde(name)
    config = resolve(name, "quick", overrides=tiny(CHANGES | overrides))
    teacher = build_teacher(config, pde, config.data.grid(pde.grid))
    return pde, config, build_student(config, teacher, pde)


def prepared(folder, monkeypatch, name: str, **overrides):
    """Return a run with data, teacher and pairs, and its student before training."""
    monkeypatch.setenv("PIDDM_HOME", str(folder))
    pde = get_pde(name)
    run = Distillation(resolve(name, "quick", overrides=tiny(CHANGES | overrides)), pde)
    for stage in (run.simulate, run.train):
        list(stage())
    context = run.context
    list(context.pairs.advance(0))
    return run, context, build_student(run.config, run.teacher, pde)


def test_an_initial_state_is_extended_along_time():
    pde, _, student = make("burgers")
    x = white((3, 1, 16, 16), CPU, 0, "x")
    known = Extension(pde, student.packing)(x)
    assert torch.equal(known, x[:, :, :1].expand_as(x))
    assert student.mask[0, 0].all()
    assert int(student.mask.sum()) == 16


def test_a_film_s_initial_state_is_one_channel_and_what_is_no_input_is_zero():
    pde, _, student = make("navier-stokes")
    x = white((2, 8, 16, 16), CPU, 0, "x")  # four times of w, then four of psi
    known = Extension(pde, student.packing)(x)
    assert torch.equal(known[:, :4], x[:, :1].expand(-1, 4, -1, -1))
    assert float(known[:, 4:].abs().max()) == 0
    assert student.mask[0].all()
    assert int(student.mask.sum()) == 16 * 16


def test_a_whole_field_is_kept_where_it_is():
    pde, _, student = make("darcy")
    x = white((2, 2, 16, 16), CPU, 0, "x")
    known = Extension(pde, student.packing)(x)
    assert torch.equal(known[:, 0], x[:, 0])
    assert float(known[:, 1].abs().max()) == 0
    assert student.mask[0].all()
    assert not student.mask[1].any()


@pytest.mark.parametrize("name", ["darcy", "burgers", "navier-stokes", "sphere-poisson"])
def test_whole_inputs_and_walls_are_kept_and_nothing_else_is_looked_at(name, tmp_path, monkeypatch):
    _, context, student = prepared(tmp_path, monkeypatch, name)
    student.fit(context.data)
    for parameter in student.operator.parameters():  # its last layer is silent to begin with
        parameter.data = parameter.data + 0.05
    x = context.data[:3]
    solved = student.solve(x)
    whole = student.extension.whole.expand_as(x[0])
    assert torch.equal(solved[:, whole], x[:, whole])
    away = white(x.shape, CPU, 1, "x") * ~student.mask
    assert torch.equal(student.solve(x + away), solved)
    still = context.data.std(0) < 1e-7
    assert float((solved - x)[:, still].abs().sum().detach()) < 1e-3
    assert float((solved - student.extension(x)).detach().abs().max()) > 0.01


@pytest.mark.parametrize(("name", "kept"), [("navier-stokes", True), ("darcy", False)])
def test_a_correction_takes_up_films_with_the_first_time_that_was_drawn(name, kept):
    _, _, student = make(name)
    noise = white((2, *student.offset.shape), CPU, 0, "x")
    drawn, plain, begun = student.draw(noise), student(noise), student.begun(noise)
    assert torch.equal(begun[:, ~student.mask], plain[:, ~student.mask])
    assert torch.equal(begun[:, student.mask], drawn[:, student.mask])
    # Of a film the operator draws it anew; a whole field it leaves alone.
    assert torch.equal(plain[:, student.mask], drawn[:, student.mask]) != kept


def test_each_loss_moves_a_network_of_its_own(tmp_path, monkeypatch):
    _, context, student = prepared(tmp_path, monkeypatch, "darcy")
    student.requires_grad_(True)
    values = student.objective(context)(student, 0)
    both = {"network": student.network, "operator": student.operator}
    moved = {"pair": "network", "energy": "network", "operator": "operator", "physics": "operator"}
    assert values.keys() == {*moved, "loss"}
    for loss, own in moved.items():
        for name, module in both.items():
            slopes = torch.autograd.grad(
                values[loss], list(module.parameters()), retain_graph=True, allow_unused=True
            )
            size = sum(float(s.abs().sum()) for s in slopes if s is not None)
            assert (size > 0) is (name == own), (loss, name)


def test_solutions_of_its_own_inputs(tmp_path, monkeypatch):
    """Against the derived solver, on samples: trained, the operator leaves a fraction of what the
    mean solution is off. 0.35 after a hundred steps of a tiny network; 0.1 and less with time."""
    run, context, _ = prepared(
        tmp_path, monkeypatch, "poisson",
        **{"data.train": 256, "packing.rank": 64, "student.steps": 150, "student.batch": 16,
           "student.learning_rate": 5e-3, "student.ema": 0.9,
           "student.physics_weight": 0.0},
    )  # fmt: skip
    list(run.distill())
    noise = white((16, *context.shape), CPU, 2, "noise")
    with torch.no_grad():
        found = run.packing.unpack(run.student(noise))
    a, _ = run.pde.fields
    solved = run.pde.solve({a: found["a"]}, run.grid)["u"]
    error = (found["u"] - solved).norm() / solved.norm()
    assert float(error) < 0.35


def test_a_param_that_is_an_input_leaves_one_stage(tmp_path, monkeypatch):
    """A state has no channel for it, so that the solution is no function of what is known."""
    _, context, student = prepared(tmp_path, monkeypatch, "heat")
    assert not determined(get_pde("heat"))
    assert student.calls == 1
    assert not hasattr(student, "operator")
    values = student.objective(context)(student, 0)
    assert values.keys() == {"loss", "pair", "physics", "energy"}


def test_settings_that_are_left_out_change_no_older_configuration():
    old = resolve("darcy", overrides={"student.name": "one-step"}).model_dump()
    assert not {"inputs", "operator"} & old["student"].keys()
    new = resolve("darcy", overrides={"student.operator.widths": [16, 24]})
    assert new.student.operator is not None
    assert new.student.operator.widths == (16, 24)
    assert Config.model_validate(json.loads(new.model_dump_json())) == new


def test_it_is_a_run_that_can_be_opened_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    pde = get_pde("burgers")
    config = resolve("burgers", "quick", overrides=tiny(CHANGES))
    list(Distillation(config, pde).run())
    run = Distillation(config, pde)
    assert run.scores()["student"].nfe == run.student.calls
    assert float(run.student.spread.max()) > 0
    history = json.loads((run.folder / "student.history.json").read_text())["lines"]
    assert {"operator", "physics"} < history[0].keys()


def test_the_linear_prediction_is_the_mean_of_a_gaussian_law_given_its_inputs():
    """Against conditioning the covariance matrix itself."""
    pde, _, student = make("poisson", **{"packing.rank": 12})
    packing = student.packing.double()
    basis = torch.linalg.qr(white((512, 12), CPU, 0, "basis").double())[0]
    strengths = torch.linspace(3, 0.3, 12, dtype=torch.float64)
    packing.components.copy_(basis.mT)
    packing.strengths.copy_(strengths)
    mask = Extension(pde, packing).mask
    prediction = LinearPrediction(12, mask).double()
    prediction.fit(packing)
    x = (white((3, 12), CPU, 1, "z").double() * strengths @ basis.mT).view(3, 2, 16, 16)
    covariance = (basis * strengths.square()) @ basis.mT
    own = mask.flatten()
    noise = GRAIN**2 * torch.eye(int(own.sum()), dtype=torch.float64)
    gain = covariance[:, own] @ torch.linalg.inv(covariance[own][:, own] + noise)
    wanted = (x.flatten(1)[:, own] @ gain.mT).view_as(x)
    torch.testing.assert_close(prediction(x, packing), wanted, rtol=1e-8, atol=1e-8)
    # 12 components, 256 inputs: all of the state is known but for the grain.
    assert float((wanted - x).norm() / x.norm()) < 1e-3


@pytest.mark.parametrize(("name", "linear"), [("poisson", True), ("burgers", False)])
def test_a_linear_prediction_is_taken_of_linear_equations(name, linear, tmp_path, monkeypatch):
    _, context, student = prepared(
        tmp_path, monkeypatch, name, **{"packing.rank": 32, "data.train": 128}
    )
    student.fit(context.data)
    assert bool(student.prediction.gain.any()) is linear
    assert (float(student.spread.max()) < 0.2) is linear


@pytest.mark.parametrize("seed", range(6))
def test_chance_does_not_call_a_gaussian_law_another(seed):
    """One comparison of some hundred samples is off by a half in one draw of three."""
    draw = torch.Generator().manual_seed(seed)
    grid = Grid(x=Axis(0, 1, 16, periodic=True), y=Axis(0, 1, 8, periodic=True))
    white = torch.randn(600, 16, 8, generator=draw, dtype=torch.float64)
    waves = (16 * torch.fft.fftfreq(16)).square()[:, None] + (8 * torch.fft.fftfreq(8)).square()
    law = torch.fft.ifft2(torch.fft.fft2(white) / (1 + waves)).real
    packing = Packing(grid, ("u",), rank=64).fit({"u": law})
    mask = torch.ones(packing.channels, *packing.image, dtype=torch.bool)
    assert is_gaussian(packing.pack({"u": law}).float(), packing, mask)
    cubed = {"u": law**3}
    packing = Packing(grid, ("u",), rank=64).fit(cubed)
    assert not is_gaussian(packing.pack(cubed).float(), packing, mask)


def test_gaussian_inputs_have_all_waves_of_the_data(tmp_path, monkeypatch):
    """Burgers' first time, wave by wave: the finest are a millionth of a film, and the colour's."""
    _, context, student = prepared(
        tmp_path, monkeypatch, "burgers",
        **{"packing.rank": 16, "data.train": 512, "data.size": 32, "data.times": 8},
    )  # fmt: skip
    student.fit(context.data)
    assert bool(student.gaussian)
    noise = white((2048, *context.data.shape[1:]), CPU, 0, "noise")
    with torch.no_grad():
        drawn, coloured = student.draw(noise), student.packing.colour(noise)
    power = [
        torch.fft.rfft(x[:, 0, 0]).abs().square().mean(0) for x in (context.data, drawn, coloured)
    ]
    assert bool(student.mask[0, 0].all())
    # Means over 512 and 2,048 draws of a square: 8 % is a deviation, of 15 waves.
    torch.testing.assert_close(power[1][1:16], power[0][1:16], rtol=0.3, atol=0)
    assert float(power[2][15]) < 0.5 * float(power[0][15])


@pytest.mark.parametrize(
    ("name", "gaussian"),
    [("burgers", True), ("poisson", True), ("darcy", False), ("advection", False)],
)
def test_gaussian_inputs_are_told_from_others(name, gaussian, tmp_path, monkeypatch):
    """By data only: a medium of two phases and sums of two waves are no Gaussian fields."""
    _, context, student = prepared(
        tmp_path, monkeypatch, name, **{"packing.rank": 64, "data.train": 512}
    )
    student.fit(context.data)
    assert bool(student.gaussian) is gaussian
    assert student.calls == 2 - gaussian
    unused = not any(bool(p.any()) for p in student.network.parameters())
    assert unused is gaussian
