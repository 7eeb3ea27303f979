"""What the exact posterior costs on a large grid: seconds, memory, error and coverage.

python benchmarks/exact_size.py [--pde poisson ...] [--size 128 256] [--field u]

500 nodes of one truth are known exactly, 32 members are drawn; seconds are processor time, and the
memory is the most that the process had, piddm and torch included. Grids are asked from small to
large, so that it is each one's own.
"""

from __future__ import annotations

import argparse
import resource
import time

from piddm.runs.asking import equation_model, question
from piddm.tasks.ensemble import answer
from piddm.tasks.synthetic import draw_truth, place

SENSORS, MEMBERS = 500, 32


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--pde", nargs="+", default=["poisson", "helmholtz"])
    options.add_argument("--size", type=int, nargs="+", default=[128, 256])
    options.add_argument("--field", default="u", help="the field that is seen")
    given = options.parse_args()
    for size in sorted(given.size):
        for name in given.pde:
            model = equation_model(name, size, progress=False)
            truth = draw_truth(model.pde, model.residual.grid, 1)
            seen = place(truth, model.pde, given.field, SENSORS / size**2, 0.0, False, 1)
            began = time.process_time()
            asked, _ = question(model, "reconstruct", seen, "exact", progress=False)
            found = answer(model, asked, "exact", MEMBERS, progress=False)
            seconds = time.process_time() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            true = {k: v[0] for k, v in truth.fields.items()}
            assert found.residual is not None
            print(f"{name} {size} x {size}, {seen.count} exact values of {given.field}: "
                  f"{seconds:.1f} s, {memory:.2f} GiB, error {found.errors(true)}, in the 90 % "
                  f"interval {found.covered(true, 0.9)}, residual "
                  f"{float(found.residual.max()):.1g}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
