"""Every registered equation, from a name to a report."""

import json
import math

import pytest

from piddm import distill, get_pde, list_pdes
from piddm.config import resolve
from piddm.metrics.energy import energy_distance
from tiny import tiny

NAMES = [entry.name for entry in list_pdes()]
FEW = {
    "data.times": 6, "data.train": 12, "network.widths": [8],
    "teacher.steps": 2, "pairs.steps": 1, "student.steps": 2,
}  # fmt: skip


def finished(run) -> None:
    """Metrics are numbers, data satisfy their equation, and the report is there."""
    scores = json.loads((run.path / "metrics.json").read_text())
    for source in ("truth", "teacher", "student"):
        for key in ("pde_error_normalised", "constraint_distance", "mmse", "energy_distance"):
            assert math.isfinite(scores[source][key]), (source, key)
    assert scores["truth"]["constraint_distance"] < 1e-9
    assert (run.path / "report.html").stat().st_size > 1000


HEAVY = {"shallow-water", "sphere-allen-cahn"}
"""Far off their equations conjugate gradients on the sphere take as long as all the others."""


def marked(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name


@pytest.mark.parametrize("name", [marked(name) for name in NAMES])
def test_a_few_steps(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    finished(distill(name, preset="quick", overrides=tiny(FEW), progress=False))


def test_films_are_short():
    """Nodes along time are a choice of their own beside two axes of space, and there alone."""
    data = resolve("heat", "quick").data
    assert data.grid(get_pde("navier-stokes").grid).shape == (16, 32, 32)
    assert data.grid(get_pde("shallow-water").grid).shape == (16, 32, 64)
    assert data.grid(get_pde("burgers").grid).shape == (32, 32)
    plain = resolve("heat").data
    assert plain.grid(get_pde("navier-stokes").grid).shape == (64, 64, 64)
    assert "times" not in plain.model_dump(mode="json"), "what was made before keeps its marks"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_quick_preset(name, tmp_path, monkeypatch):
    """A student that has learnt its equation and has not forgotten the data.

    It is nearer to solutions than its teacher, by half at least, unless that is as good as there.
    And it is nearer to the data than a generator of their mean alone, by half at least: what
    satisfies an equation by giving up its spread, as a constant does, fails.
    """
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    run = distill(name, preset="quick", progress=False)
    finished(run)
    student, teacher = run.metrics["student"], run.metrics["teacher"]
    assert student.constraint_distance < max(0.5 * teacher.constraint_distance, 1e-3)
    held_out = run.packing.pack(run.data[1].fields)
    held_out = run.packing.weigh(held_out.double())
    mean = held_out.mean(0, keepdim=True)
    assert student.energy_distance < 0.5 * energy_distance(mean, held_out)
