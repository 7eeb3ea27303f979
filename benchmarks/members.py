"""What members of an ensemble cost, by how many are looked for together, and what memory they take.

    python benchmarks/members.py RUN [--solver latent] [--members 100] [--batches 1 4 16 32 64]

The goal: the default way to so many members costs at most as many times the cheapest member there
is, at any batch size.
"""

import argparse
import resource
from pathlib import Path

from machine import describe

import piddm
from piddm.tasks.ensemble import BATCH, EnsembleSampler
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--solver", default="latent")
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 32, 64])
    options = parser.parse_args()
    print(describe(), flush=True)
    run = piddm.load_run(options.run)
    truth = draw_truth(run.pde, run.residual.grid)
    seen = place(truth, run.pde, ",".join(run.pde.field_names), share=0.03)
    task = ask("reconstruct", run.pde, seen)

    def seconds(members: int, batch: int) -> float:
        asked = EnsembleSampler(run, task, options.solver, members, batch=batch)
        for _ in asked.work():
            pass
        return asked.seconds

    seconds(1, 1)  # what is built once
    each = {}
    for batch in options.batches:
        each[batch] = seconds(batch, batch) / batch
        print(
            f"{batch:>4} together: {each[batch]:8.3f} s a member, peak {peak():.2f} GB", flush=True
        )
    whole, least = seconds(options.members, BATCH), min(each.values())
    print(
        f"{options.members} members, {BATCH} together: {whole:.1f} s, "
        f"{whole / options.members / least:.2f} times the cheapest member each, "
        f"peak {peak():.2f} GB"
    )


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
