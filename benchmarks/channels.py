"""A medium of channels, whose law is given by samples only: does a learnt prior win?

``piddm distill --pde darcy-channels --set data.size=32 --set data.train=4096 --set network.fold=2
--set teacher.steps=1500 --set student.steps=800 --out RUN`` trains it, and
``python benchmarks/channels.py --run RUN`` asks its student, and beside it the Gaussian of the same
data and an ensemble Kalman smoother on the law itself, for the medium behind 40 pressures with 2 %
of noise. Without ``--run`` only those two are asked, with 256 samples of the law. It writes
``docs/channels.md``. Crispness is the share of nodes that have one of the two values, to a
twentieth of their difference.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe as machine

import piddm
from piddm.bench.report import lined
from piddm.runs.asking import equation_model
from piddm.tasks.ensemble import answer
from piddm.tasks.synthetic import draw_truth, place
from piddm.tasks.task import ask
from piddm.tools.errors import PiddmError

PHASES = 1.0, 12.0
"""Permeability beside and inside channels."""

WAYS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "gaussian": ("gaussian", {}, False),
    "ensemble-kalman": ("ensemble-kalman", {"ensemble": 100}, False),
    "latent": ("latent", {}, True),
    "hybrid": ("hybrid", {}, True),
    "ensemble-kalman, student=true": ("ensemble-kalman", {"ensemble": 100, "student": True}, True),
}
"""Row to solver, its settings, and whether it needs the student."""


def asked(model: Any, way: str, seed: int, members: int) -> dict[str, float]:
    """Return what a way makes of one truth."""
    solver, settings, _ = WAYS[way]
    truth = draw_truth(model.pde, model.residual.grid, seed)
    nodes = truth.grid.shape[0] * truth.grid.shape[1]
    seen = place(truth, model.pde, "u", 40 / nodes, 0.02, seed=seed)
    task, began = ask("inverse", model.pde, seen), time.process_time()
    found = answer(model, task, solver, members, settings=settings, progress=False)
    spent = time.process_time() - began
    true, each = truth.fields["a"][0], found.fields["a"]
    low, high = PHASES
    away = torch.minimum((each - low).abs(), (each - high).abs())
    middle = (low + high) / 2
    return {
        "error of the mean": found.errors({"a": true})["a"],
        "wrong nodes of the mean": float(((found.mean["a"] > middle) != (true > middle))
                                         .double().mean()),
        "wrong nodes of a member": float(((each > middle) != (true > middle)).double().mean()),
        "crisp": float((away < (high - low) / 20).double().mean()),
        "chi squared": float(found.misfit.mean()),
        "residual": float(found.residual.max()),
        "processor seconds": spent,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--truths", type=int, default=6)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("docs/channels.md"))
    options = parser.parse_args()
    pde = piddm.get_pde("darcy-channels")
    if options.run:
        model: Any = piddm.load_run(options.run)
    else:
        data = piddm.make_dataset(pde, 256, size=32, progress=False)
        model = equation_model(pde, data=data, progress=False)
    rows, head = [], []
    for way, (_, _, trained) in WAYS.items():
        if trained and not options.run:
            continue
        every = []
        for seed in range(options.truths):
            try:
                every.append(asked(model, way, seed, options.members))
            except PiddmError as error:
                print(f"{way} {seed}: {error}", flush=True)
        if not every:
            rows.append([way, *["no answer"] * (len(head) - 1)])
            continue
        head = ["way", *every[0], "truths"]
        cells = []
        for k in every[0]:
            values = [e[k] for e in every]
            spread = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.3g} ± {spread:.1g}")
        rows.append([way, *cells, str(len(every))])
        print(rows[-1], flush=True)
    table, words = "\n".join(lined(head, rows)), LEARNT if options.run else PLAIN
    options.out.write_text(TEXT.format(table=table, words=words, machine=machine()))


PLAIN = """\
The Gaussian of the data fits the observations, but it does not contain the equation: its members
have neither two values nor a pressure that belongs to them. The ensemble Kalman smoother adds and
averages media, and leaves the law as well: its media take values between the two phases and beyond
them, some of them negative. Their pressures are then meaningless, and the chi squared shows it.
Both lack the information that only samples give: that channels are connected."""
"""What is said where no student was asked."""

LEARNT = """\
The Gaussian of the data fits the observations, but it does not contain the equation: rounded to two
values, its media have other pressures. The ensemble Kalman smoother adds and averages media: they
take values between the two phases and beyond them, some of them negative, and their pressures are
then meaningless, as the chi squared shows. Both lack what only samples give: that channels are
connected. The student has learnt it. `latent` and the smoother on its noise give media of two
phases that satisfy the equation, but miss the observations by ten deviations or more (the chi
squared is for each of them). `hybrid` fits them and satisfies the equation to round-off; for that
some nodes leave the phases. By wrong nodes of the mean it is better by a third than either way
without a network, in less time than the smoother; by the error of the mean, which counts how sure a
mean is, by a sixth than the smoother and by a quarter than the Gaussian. The goal of a third in
both is missed in the second: 40 pressures leave open where a channel lies, for any prior."""
"""What the rows of docs/channels.md say, with a student."""

TEXT = """# A medium of channels

Written by `python benchmarks/channels.py`. Darcy's flow through two or three meandering channels
(`darcy-channels`), a law that is given only by samples; the medium is inferred from 40 pressures
with 2 % of noise on 32 x 32 nodes. Means over truths and their standard errors. {machine}.

{table}

{words}
"""


if __name__ == "__main__":
    main()
