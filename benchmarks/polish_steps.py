"""What a staged student's last step is worth, by its number of products with the matrix.

    python benchmarks/polish_steps.py NAME_OR_RUN... [--count 256] [--products 1 2 3 4 6 8]

For each number, 0 for the operator's own answer: normalised PDE error, relative L2 to the solution
of a sample's own inputs (64 of them), spectrum distance to data made for it, milliseconds a sample
on one thread. The first row is a second draw of data.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from machine import describe

from piddm import load_model, load_run
from piddm.data.simulate import simulate
from piddm.metrics.self_consistency import inconsistency
from piddm.metrics.spectra import spectrum_distance
from piddm.residuals.norms import sample_errors
from piddm.students.staged import StagedStudent
from piddm.teachers.sampling import noises

SOLVED = 64
"""Samples that are solved for their own inputs."""

HEAD = (
    "samples of", "products", "PDE error", "self-consistency", "spectrum distance", "ms a sample",
)  # fmt: skip

SEED = 10
"""Of noise and data; trained models and runs have smaller ones."""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+", type=Path, metavar="NAME_OR_RUN")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--products", type=int, nargs="+", default=[1, 2, 3, 4, 6, 8])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    print(
        "| samples of | products | PDE error | self-consistency | spectrum distance | ms a sample |"
    )
    print("|---|---|---|---|---|---|")
    for path in options.runs:
        measure(path, options.count, options.products)


@torch.no_grad()
def measure(path: Path, count: int, products: list[int]) -> None:
    """Print the rows of one student."""
    run = load_run(path) if path.exists() else load_model(str(path))
    student, packing, own = run.student, run.packing, run.own_solution
    assert isinstance(student, StagedStudent)
    assert student.polish is not None
    draw = torch.Generator().manual_seed(SEED)
    parts = list(simulate(run.pde, run.grid, 2 * count, draw, chunk=64))
    data = {k: torch.cat([p[k] for p in parts]) for k in packing.names}
    seen = packing.normalised({k: v[:count] for k, v in data.items()})
    shape = (packing.channels, *packing.image)
    noise = noises(shape, count, SEED, run.device, batch=32)

    def row(label: str, fields: dict[str, torch.Tensor], seconds: float | None) -> None:
        error = float(sample_errors(run.residual, fields, run.scale).mean())
        near = ""
        if own is not None:
            few = {k: v[:SOLVED] for k, v in fields.items()}
            near = f"{100 * float(inconsistency(own, few, packing.field_scale()).mean()):.2g} %"
        far = spectrum_distance(packing.normalised(fields), seen, run.grid)
        took = "" if seconds is None else f"{1e3 * seconds / count:.2f}"
        cells = (run.pde.name, label, f"{error:.1e}", near, f"{far:.3f}", took)
        print(f"| {' | '.join(cells)} |", flush=True)

    row("data", {k: v[count:].double() for k, v in data.items()}, None)
    student(noise[0])  # what is made once
    for number in (0, *products):
        student.polish.iterations = number
        start = time.perf_counter()
        x = [student(z) if number else student.solve(student.draw(z)) for z in noise]
        seconds = time.perf_counter() - start
        row(str(number), packing.unpack(torch.cat(x).double()), seconds)


if __name__ == "__main__":
    main()
