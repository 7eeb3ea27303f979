"""What stays as it is through changes inside: public names, and fingerprints of existing runs."""

import importlib
import shutil

import pytest
import torch

import piddm
from piddm import PiddmError
from piddm.config import resolve
from piddm.runs import fingerprints as module
from piddm.runs.fingerprints import accepted, fingerprints
from piddm.runs.folder import find_run
from piddm.tools.files import read_tensors, write_json, write_tensors
from tiny import tiny

NAMES = {
    "piddm": """PDE Axis Dirichlet Grid Integral Neumann PiddmError Robin Run UsageError distill
        get_pde hookimpl list_pdes load_model load_run make_dataset solve""",
    "piddm.symbolic": """Coordinate D Field Param Slice curl div dot grad inverse_laplace laplace
        lat lon rotated_grad t x y z""",
    "piddm.priors": """GaussianField Inverse KarhunenLoeve LogNormal Prior Sines TwoPhase Uniform
        UnitRange ZeroOnEdge""",
    "piddm.interfaces": """Fields Members Method Reach Residual Rows Shared Solver Student Task
        Teacher""",
    "piddm.testing": """CHECKS Check Verification batch_independence conforms floor gradient
        manufacture order_in_time order_of_residual order_of_solution rows scales solver_agreement
        spectral_accuracy transforms truth_against_zero verify""",
    "piddm.figures": """ablation calibration convergence gallery jensen pareto samples save scales
        solution tradeoff training""",
    "piddm.plugins": """Plugins current get_pde list_pdes list_plugins reset use_files""",
}
"""What authors and users import, by module."""

# Computed before the rooms were made, with numerics 2.
MARKS = {
    "burgers": {
        "distill": "26fc8726a145cf9e",
        "evaluate": "be15b7caff52196b",
        "pairs": "d7f82ef418c13066",
        "simulate": "fbe08218384cce23",
        "train": "6c3a97a4b0fd8882",
    },
    "darcy": {
        "distill": "f0098ab61664aacf",
        "evaluate": "354fa90f8aded073",
        "pairs": "89bf5384aed1c239",
        "simulate": "40505cfa17c54b7c",
        "train": "321850f917274ad3",
    },
    "sphere-poisson": {
        "distill": "0e0435bd00c9a2b1",
        "evaluate": "690fa6d9bb26af33",
        "pairs": "6330c37bee62d3c7",
        "simulate": "7792ba68eee03a3c",
        "train": "133b658418233b79",
    },
}
"""Fingerprints of the quick preset, by equation; one of them has a solver of its own."""

STUDENTS = {
    "reflow": "8cf5024ada428b74 ca97f21cd0d9647f 4578eb72e8752b52",
    "consistency": "02f91e40d6247840 dc59a397a7955608 a6d2d6aed0a21bbb 4774caed421a98e3",
    "dmd": "f05b9c1efd5e2e1b b2b9afe2740ebd55 7f12c60ac0380b68",
    "diff-instruct": "cc02e737fb23594a a17691637abddc16",
    "two-step": "f428a4f8802b9e74 bd19e84134270688",
    "four-step": "0df700f0d3824390 9cad723a2ae269d7",
}
"""Fingerprints of plugins' students on darcy, oldest first: each source gave equal samples."""


@pytest.mark.parametrize("module", NAMES)
def test_public_names_stay(module):
    found = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("name", MARKS)
def test_existing_runs_stay_valid(name):
    before = resolve(name, "quick", overrides={"packing.soften": 0})  # later presets soften
    assert fingerprints(before, piddm.get_pde(name)) == MARKS[name]


@pytest.mark.parametrize("name", STUDENTS)
def test_runs_of_plugins_students_stay_valid(name):
    config = resolve("darcy", "quick", overrides={"packing.soften": 0, "student.name": name})
    every = [marks["distill"] for marks in accepted(config, piddm.get_pde("darcy"))]
    assert set(STUDENTS[name].split()) <= set(every)
    assert fingerprints(config, piddm.get_pde("darcy"))["distill"] == every[0]


def test_distances_that_are_found_otherwise_are_told_where_they_are():
    """A band below 128 nodes a side of Burgers, and where it has no other norm's losses."""

    def mark(size, **changes):
        told = {"data.size": size, "packing.soften": 0} | changes
        config = resolve("burgers", "quick", overrides=told)
        marks = fingerprints(config, piddm.get_pde("burgers"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_is_wide", lambda *_: False)
            before = fingerprints(config, piddm.get_pde("burgers"))
        return [stage for stage in marks if marks[stage] != before[stage]]

    assert mark(64) == mark(100) == mark(128, **{"student.physics_norm": "strong"}) == []
    assert mark(128) == ["distill", "evaluate"]


def relabelled(run, folder, marks):
    """A copy of a run as if it had been made under other fingerprints."""
    shutil.copytree(run.path, folder)
    _, manifest = find_run(folder)
    write_json(folder / "manifest.json", manifest.model_copy(update={"fingerprints": marks}))
    for kind, stage in {"teacher": "train", "student": "distill"}.items():
        tensors, told = read_tensors(folder / f"{kind}.safetensors", kind)
        write_tensors(folder / f"{kind}.safetensors", tensors, told | {"fingerprint": marks[stage]})
    return folder


def test_a_run_of_an_earlier_source_is_opened_and_one_of_another_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    run = piddm.distill(
        "poisson", "quick", overrides=tiny({"student.name": "reflow"}), progress=False
    )
    _, *before = accepted(run.config, run.pde)
    wanted = run.sample(2)
    for number, marks in enumerate(before):
        again = piddm.load_run(relabelled(run, tmp_path / f"{number}", marks))
        assert again.marks == marks
        assert all(torch.equal(v, wanted[k]) for k, v in again.sample(2).items())
    other = {k: v[::-1] for k, v in run.marks.items()}
    with pytest.raises(PiddmError, match="another version"):
        piddm.load_run(relabelled(run, tmp_path / "other", other))


def test_what_a_run_depends_on_changes_its_fingerprints():
    """The test above could not fail if fingerprints did not depend on anything."""
    found = fingerprints(
        resolve("burgers", "quick", overrides={"seed": 7}), piddm.get_pde("burgers")
    )
    assert not set(found.values()) & set(MARKS["burgers"].values())
