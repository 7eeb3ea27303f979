"""The Python calls, and the README that shows them."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch

import piddm
from piddm import api
from piddm.config import resolve
from piddm.residuals.norms import mean_squares
from piddm_pdes.burgers import BURGERS
from tiny import tiny

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_a_run_answers_from_its_folder(tiny_run):
    run = piddm.load_run(tiny_run.path)
    assert run.metrics == tiny_run.metrics
    assert (run.config, run.path) == (tiny_run.config, tiny_run.path)
    assert run.scale == tiny_run.data[0].scale
    assert run.metrics["student"].nfe == 1
    noise = torch.zeros(1, 1, 16, 16)
    assert torch.equal(run.student(noise), tiny_run.student(noise))


def test_samples_are_repeatable_and_physical(tiny_run):
    fields = tiny_run.sample(3, seed=4)
    assert fields["u"].shape == (3, 16, 16)
    assert not fields["u"].requires_grad
    assert torch.allclose(tiny_run.sample(2, seed=4)["u"], fields["u"][:2], atol=1e-5)
    assert not torch.allclose(tiny_run.sample(3, seed=5)["u"], fields["u"])
    data = tiny_run.data[0].fields
    assert tiny_run.pde_error(data) < 1e-6 * tiny_run.pde_error(fields)


def test_refinement_lowers_what_it_says(tiny_run):
    before, after = tiny_run.sample(4), tiny_run.sample(4, refine=5)
    physics = tiny_run._physics
    assert physics(tiny_run.packing.pack(after)) < physics(tiny_run.packing.pack(before))
    assert all(p.requires_grad is False for p in tiny_run.student.parameters())


@pytest.mark.parametrize("arguments", [{"count": 0}, {"count": 2, "refine": -1}])
def test_impossible_samples_are_refused(tiny_run, arguments):
    with pytest.raises(piddm.UsageError):
        tiny_run.sample(**arguments)


def test_an_equation_needs_no_name_on_the_command_line(tiny_run, tmp_path):
    own = dataclasses.replace(BURGERS, name="my-own")
    job = api.prepare(own, "quick", overrides=tiny(), out=tmp_path / "run")
    assert (job.config.pde, job.folder) == ("my-own", tmp_path / "run")
    with pytest.raises(piddm.UsageError, match="my-own"):
        piddm.load_run(tmp_path / "run")
    run = piddm.load_run(tmp_path / "run", pde=own)
    with pytest.raises(piddm.PiddmError, match="no student yet"):
        run.sample(1)


def test_a_whole_configuration_stands_alone(tmp_path):
    config = resolve("burgers", "quick", overrides=tiny())
    assert api.prepare("burgers", config=config).config == config
    for extra in ({"seed": 1}, {"overrides": {"seed": 1}}):
        with pytest.raises(piddm.UsageError, match="whole"):
            api.prepare("burgers", config=config, **extra)
    with pytest.raises(piddm.UsageError, match="whole"):
        api.prepare("darcy", config=config)


def test_data_solve_their_own_equation():
    made = piddm.make_dataset("darcy", 3, size=9, seed=1, progress=False)
    assert len(made) == 3
    assert made.grid.shape == (9, 9)
    assert sum(made.floor.values()) < 1e-20
    residual = piddm.get_pde("darcy").bind(made.grid)
    assert float(sum(mean_squares(residual, made.fields, made.scale).values())) < 1e-8


def test_every_public_name_is_there():
    assert set(piddm.__all__) == set(dir(piddm))
    assert all(getattr(piddm, name) is not None for name in piddm.__all__)


def test_the_readme_has_exactly_its_two_commands():
    (block,) = blocks("sh")
    assert block.splitlines() == [
        "python -m venv .venv && . .venv/bin/activate && pip install -e . "
        "&& piddm distill --pde burgers",
        ". .venv/bin/activate && pip install -e '.[test]' && pytest",
    ]


def test_the_readme_s_equation_works():
    (block,) = [b for b in blocks("python") if "PDE(" in b]
    names: dict = {}
    exec(block, names)  # our own text
    (pde,) = [v for v in names.values() if isinstance(v, piddm.PDE)]
    found = []
    names["piddm_register_pdes"](found.append)
    assert found == [pde]
    made = piddm.make_dataset(pde, 2, size=16, progress=False)
    assert sum(made.floor.values()) < 1e-18
