"""Trained models: the same samples from a folder in half precision, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import piddm
from piddm import PiddmError, UsageError
from piddm.cli.app import app
from piddm.config import resolve
from piddm.plugins import loader
from piddm.plugins.registers import ModelRegister
from piddm.pretrained import Pretrained
from piddm.runs.model_card import read_card
from piddm.runs.model_weights import fill, keep, make
from piddm.symbolic import Param
from piddm.tools.files import write_json
from piddm_pdes.burgers import BURGERS
from tiny import tiny

CHANGES = {
    "data.train": 32, "network.fold": 2, "packing.rank": 16,
    "student.name": "staged", "student.operator": {"widths": [8, 8], "fold": 2},
}  # fmt: skip
PLUGIN = """
from pathlib import Path
from piddm import hookimpl

@hookimpl
def piddm_register_models(register):
    register("tiny", "burgers on few nodes", Path({folder!r}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run in full precision, its samples, and the model made of it."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIDDM_HOME", str(root))
        run = piddm.Run(resolve("burgers", "quick", overrides=tiny(CHANGES)), BURGERS)
        list(run.run())
        samples = run.sample(5, seed=3)
        list(make(run, root / "tiny", "a command"))
    return run, samples, root / "tiny"


@pytest.fixture
def installed(trained, tmp_path, monkeypatch):
    """The model as a plugin brings it, from a copy that may be damaged."""
    folder = tmp_path / "tiny"
    shutil.copytree(trained[2], folder)
    (tmp_path / "mine.py").write_text(PLUGIN.format(folder=str(folder)))
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIDDM_PLUGINS", str(tmp_path / "mine.py"))
    loader.reset()
    yield folder
    monkeypatch.undo()
    loader.reset()


def test_it_samples_as_its_run_did(trained, installed):
    """Half precision has 11 bits: weights, and with them samples, differ by about 1e-3."""
    run, samples, _ = trained
    model = piddm.load_model("tiny")
    found = model.sample(5, seed=3)["u"]
    away = (found - samples["u"]).norm() / samples["u"].norm()
    assert 0 < float(away) < 5e-3
    assert model.pde.name == "burgers"
    assert model.scale == run.scale
    assert model.metrics["student"].nfe == run.student.calls
    exact = model.project(model.sample(2))
    assert model.pde_error(exact) < 1e-10
    teacher = model.sample(2, source="teacher")["u"]
    whole = run.sample(2, source="teacher")["u"]
    assert float((teacher - whole).norm() / whole.norm()) < 5e-3
    with pytest.raises(UsageError, match="has its scores"):
        model.evaluate(progress=False)


def test_scores_are_those_of_the_weights_as_they_are_kept(trained):
    run, _, folder = trained
    scored = read_card(folder).scores["student"]
    assert scored["seed"] == run.config.seed + 1
    list((again := Pretrained("tiny", folder, BURGERS)).run())
    found = again.sample(8, seed=scored["seed"])
    errors = again.pde_error(found)
    assert errors == pytest.approx(scored["pde_error_normalised"], rel=1e-4)


def test_files_are_small_and_repeat_nothing(trained):
    run, _, folder = trained
    own = sum(p.numel() for p in run.student.parameters()) * 2
    packing = sum(v.numel() for v in run.student.packing.state_dict().values()) * 4
    assert (folder / "student.safetensors").stat().st_size < own + packing + 40_000
    teacher = sum(p.numel() for p in run.teacher.parameters()) * 2
    assert (folder / "teacher.safetensors").stat().st_size < teacher + 20_000


def test_zeros_at_the_end_are_left_out_and_come_back(tmp_path):
    module = torch.nn.Linear(4, 6, bias=False)
    module.weight.data[2:] = 0
    module.weight.data[:, 3:] = 0
    keep(module, tmp_path / "thing.safetensors")
    again = torch.nn.Linear(4, 6, bias=False)
    fill(again, tmp_path / "thing.safetensors")
    torch.testing.assert_close(again.weight, module.weight, rtol=1e-3, atol=1e-3)
    assert float(again.weight[2:].abs().max()) == 0
    assert float(again.weight[:, 3:].abs().max()) == 0
    torch.nn.init.zeros_(module.weight)
    keep(module, tmp_path / "thing.safetensors")
    fill(again, tmp_path / "thing.safetensors")
    assert not again.weight.any()
    with pytest.raises(PiddmError, match="does not fit"):
        fill(torch.nn.Linear(3, 6, bias=True), tmp_path / "thing.safetensors")


def test_an_equation_that_changed_is_refused_with_both_versions(installed):
    nu = Param("nu", 0.02)
    equations = {k: e.subs(BURGERS.params[0], nu) for k, e in BURGERS.equations.items()}
    other = dataclasses.replace(BURGERS, params=[nu], equations=equations)
    both = r"for burgers with params: nu = 0\.01, and here that is 0\.02"
    with pytest.raises(UsageError, match=both):
        piddm.load_model("tiny", pde=other)


@pytest.mark.parametrize("name", ["student.safetensors", "model.json"])
def test_a_damaged_or_missing_file_is_one_line(name, installed):
    path = installed / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(PiddmError, match=name.replace(".", r"\.")) as error:
        piddm.load_model("tiny").sample(1)
    assert "\n" not in str(error.value)
    path.unlink()
    loader.reset()
    with pytest.raises(PiddmError, match=r"student\.safetensors|model\.json"):
        piddm.load_model("tiny").sample(1)


def test_a_model_without_its_teacher_says_so(installed):
    card = read_card(installed)
    digests = {k: v for k, v in card.digests.items() if "student" in k}
    write_json(installed / "model.json", card.model_copy(update={"digests": digests}))
    (installed / "teacher.safetensors").unlink()
    model = piddm.load_model("tiny")
    assert model.sample(1)["u"].shape == (1, 16, 16)
    with pytest.raises(UsageError, match="comes without its teacher"):
        model.sample(1, source="teacher")


def test_an_unknown_name_and_a_folder_that_is_no_model(installed, tmp_path):
    with pytest.raises(UsageError, match="no model 'tinny'; did you mean 'tiny'"):
        piddm.load_model("tinny")
    with pytest.raises(UsageError, match="no folder of a model"):
        ModelRegister("model")("mine", "a model", tmp_path / "nowhere")


def test_commands(installed, tmp_path):
    def call(*words):
        return CliRunner().invoke(app, [str(w) for w in words], catch_exceptions=False)

    (listed,) = (m for m in json.loads(call("models", "--json").output) if m["name"] == "tiny")
    assert (listed["name"], listed["equation"], listed["nodes"]) == ("tiny", "burgers", [16, 16])
    assert listed["scores"]["student"]["energy_distance"] > 0
    assert "burgers on few nodes" in call("models").output
    out = call("sample", "--model", "tiny", "-n", 2)
    assert out.exit_code == 0, out.output
    assert (tmp_path / "home/models/tiny/samples/n2-seed0-refine0.h5").exists()
    refused = call("sample", "--model", "tiny", "--pde", "burgers")
    assert refused.exit_code == 2
    assert sorted(p.name for p in installed.iterdir()) == [
        "model.json", "student.safetensors", "teacher.safetensors",
    ]  # fmt: skip
    seen, truth = tmp_path / "seen.csv", tmp_path / "truth.h5"
    call("observe", "burgers", "--size", 16, "--share", 0.1, "--out", seen, "--truth", truth)
    solved = call("solve", "reconstruct", "--model", "tiny", "--observations", seen, "--samples", 2,
                  "--set", "steps=2")  # fmt: skip
    assert solved.exit_code == 0, solved.output
    assert list((tmp_path / "home/models/tiny/solutions").glob("*/solution.h5"))


def test_the_listing_does_not_import_torch(installed):
    code = (
        "import sys\nfrom piddm.cli.app import app\n"
        "try:\n    app(['models'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout


def test_the_models_that_come_with_piddm_are_whole():
    """Each is registered, of its equation as it is now, within its size, and draws samples."""
    import piddm_students

    root = Path(piddm_students.__file__).parent
    assert {p.parent.name for p in root.glob("*/model.json")} == piddm_students.MODELS.keys()
    total = 0
    for name in piddm_students.MODELS:
        card = read_card(root / name)
        assert f"train_students.py {name}" in card.command
        assert "--quick" not in card.command
        sizes = [(root / name / file).stat().st_size for file in card.digests]
        assert max(sizes) <= 8e6
        total += sum(sizes)
        run = Pretrained(name, root / name, loader.get_pde(card.config.pde))
        fields = run.sample(2)
        assert all(bool(v.isfinite().all()) for v in fields.values())
        error = run.metrics["student"].pde_error_normalised
        assert run.pde_error(fields) < 5 * error
    assert total <= 40e6
