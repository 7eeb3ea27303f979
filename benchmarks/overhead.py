"""What the framework costs over bare torch: start-up, sampling, a distillation step.

    python benchmarks/overhead.py [--pde burgers] [--size 64]

Ratios are medians of interleaved repetitions in one process, so that a noisy machine hits both.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from machine import describe

from piddm import get_pde, make_dataset
from piddm.config import resolve
from piddm.metrics.energy import energy_score
from piddm.numerics.projection import Projection
from piddm.residuals.norms import term_scale
from piddm.runs.model_files import build_student, build_teacher
from piddm.teachers.sampling import noises
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.losses import DATA, regression
from piddm.training.optimisation import Optimisation
from piddm.training.pairs import PairPool
from piddm.training.physics import NORMS


def interleaved(first, second, repetitions: int) -> tuple[float, float, float]:
    """Return median seconds of each and the median ratio."""
    times = []
    for _ in range(repetitions):
        pair = []
        for function in (first, second):
            start = time.perf_counter()
            function()
            pair.append(time.perf_counter() - start)
        times.append(pair)
    times = times[max(1, repetitions // 5) :]
    one, two = (statistics.median(t[i] for t in times) for i in (0, 1))
    return one, two, statistics.median(a / b for a, b in times)


def startup() -> None:
    for arguments in (["--help"], ["list-pdes"]):
        spent = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "piddm", *arguments], check=True, capture_output=True
            )
            spent.append(time.perf_counter() - start)
        print(f"piddm {arguments[0]:<10} {statistics.median(spent):.2f} s   (goal 0.5 s)")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pde", default="burgers")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=20)
    options = parser.parse_args()
    print(describe())
    startup()
    pde = get_pde(options.pde)
    config = resolve(options.pde, overrides={
        "data.size": options.size, "student.name": "one-step",
    })  # fmt: skip
    grid = pde.grid.resized(options.size)
    residual = pde.bind(grid)
    # As many data as a run has: the principal components, and their cost, are a run's.
    fields = make_dataset(pde, config.data.train, size=options.size).fields
    teacher = build_teacher(config, pde, grid)
    packing = teacher.packing.fit(fields)
    scale = term_scale(residual, fields)
    student = build_student(config, teacher, pde)
    shape = (packing.channels, *packing.image)

    (noise,) = noises(shape, 64, 0, torch.device("cpu"))
    t = torch.ones(len(noise))
    with torch.no_grad():
        ours, bare, ratio = interleaved(
            lambda: student(noise), lambda: student.network(noise, t), options.repetitions
        )
    print(f"sampling   student {ours * 1e3:.1f} ms, its network {bare * 1e3:.1f} ms, "
          f"ratio {ratio:.3f}   (goal 1.1)")  # fmt: skip

    with tempfile.TemporaryDirectory() as folder:
        pool = PairPool(
            teacher, config.pairs, shape, Path(folder), 0, "benchmark", torch.device("cpu")
        )
        pool.noise.normal_(generator=generator(0, "pool"))
        pool.data.normal_(generator=generator(0, "pool data"))
        projection = Projection(residual, packing.norm(), scale)
        physics = NORMS[config.student.physics_norm](projection, packing)
        data = packing.pack(fields)
        loss = regression(TrainingContext(config, teacher, projection, data, pool))
        job = Optimisation(
            "student", student, config.student, Path(folder) / "c", "f", torch.device("cpu")
        )
        steps = job.run(loss)

        twin = build_student(config, teacher, pde)
        optimiser = torch.optim.AdamW(twin.parameters(), lr=1e-3, betas=(0.9, 0.99))
        weight, batch = config.student.physics_weight, config.student.batch
        few = config.student.physics_batch
        average = [p.detach().clone() for p in twin.parameters()]
        draw = generator(0, "bare")

        def bare_step() -> None:
            index = torch.randint(len(pool.data), (batch,), generator=draw)
            more = torch.randn((few, *shape), generator=draw)
            x = twin(torch.cat([pool.noise[index], more]))
            total = (x[:batch] - pool.data[index]).square().mean()
            total = total + weight * physics(x[batch:])
            other = data[torch.randint(len(data), (DATA * len(x),), generator=draw)]
            total = total + config.student.energy_weight * energy_score(x, other)
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
            optimiser.step()
            with torch.no_grad():
                torch._foreach_lerp_(average, list(twin.parameters()), 0.002)

        ours, bare, ratio = interleaved(lambda: next(steps), bare_step, options.repetitions)
        print(f"distilling piddm {ours * 1e3:.0f} ms a step, bare torch {bare * 1e3:.0f} ms, "
              f"ratio {ratio:.3f}   (goal 1.1)")  # fmt: skip


if __name__ == "__main__":
    main()
