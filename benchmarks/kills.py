"""Kill runs at random moments, run them to their end, and compare: see mutations.py."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import piddm
from piddm.data import dataset
from piddm.metrics.scores import Metrics
from piddm.tools.files import read_json, read_tensors
from piddm.training import optimisation

FORK = multiprocessing.get_context("fork")
TINY = {
    "data.size": 16, "data.train": 16, "data.held_out": 8, "network.widths": [8, 8],
    "teacher.steps": 4, "teacher.batch": 4, "pairs.count": 8, "pairs.steps": 2, "pairs.batch": 4,
    "student.steps": 4, "student.batch": 4, "student.physics_batch": 2,
    "evaluation.count": 8, "evaluation.distance_count": 2,
}  # fmt: skip


def _distil(home: Path) -> None:
    os.environ["PIDDM_HOME"] = str(home)
    torch.set_num_threads(1)
    optimisation.SAVE_SECONDS = 0.0  # a checkpoint after every step: more places to be killed at
    piddm.distill("heat", "quick", overrides=TINY, progress=False)


def _result(home: Path) -> Any:
    """Return what a run ended with, and what lies about that should not."""
    (folder,) = (home / "runs" / "heat").glob("2*")
    scores = read_json(folder / "metrics.json", Metrics).model_dump()
    sources = [scores[k] for k in ("truth", "teacher", "student")]
    for source in (*sources, *scores.get("baselines", {}).values()):
        source.pop("seconds_per_sample")  # the one number that differs from run to run
    tensors, _ = read_tensors(folder / "student.safetensors", "student")
    left = [str(p.relative_to(home)) for p in home.rglob("*")
            if p.suffix in (".lock", ".checkpoint") or p.name.startswith(".")]  # fmt: skip
    left += [p.name for p in (home / "cache" / "parts").iterdir()]
    samples = dataset.read(folder / "samples.h5").fields
    numbers = {k: v.tolist() for k, v in {**tensors, **samples}.items()}
    return repr((scores, numbers)), left


def kill(count: int, seed: int = 0, each: int = 5) -> Counter[str]:
    """Kill runs, some times each, and run them to their end; return how they ended."""
    rng, found = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        _child(Path(folder) / "sound", None)
        whole = time.monotonic() - start
        sound, _ = _result(Path(folder) / "sound")
        while found["kills"] < count:
            home = Path(folder) / f"home-{found['runs']}"
            for _ in range(each):
                found["kills"] += _child(home, rng.uniform(0, whole)) == -signal.SIGKILL
            time.sleep(2.5)  # what is younger may be in work
            code = _child(home, None)
            found["runs"] += 1
            if code:
                found["failed"] += 1
                continue
            ended, left = _result(home)
            found["other result"] += ended != sound
            found["left behind"] += bool(left)
            if ended != sound or left:
                print(home.name, "left", left, "same" if ended == sound else "other", flush=True)
    return found


def _child(home: Path, seconds: float | None) -> int | None:
    child = FORK.Process(target=_distil, args=(home,))
    child.start()
    child.join(seconds)
    child.kill() if seconds is not None else None
    child.join()
    return child.exitcode
