"""Do answers come as near to sound sensors as their noise allows, or say that they are not done?

python benchmarks/consistent_sensors.py RUN [--truths 6] [--solvers hybrid latent ...]

Of each truth 39 sensors of the last field, with 2 % of noise, are what ``inverse`` is asked about.
Printed is the members' chi squared over the number of sensors, 1 for members that fit as well as
the truth does, its mean over truths with the standard error, and of how many answers the solver
says that it is not done. A run that has learnt nothing (``--set teacher.steps=4`` and so on) is the
hard case.
"""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path

import piddm
from piddm.tasks.ensemble import answer
from piddm.tasks.likelihood import Likelihood
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask
from piddm.tools.errors import PiddmError

SENSORS, NOISE = 39, 0.02


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("run", type=Path)
    options.add_argument("--truths", type=int, default=6)
    options.add_argument("--members", type=int, default=8)
    options.add_argument(
        "--solvers", nargs="+", help="with +project for members that end on the equation",
        default=["hybrid", "latent", "latent+project", "gaussian", "gaussian+project", "level-set",
                 "classical", "ensemble-kalman", "guided", "guided+project", "data-space"],
    )  # fmt: skip
    given = options.parse_args()
    run = piddm.load_run(given.run)
    share = SENSORS / math.prod(run.grid.shape)
    for name in given.solvers:
        solver, _, project = name.partition("+")
        sizes, own, doubted, blamed = [], [], 0, 0
        for seed in range(given.truths):
            truth = draw_truth(run.pde, run.grid, seed)
            seen = place(truth, run.pde, run.pde.field_names[-1], share, NOISE, True, seed)
            asked = ask("inverse", run.pde, seen)
            likelihood = Likelihood.of(asked, run.pde.field_names, run.packing)
            own.append(float(likelihood.misfit(truth.fields).square().mean()))
            try:
                found = answer(run, asked, solver, given.members, project=bool(project),
                               progress=False)  # fmt: skip
            except PiddmError as error:
                print(f"{name}: {error}", flush=True)
                break
            sizes.append(float(found.misfit.mean()))
            doubted += "not done" in found.doubt
            blamed += "contradict" in found.doubt
        if sizes:
            error = statistics.stdev(sizes) / len(sizes) ** 0.5 if len(sizes) > 1 else math.nan
            print(f"{name}: chi squared a sensor {statistics.mean(sizes):.3g} ± {error:.2g}, from "
                  f"{min(sizes):.3g} to {max(sizes):.3g}, the truths' own from {min(own):.3g} to "
                  f"{max(own):.3g}; not done in {doubted} of {len(sizes)}, "
                  f"blames sensors in {blamed}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
