"""Every registered equation, from a name to a report."""

import json
import math

import pytest

from piddm import distill, list_pdes

NAMES = [entry.name for entry in list_pdes()]
TINY = {
    "data.size": 16, "data.train": 12, "data.held_out": 8, "network.widths": [8],
    "teacher.steps": 2, "teacher.batch": 4, "pairs.count": 8, "pairs.steps": 1,
    "student.steps": 2, "student.batch": 4, "student.physics_batch": 2,
    "evaluation.count": 8, "evaluation.distance_count": 2,
}  # fmt: skip


def finished(run) -> None:
    """Metrics are numbers, data satisfy their equation, and the report is there."""
    scores = json.loads((run.path / "metrics.json").read_text())
    for source in ("truth", "teacher", "student"):
        for key in ("pde_error_normalised", "constraint_distance", "mmse", "energy_distance"):
            assert math.isfinite(scores[source][key]), (source, key)
    assert scores["truth"]["constraint_distance"] < 1e-9
    assert (run.path / "report.html").stat().st_size > 1000


@pytest.mark.parametrize("name", NAMES)
def test_a_few_steps(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    finished(distill(name, preset="quick", overrides=TINY, progress=False))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_quick_preset(name, tmp_path, monkeypatch):
    """A student that has learnt something: nearer to the data than noise of their colour is."""
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    run = distill(name, preset="quick", progress=False)
    finished(run)
    assert run.metrics["student"].energy_distance < 0.5
