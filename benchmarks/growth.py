"""Time and peak memory of every stage as the grid grows, with exponents.

    python benchmarks/growth.py --pde darcy --size 64 [--json docs/growth.json]
    python benchmarks/growth.py --pde navier-stokes --size t=17,x=64,y=64
    python benchmarks/growth.py --pde darcy --size 64 --only answer
    python benchmarks/growth.py --draw docs/growth.png

A call measures one grid and adds it to the file; ``--draw`` prints the tables of docs/growth.md and
draws them. Every stage runs in a process of its own, forked from one that has a run of two steps,
at least twice and for a second or so; the fastest time counts, and the first is kept beside it,
which makes what is made once. Seconds are those of the processor, of one thread, which other work
on the machine hardly changes; memory is that of the process at its peak. What takes longer than
``--limit`` seconds is left out. States that are corrected and projected are solutions with 3 % of
coloured noise. Questions that are answered are two: a tenth as many sensors of the solution as
nodes, between these, with 5 % of noise (``reconstruct``), and all of its nodes with 1 %
(``inverse``).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import multiprocessing
import re
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe
from torch import Tensor

from piddm import api, plugins
from piddm.cli.options import nodes
from piddm.data.packing import Packing
from piddm.data.simulate import simulate
from piddm.students.one_step import OneStepStudent
from piddm.tasks.synthetic import Case, draw_truth, place, question
from piddm.teachers.sampling import last
from piddm.tools.progress import follow
from piddm.tools.randomness import generator
from piddm.training.physics import NORMS

FORK = multiprocessing.get_context("fork")
BATCH, MEMBERS = 4, 2
REPEATED, MOST = 1.0, 20
"""Seconds for which a piece of work is repeated, and repetitions at most."""

CHANGES = {
    "data.train": 24, "data.held_out": 8, "teacher.steps": 2, "teacher.batch": BATCH,
    "pairs.count": 16, "pairs.batch": 8, "pairs.steps": 2, "student.name": "one-step",
    "student.steps": 2, "student.batch": BATCH, "student.physics_norm": "strong",
    "student.energy_weight": 16.0, "student.polish": 0, "evaluation.count": 8,
}  # fmt: skip


def stages(job: api.Run) -> dict[str, tuple[Callable[[], Any], int]]:
    """Return the work of each stage, and of how many samples its time is."""
    pde, grid, packing = job.pde, job.grid, job.packing
    train, _ = job.data
    twice = packing.pack({k: v[: 2 * BATCH] for k, v in train.fields.items()})
    more = torch.randn(twice.shape, generator=generator(0, "growth"))
    x, noise = twice[:BATCH], more[:BATCH]
    with torch.no_grad():
        near = packing.unpack(x + 0.03 * packing.colour(noise))
    teacher = job.teacher.requires_grad_(True)
    student = OneStepStudent(job.teacher).requires_grad_(True)

    def teacher_step() -> None:
        teacher.loss(x, generator(0, "t")).backward()

    def student_step(norm: str, x: Tensor = x, noise: Tensor = noise) -> Callable[[], None]:
        physics, n = NORMS[norm](job.projection, packing), len(x)

        def step() -> None:
            made = student(torch.cat([noise, noise]))
            (packing.weigh(made[:n] - x).square().mean() + physics(made[n:])).backward()

        return step

    def fit() -> None:
        settings = dict(job.config.packing)
        Packing(grid, pde.field_names, bounds=pde.bounds, **settings).fit(train.fields)

    def pairs() -> None:
        with torch.no_grad():
            last(teacher.sample(noise, 5))

    def sample() -> None:
        with torch.no_grad():
            student(noise)

    def solved() -> None:
        next(iter(simulate(pde, grid, BATCH, generator(0, "growth"), chunk=BATCH)))

    found: dict[str, tuple[Callable[[], Any], int]] = {
        "simulate": (solved, BATCH),
        "colour of 24": (fit, 1),
        "teacher step, 4": (teacher_step, 1),
        "pair of 5 steps": (pairs, BATCH),
        "student step, strong, 4 + 4": (student_step("strong"), 1),
        "student step, distance, 4 + 4": (student_step("distance"), 1),
        "student step, distance, 8 + 8": (student_step("distance", twice, more), 1),
        "sample": (sample, BATCH),
        "correction": (lambda: job.correct(near), BATCH),
        "projection": (lambda: job.project(near), BATCH),
    }
    truth = draw_truth(pde, grid, 2)
    readings = place(truth, pde, pde.field_names[-1], 0.1, 0.05, between=True, seed=1)
    whole, _ = question(job, Case("inverse", noise=0.01), 2)

    def answer(task: str, name: str) -> None:
        seen = {"reconstruct": readings, "inverse": whole}[task]
        job.solve(task, seen, name, MEMBERS, progress=False)

    for task in ("reconstruct", "inverse"):
        for entry in plugins.current().list_all("solver"):
            found[f"answer, {task}, {entry.name}"] = (partial(answer, task, entry.name), 1)
    return found


def returned() -> None:
    """Give back to the system what is freed but kept: a child's peak would count it."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def measured(work: Callable[[], Any], of: int, limit: float) -> dict[str, Any]:
    """Return seconds and GiB of a piece of work; why not, where it failed or took too long."""
    ours, theirs = FORK.Pipe(duplex=False)

    def child() -> None:
        try:
            spent = []
            while len(spent) < 2 or (sum(spent) < REPEATED and len(spent) < MOST):
                began = time.process_time()
                work()
                spent.append(time.process_time() - began)
                if sum(spent) > limit / 2:
                    break
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            told = {"seconds": min(spent) / of, "first": spent[0] / of, "gib": peak}
            theirs.send_bytes(json.dumps(told).encode())
        except Exception as error:
            theirs.send_bytes(json.dumps({"refused": str(error)[:200]}).encode())

    process = FORK.Process(target=child)
    process.start()
    came = ours.poll(limit)
    found = json.loads(ours.recv_bytes()) if came else {"refused": f"over {limit:g} s"}
    process.kill()
    process.join()
    return found


def measure(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    size = nodes()(options.size)
    job = api.prepare(options.pde, "default", overrides=CHANGES | {"data.size": size})
    answers = [job.score()] if "answer" in options.only else []
    for stage in (job.simulate(), job.train(), job.distill(), *answers):
        follow(stage)
    shape = " x ".join(map(str, job.grid.shape))
    found = stages(job)
    returned()
    for name, (work, of) in found.items():
        if not re.search(options.only, name) or ("answer" in name) > ("answer" in options.only):
            continue
        point = measured(work, of, options.limit)
        print(f"{options.pde:16} {shape:14} {name:32} {point}", flush=True)
        every = json.loads(options.json.read_text()) if options.json.exists() else {}
        every["machine"] = describe()
        of_pde = every.setdefault("stages", {}).setdefault(options.pde, {})
        of_pde.setdefault(name, {})[shape] = point
        options.json.write_text(json.dumps(every, indent=1) + "\n")


def side(shape: str) -> float:
    """Return the nodes a side of a grid: the root of their number, by its axes."""
    counts = [int(n) for n in shape.split(" x ")]
    return math.prod(counts) ** (1 / len(counts))


def exponent(points: dict[str, Any]) -> float | None:
    """Return the slope of log time over log nodes a side, of the three largest grids."""
    known = sorted((side(s), p["seconds"]) for s, p in points.items() if "seconds" in p)[-3:]
    if len(known) < 2:
        return None
    n, spent = np.log(np.array(known)).T
    return float(np.polyfit(n, spent, 1)[0])


def draw(options: argparse.Namespace) -> None:
    from matplotlib.figure import Figure

    from piddm.figures import style

    every = json.loads(options.json.read_text())
    print(every["machine"])
    for pde, found in every["stages"].items():
        shapes = sorted({s for points in found.values() for s in points}, key=side)
        print(f"\n**{pde}**\n\n| seconds (GiB) | " + " | ".join(shapes) + " | exponent |")
        print("|---" * (len(shapes) + 2) + "|")
        for name, points in found.items():
            cells = [
                f"{p['seconds']:.3g} ({p['gib']:.2g})" if "seconds" in (p := points.get(s, {}))
                else ("refused" if "over" not in p.get("refused", "over") else "–") for s in shapes
            ]  # fmt: skip
            power = exponent(points)
            print(f"| {name} | " + " | ".join(cells) + f" | {power:.1f} |" if power is not None
                  else f"| {name} | " + " | ".join(cells) + " | |")  # fmt: skip
    planes = [
        pde for pde, found in every["stages"].items()
        if all(s.count("x") == 1 for points in found.values() for s in points)
    ]  # fmt: skip
    figure = Figure(figsize=(1 + 5 * len(planes), 4.6), layout="constrained")
    places = figure.subplots(1, len(planes), sharey=True, squeeze=False)[0]
    for axes, pde in zip(places, planes, strict=True):
        for k, (name, points) in enumerate(every["stages"][pde].items()):
            if name.startswith("answer"):
                continue
            known = sorted((side(s), p["seconds"]) for s, p in points.items() if "seconds" in p)
            power = exponent(points)
            axes.loglog(*zip(*known, strict=True), marker="os^vDPX<>"[k % 9], markersize=5,
                        linewidth=1, label=f"{name}: n^{power:.1f}" if power else name)  # fmt: skip
        axes.set_title(pde)
        axes.set_xlabel("nodes a side")
        ticks = [32, 64, 128, 256, 512]
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.legend(fontsize=7, frameon=False)
    places[0].set_ylabel("seconds")
    style.save(figure, options.draw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pde", default="darcy")
    parser.add_argument("--size", default="64")
    parser.add_argument("--only", default="", help="regular expression of the stages' names")
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--json", type=Path, default=Path("docs/growth.json"))
    parser.add_argument("--draw", type=Path)
    options = parser.parse_args()
    if options.draw:
        draw(options)
    else:
        measure(options)


if __name__ == "__main__":
    main()
