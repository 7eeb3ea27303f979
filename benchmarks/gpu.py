"""What a preset's run takes on this machine's device, measured step by step, and on a named card.

    python benchmarks/gpu.py --device cuda                       # the preset paper, on this GPU
    python benchmarks/gpu.py --size 16 --batch 2                 # a toy, on the processor
    python benchmarks/gpu.py --batch 2 --repeat 1                # the whole grid on the processor

Operations are those of the networks, counted by torch; a step's are forward and backward. Seconds
are the median over ``--repeat`` of a piece of work after one that does not count, scaled to the
preset's batch where ``--batch`` makes it smaller, which counts an optimiser's step too often.
``planned`` takes the operations at a card's published rate, of which training is taken to reach
``--share``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from machine import describe
from torch.utils.flop_counter import FlopCounterMode

from piddm import get_pde
from piddm.config import Config, resolve
from piddm.data.simulate import simulate
from piddm.numerics.projection import Projection
from piddm.residuals.norms import term_scale
from piddm.runs.model_files import build_student, build_teacher
from piddm.runs.workspace import usable
from piddm.teachers.sampling import last
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext
from piddm.training.optimisation import Optimisation
from piddm.training.pairs import PairPool

CARDS = {"A100": 312.0, "H100 SXM": 989.0, "RTX 4090": 165.0}
"""Published rates of dense bfloat16 with sums in float32, in 10^12 operations a second: data sheets
of NVIDIA A100 and H100, whitepaper of the Ada architecture."""

DATA = 24
"""Solutions that normalisation and colour are fitted to."""


@dataclass(frozen=True)
class Piece:
    """A piece of work: what it takes here, and how often a run does it."""

    name: str
    seconds: float
    operations: float
    count: float


def timed(work: Callable[[], object], device: torch.device, repeat: int) -> tuple[float, float]:
    """Return the median of the seconds, and the operations of the networks."""
    with FlopCounterMode(display=False) as counted:
        work()
    spent = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent), float(counted.get_total_flops())


def pieces(config: Config, device: torch.device, batch: int, repeat: int) -> list[Piece]:
    """Return what a run is made of."""
    pde = get_pde(config.pde)
    grid = config.data.grid(pde.grid)
    residual = pde.bind(grid)
    began = time.perf_counter()
    exact = next(iter(simulate(pde, grid, DATA, generator(0, "gpu"), chunk=DATA)))
    solved = (time.perf_counter() - began) / DATA
    fields = {k: v.float() for k, v in exact.items()}
    teacher = build_teacher(config, pde, grid)
    teacher.packing.fit(fields)
    data = teacher.packing.targets(fields)
    teacher = teacher.to(device)
    packing, shape = teacher.packing, data.shape[1:]
    projection = Projection(residual, packing.norm(), term_scale(residual, exact))
    found = [Piece("simulate", solved, 0.0, config.data.train + config.data.held_out)]
    with tempfile.TemporaryDirectory() as folder:

        def steps(name: str, module: torch.nn.Module, loss, settings, scale: float) -> Piece:
            job = Optimisation(name, module, settings, Path(folder) / name, "gpu", device)
            run = job.run(loss)
            seconds, operations = timed(lambda: next(run), device, repeat)
            return Piece(f"{name} step", seconds * scale, operations * scale, settings.steps)

        few = min(batch or config.teacher.batch, config.teacher.batch)
        x = data[torch.arange(few) % len(data)].to(device)
        found.append(steps(
            "teacher", teacher, lambda m, n: {"loss": m(x, generator(n, "t"))}, config.teacher,
            config.teacher.batch / few,
        ))  # fmt: skip
        some = min(batch or config.pairs.batch, config.pairs.batch)
        noise = torch.randn((some, *shape), generator=generator(0, "n")).to(device)
        with torch.no_grad():
            seconds, operations = timed(
                lambda: last(teacher.sample(noise, config.pairs.steps)), device, 1
            )
        refreshed = (config.student.steps - 1) // config.pairs.refresh_every * config.pairs.refresh
        every = config.pairs.count + refreshed
        found.append(Piece("pair", seconds / some, operations / some, every))
        small = config.student.model_copy(update={
            "batch": max(2, min(batch or config.student.batch, config.student.batch)),
            "physics_batch": max(1, min(batch or 8, config.student.physics_batch)),
        })  # fmt: skip
        own = config.model_copy(update={"student": small})
        pool = PairPool(
            teacher, config.pairs.model_copy(update={"count": len(data)}), tuple(shape),
            Path(folder), 0, "gpu", device,
        )  # fmt: skip
        pool.noise.normal_(generator=generator(0, "pool"))
        pool.data.copy_(data)
        student = build_student(config, teacher, pde).to(device).requires_grad_(True)
        loss = student.objective(TrainingContext(own, teacher, projection, data, pool))
        full, own_size = config.student, small.batch + small.physics_batch
        scale = (full.batch + full.physics_batch) / own_size
        found.append(steps("student", student, loss, full, scale))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pde", default="burgers")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.2)
    chosen = parser.parse_args()
    device = usable(chosen.device)
    config = resolve(
        chosen.pde, chosen.preset, overrides={"data.size": chosen.size} if chosen.size else {}
    )
    print(describe())
    if device.type == "cuda":
        print(torch.cuda.get_device_name(device))
    rows = pieces(config, device, chosen.batch, chosen.repeat)
    cards = " | ".join(f"planned on {name}, h" for name in CARDS)
    print(f"\n| work | 10^9 operations | seconds | times | hours here | {cards} |")
    print("|---" * (5 + len(CARDS)) + "|")
    for row in rows:
        planned = [row.operations * row.count / (v * 1e12 * chosen.share) / 3600
                   for v in CARDS.values()]  # fmt: skip
        told = " | ".join(f"{h:.2f}" if row.operations else "as here" for h in planned)
        print(f"| {row.name} | {row.operations / 1e9:.1f} | {row.seconds:.3g} | {row.count:g} "
              f"| {row.seconds * row.count / 3600:.2f} | {told} |")  # fmt: skip
    total = sum(r.seconds * r.count for r in rows) / 3600
    print(f"\n{total:.1f} hours here without evaluation; a share of {chosen.share:g} on the cards")
    if device.type == "cuda":
        print(f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of the device at most")


if __name__ == "__main__":
    main()
