"""The preset ``paper`` runs on a processor: two steps of each stage, its batches and network."""

import json
import resource
import time

import pytest

from piddm import api
from piddm.tools.progress import follow
from several import together

FEW = {
    "data.train": 64, "data.held_out": 16, "teacher.steps": 2, "pairs.count": 64, "pairs.steps": 2,
    "pairs.batch": 16, "student.steps": 2, "evaluation.count": 8, "evaluation.distance_count": 8,
}  # fmt: skip
"""Data and pairs for a batch, and no more than two steps of anything."""

MOST = 6.0
"""GiB at the peak, of a process of its own."""


def stages():
    """Make each stage; say the processor's seconds and the GiB at the peak so far."""
    job = api.prepare("darcy", "paper", overrides=FEW)
    assert job.grid.shape == (128, 128)
    assert (job.config.teacher.batch, job.config.student.batch) == (64, 64)
    found = {}
    for name in ("simulate", "train", "distill", "score"):
        began = time.process_time()
        follow(getattr(job, name)(), quiet=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        found[name] = round(time.process_time() - began, 1), round(peak, 2)
    print(json.dumps(found))


@pytest.mark.slow
def test_two_steps_of_each_stage_of_the_preset_paper(tmp_path):
    """Darcy on 128 x 128; 45 s of one thread, 3.9 GiB, of which a student's step most."""
    (ended,) = together(tmp_path, stages)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out.splitlines()[-1])
    print("\nseconds of the processor and GiB at the peak", found)
    assert found["score"][1] < MOST
    assert sum(seconds for seconds, _ in found.values()) < 300
