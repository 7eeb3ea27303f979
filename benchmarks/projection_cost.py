"""What projection does to samples, and what it costs: after training, and as a loss within it.

    python benchmarks/projection_cost.py RUN [RUN ...] [--count 64] [--scores] [--json FILE]

Each RUN is a finished run's folder. For student and teacher: the normalised PDE error before and
after, and how far samples moved, beside measures of the student's own error. ``--scores`` adds the
distances to held-out data, for which data are made again unless they are in the cache. Costs are
medians of interleaved repetitions in one process, so that a noisy machine hits all.
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from machine import describe
from torch import Tensor

from piddm import load_run
from piddm.api import Run
from piddm.interfaces import Fields
from piddm.metrics.yardstick import Yardstick
from piddm.numerics.projection import Projection
from piddm.teachers.sampling import noises
from piddm.tools.progress import follow
from piddm.training.physics import NORMS

SOURCES = ("student", "teacher")
DISTANCES = ("mmse", "smse", "energy_distance")

GOAL = 1e-16
"""Normalised mean-square residual of a projected sample, in float64."""


def errors(run: Run, fields: Fields) -> Tensor:
    """Return each sample's normalised PDE error, summed over equations and conditions."""
    rows = run.residual({k: v.double() for k, v in fields.items()})
    return sum((r / run.scale[k]).flatten(1).square().mean(1) for k, r in rows.items())


def moves(run: Run, before: Fields, after: Fields) -> Tensor:
    """Return how far each sample is from another: :meth:`Run.moved`, sample by sample."""
    scale = run.packing.field_scale()
    parts = [((after[k] - before[k]) / scale[k]).double().square() for k in scale]
    return torch.stack([p.flatten(1).mean(1) for p in parts]).mean(0)


def both(values: Tensor) -> dict[str, float]:
    return {"mean": float(values.mean()), "max": float(values.max())}


def shown(values: Tensor) -> str:
    return f"{float(values.mean()):.2e} (max {float(values.max()):.1e})"


def quality(run: Run, options: argparse.Namespace) -> dict:
    """Project samples of the same noise; print and return what changed, beside the errors."""
    before = {s: run.sample(options.count, options.seed, source=s) for s in SOURCES}
    after = {s: run.project(before[s]) for s in SOURCES}
    report: dict = {}
    for source in SOURCES:
        error, left = errors(run, before[source]), errors(run, after[source])
        moved = moves(run, before[source], after[source])
        distance = run.metrics[source].constraint_distance
        report[source] = {"before": both(error), "after": both(left), "moved": both(moved)}
        report[source] |= {"constraint_distance": distance, "mmse": run.metrics[source].mmse}
        verdict = "met" if float(left.max()) <= GOAL else "MISSED"
        print(f"  {source}: PDE error {shown(error)} -> {shown(left)}, goal {GOAL:.0e} {verdict}")
        print(f"    moved by {shown(moved)}; to first order, says metrics.json, {distance:.2e}")
    apart = moves(run, before["student"], before["teacher"])
    report["student_teacher"] = both(apart)
    moved, own = report["student"]["moved"]["mean"], report["student"]
    measures = {
        "to the solutions, first order": own["constraint_distance"],
        "to the teacher's samples of the same noise": float(apart.mean()),
        "of the mean to held-out data's (MMSE)": own["mmse"],
    }
    print("  the student's squared errors, and its move over each")
    for name, value in measures.items():
        print(f"    {name:<44} {value:.2e}, ratio {moved / value:.3f}")
    if options.scores:
        report["scores"] = scores(run, before, after, options.seed)
    return report


def scores(run: Run, before: dict, after: dict, seed: int) -> dict:
    """Print and return the distances to held-out data before and after."""
    follow(run.simulate(), quiet=False)
    held_out = run.packing.pack(run.data[1].fields)
    yardstick = Yardstick(run.projection, run.packing, held_out, 1)

    def of(fields: Fields) -> dict:
        return yardstick.scores(run.packing.pack(fields), seed).model_dump(include={*DISTANCES})

    found = {s: {"before": of(before[s]), "after": of(after[s])} for s in SOURCES}
    for source, (one, two) in ((s, v.values()) for s, v in found.items()):
        print(f"  {source}: " + ", ".join(f"{k} {one[k]:.3e} -> {two[k]:.3e}" for k in DISTANCES))
    return found


def medians(works: Mapping[str, Callable[[], object]], repetitions: int, to: str) -> dict:
    """Return the median seconds of each work, and of its ratio to one of them."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repetitions + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if turn:  # the first turn builds patterns and warms up
                times[name].append(time.perf_counter() - start)
    median = statistics.median
    ratios = {name: median(np.divide(spent, times[to])) for name, spent in times.items()}
    return {k: {"seconds": median(v), "ratio": float(ratios[k])} for k, v in times.items()}


def drawn_noise(run: Run, count: int, seed: int) -> Tensor:
    shape = run.packing.channels, *run.packing.image
    return noises(shape, count, seed, run.device, batch=count)[0]


def sampling_costs(run: Run, options: argparse.Namespace) -> dict:
    """Time a projection against the network call that made its samples."""
    noise = drawn_noise(run, options.batch, options.seed)
    with torch.no_grad():
        fields = run.packing.unpack(run.student(noise))
        works = {"network call": lambda: run.student(noise), "project": lambda: run.project(fields)}
        found = medians(works, options.repetitions, "network call")
    each = (f"{k} {v['seconds'] / options.batch * 1e3:.2f} ms" for k, v in found.items())
    print(f"  sampling, a sample: {'; '.join(each)}, ratio {found['project']['ratio']:.1f}")
    return {"batch": options.batch} | found


def training_costs(run: Run, options: argparse.Namespace) -> dict:
    """Time physics losses, backward to the samples, against a network step at the same batches."""
    packing, settings = run.packing, run.config.student
    batch, few = settings.batch, settings.physics_batch
    noise = drawn_noise(run, batch + few, options.seed)
    student = copy.deepcopy(run.student).requires_grad_(True)
    optimiser = torch.optim.AdamW(student.parameters(), lr=1e-6, betas=(0.9, 0.99))
    with torch.no_grad():
        x = run.student(noise)
    target, fresh = x.roll(1, 0), x[batch:]
    projection = Projection(run.residual, packing.field_scale(), run.scale)

    def step() -> None:
        """A step of the student without physics, over the pairs and the fresh samples."""
        loss = (student(noise) - target).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), settings.clip)
        optimiser.step()

    def backward(name: str) -> Callable[[], None]:
        loss = NORMS[name](projection, packing)
        return lambda: loss(fresh.clone().requires_grad_()).backward()

    works: dict = {"network step": step} | {f"{name} loss": backward(name) for name in NORMS}
    works["correction alone"] = lambda: projection.correction(packing.unpack(fresh))
    found = medians(works, options.repetitions, "network step")
    print(f"  training, {batch} pairs and {few} fresh samples   (goal: a ratio of 1 at most)")
    for name, value in found.items():
        print(f"    {name:<17} {value['seconds'] * 1e3:7.1f} ms, ratio {value['ratio']:.3f}")
    return {"batch": batch, "physics_batch": few} | found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--count", type=int, default=64, help="samples that are projected")
    parser.add_argument("--batch", type=int, default=64, help="samples that are timed together")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seed", type=int, default=10, help="of the noise; not the metrics' own")
    parser.add_argument("--scores", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(describe(), flush=True)
    results = []
    for folder in options.runs:
        run = load_run(folder)
        about: dict = {
            "pde": run.pde.name,
            "shape": run.residual.grid.shape,
            "count": options.count,
        }
        print(*about.values(), "samples", flush=True)
        costs = {"sampling": sampling_costs(run, options), "training": training_costs(run, options)}
        results.append(about | quality(run, options) | costs)
    if options.json:
        report = {"machine": describe(), "runs": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
