"""What members of an answer gain by ending on the equation, and what that costs.

    python benchmarks/corrected_members.py [burgers-64 ...] [--truths 3] [--members 16]

Truths of the equation's law are seen by random sensors, 3 % as many as nodes, with 1 % noise, and
reconstructed by ``latent`` and ``hybrid`` with and without the correction. For each: seconds a
truth, relative L2 of the mean by field, coverage of 50 and 90 % intervals over all fields,
normalised residual of the members.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from machine import describe

from piddm import load_model
from piddm.tasks.ensemble import EnsembleSampler
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask

LEVELS = (0.5, 0.9)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=["burgers-64", "darcy-64", "helmholtz-64"])
    parser.add_argument("--truths", type=int, default=3)
    parser.add_argument("--members", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe(), flush=True)
    for name in options.names:
        run = load_model(name)
        every = ",".join(run.pde.field_names)
        for solver in ("latent", "hybrid"):
            for correct in (False, True):
                rows = []
                for seed in range(options.truths):
                    truth = draw_truth(run.pde, run.grid, seed)
                    seen = place(truth, run.pde, every, share=0.03, noise=0.01, seed=seed)
                    asked = EnsembleSampler(
                        run, ask("reconstruct", run.pde, seen), solver, options.members, seed,
                        settings={"correct": correct},
                    )  # fmt: skip
                    for _ in asked.work():
                        pass
                    found = asked.solution()
                    exact = {k: truth.fields[k][0] for k in run.pde.field_names}
                    covered = [statistics.mean(found.covered(exact, p).values()) for p in LEVELS]
                    rows.append((
                        asked.seconds, *found.errors(exact).values(), *covered,
                        float(found.residual.mean()),
                    ))  # fmt: skip
                means = [
                    statistics.mean(float(v) for v in column) for column in zip(*rows, strict=True)
                ]
                print(f"{name:<14}{solver:<8}{'corrected' if correct else '':<10}",
                      *(f"{v:.3g}" for v in means), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
