"""Resuming anywhere gives the result of an uninterrupted run; the pool and the engine agree."""

import dataclasses
import json
import math

import pytest
import torch

from piddm import PiddmError
from piddm.config import OptimiserConfig, PairsConfig, resolve
from piddm.runs.stages import Distillation
from piddm.tools.files import read_tensors
from piddm.tools.randomness import generator, white
from piddm.training.optimisation import Optimisation
from piddm.training.pairs import PairPool
from piddm_pdes.darcy import DARCY
from tiny import tiny

CPU = torch.device("cpu")
SETTINGS = OptimiserConfig(steps=20, batch=4, learning_rate=1e-2, warmup=3)
CHANGES = {
    "network.fold": 2, "packing.rank": 4, "teacher.steps": 6,
    "pairs.refresh_every": 3, "pairs.refresh": 6, "student.steps": 8,
}  # fmt: skip


def quadratic(seed: int):
    def loss(module, step):
        target = torch.randn(4, 3, generator=generator(seed, step))
        return {"loss": (module(target) - target.flip(1)).square().mean()}

    return loss


def fresh(path, fingerprint="f"):
    module = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.eye_(module.weight)
    return Optimisation("teacher", module, SETTINGS, path, fingerprint, CPU)


def test_a_resumed_optimisation_repeats_an_uninterrupted_one(tmp_path):
    whole = fresh(tmp_path / "whole")
    assert len(list(whole.run(quadratic(0)))) == 20
    first = fresh(tmp_path / "part")
    for progress in first.run(quadratic(0)):
        if progress.done == 7:
            first.save()
        if progress.done == 9:  # two steps are lost, as by a kill
            break
    second = fresh(tmp_path / "part")
    assert second.step == 7
    assert len(list(second.run(quadratic(0)))) == 13
    assert torch.equal(second.module.weight, whole.module.weight)
    assert torch.equal(second.average.weight, whole.average.weight)
    assert second.history == whole.history
    assert float((whole.module.weight - torch.eye(3).flip(0)).norm()) < 2 - 0.01


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path):
    job = fresh(tmp_path / "c")
    for _ in job.run(quadratic(0)):
        job.save()
        break
    assert fresh(tmp_path / "c").step == 1
    assert fresh(tmp_path / "c", "other").step == 0


def test_steps_are_the_formulas_written_out_to_the_bit(tmp_path):
    """Warm-up and cosine, clipped AdamW, keep = min(ema, (1 + n)/(10 + n)); stopped at step 7."""
    own = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.eye_(own.weight)
    mean = own.weight.detach().clone()
    adam = torch.optim.AdamW(own.parameters(), betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(20):
        warm = min(1.0, (step + 1) / 3)
        rate = warm * 0.5 * (1 + math.cos(math.pi * step / 20))
        adam.param_groups[0]["lr"] = 1e-2 * rate
        adam.zero_grad()
        quadratic(0)(own, step)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(own.parameters(), SETTINGS.clip)
        adam.step()
        keep = min(SETTINGS.ema, (2 + step) / (11 + step))
        mean.lerp_(own.weight.detach(), 1 - keep)
    for progress in (job := fresh(tmp_path / "c")).run(quadratic(0)):
        if progress.done == 7:
            job.save()
            break
    job = fresh(tmp_path / "c")
    assert len(list(job.run(quadratic(0)))) == 13
    assert torch.equal(job.module.weight, own.weight)
    assert torch.equal(job.average.weight, mean)


def test_divergence_is_named_and_keeps_the_checkpoint(tmp_path):
    job = fresh(tmp_path / "c")

    def loss(module, step):
        value = quadratic(0)(module, step)["loss"]
        return {"loss": value * float("nan") if step == 5 else value}

    def run():
        for progress in job.run(loss):
            if progress.done == 3:
                job.save()

    with pytest.raises(PiddmError, match=r"loss is nan at step 6 .* lower teacher\.learning_rate"):
        run()
    assert fresh(tmp_path / "c").step == 3


def test_a_gradient_that_is_not_a_number_is_not_stepped_on(tmp_path):
    job = fresh(tmp_path / "c")

    def loss(module, step):
        value = quadratic(0)(module, step)["loss"]
        return {"loss": value + (0 * module.weight.sum()).sqrt() if step == 2 else value}

    with pytest.raises(PiddmError, match="its gradient nan"):
        list(job.run(loss))
    assert bool(job.module.weight.isfinite().all())


def test_a_checkpoint_that_does_not_fit_is_named(tmp_path):
    job = fresh(tmp_path / "c")
    for _ in job.run(quadratic(0)):
        job.save()
        break
    module = torch.nn.Linear(4, 4, bias=False)
    with pytest.raises(PiddmError, match="does not fit this run; remove it"):
        Optimisation("teacher", module, SETTINGS, tmp_path / "c", "f", CPU)


def test_leftovers_of_a_kill_are_in_nobody_s_way(tmp_path):
    (tmp_path / ".ab12cd34.000001.safetensors").write_bytes(b"half a file")
    one = pool(tmp_path, Doubling())
    for refreshes in range(6):
        list(one.advance(refreshes))
    assert {int(p.stem) for p in tmp_path.glob("[0-9]*")} >= {0, 1}, "the first pool stays"
    assert torch.equal(one.data, 2 * one.noise)


class Doubling:
    """A teacher whose samples are twice the noise."""

    made = 0

    def sample(self, noise, steps):
        self.made += len(noise)
        yield noise
        yield 2 * noise


def pool(folder, teacher, **changes):
    settings = PairsConfig(count=8, steps=2, refresh_every=5, refresh=3, batch=4, **changes)
    return PairPool(teacher, settings, (1, 2, 2), folder, 0, "f", CPU)


def test_pool_is_a_ring_whatever_happened_in_between(tmp_path):
    teacher = Doubling()
    stepwise, at_once = pool(tmp_path / "a", teacher), pool(tmp_path / "b", Doubling())
    for refreshes in range(5):
        list(stepwise.advance(refreshes))
    list(at_once.advance(4))
    assert torch.equal(stepwise.noise, at_once.noise)
    torch.testing.assert_close(stepwise.data, 2 * stepwise.noise)
    every = torch.cat([white((4, 1, 2, 2), CPU, 0, "pairs", b) for b in range(5)])
    assert {tuple(n.flatten().tolist()) for n in stepwise.noise} == {
        tuple(n.flatten().tolist()) for n in every[12:20]
    }
    assert teacher.made == 20
    noise, data = stepwise.draw(64, generator(0, "draw"))
    torch.testing.assert_close(data, 2 * noise)


def test_pool_reuses_finished_batches(tmp_path):
    first, second = Doubling(), Doubling()
    list(pool(tmp_path, first).advance(0))
    list(pool(tmp_path, second).advance(0))
    assert (first.made, second.made) == (8, 0)


def distillation(tmp_path, monkeypatch, name, **changes):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path / name))
    config = resolve("darcy", "quick", overrides=tiny({**CHANGES, **changes}))
    return Distillation(config, DARCY)


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, monkeypatch):
    """Stopped after every few steps of every stage and started anew each time."""
    monkeypatch.setattr("piddm.training.optimisation.SAVE_SECONDS", 0.0)
    whole = distillation(tmp_path, monkeypatch, "whole")
    events = list(whole.run())
    assert next(e.stage for e in events if e.done == e.total) == "simulate"
    for _ in range(100):
        part = distillation(tmp_path, monkeypatch, "part")
        for count, _ in enumerate(part.run()):
            if count == 12:
                break
        else:
            break
    assert (part.folder / "metrics.json").exists()
    for name in ("student.safetensors", "samples.h5"):
        assert (part.folder / name).exists()
    ours, _ = read_tensors(part.folder / "student.safetensors", "student")
    theirs, _ = read_tensors(whole.folder / "student.safetensors", "student")
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=0)
    for key in ("pde_error", "energy_distance", "constraint_distance"):
        for model in ("truth", "teacher", "student"):
            one, two = (
                json.loads((d.folder / "metrics.json").read_text())[model][key]
                for d in (part, whole)
            )
            assert one == pytest.approx(two, rel=1e-6)


def test_a_second_run_does_nothing_and_a_variant_shares_the_teacher(tmp_path, monkeypatch):
    list(distillation(tmp_path, monkeypatch, "home").run())
    assert list(distillation(tmp_path, monkeypatch, "home").run()) == []
    pure = distillation(tmp_path, monkeypatch, "home", **{"student.physics_weight": 0})
    stages = {e.stage for e in pure.run()}
    made = sorted(p.name for p in pure.pairs_path.glob("[0-9]*"))
    assert made[:2] == ["000000.safetensors", "000001.safetensors"]
    assert stages == {"pairs", "student", "evaluate"}
    history = json.loads((pure.folder / "student.history.json").read_text())["lines"]
    assert "physics" not in history[0]


def test_scores_of_the_truth_are_a_floor(tmp_path, monkeypatch):
    run = distillation(tmp_path, monkeypatch, "home")
    list(run.run())
    scores = run.scores()
    assert scores["truth"].pde_error_normalised < 1e-6 < scores["teacher"].pde_error_normalised
    assert scores["truth"].constraint_distance < 1e-9
    assert scores["student"].nfe == 1
    assert scores["teacher"].nfe == 3
    for value in dataclasses.asdict(run.data[0])["floor"].values():
        assert value < 1e-20


@pytest.mark.gpu
def test_a_whole_run_on_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    run = Distillation(resolve("darcy", "quick", overrides=tiny(CHANGES)), DARCY, "cuda")
    list(run.run())
    assert run.scores()["truth"].pde_error_normalised < 1e-6
