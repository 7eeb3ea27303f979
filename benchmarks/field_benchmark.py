"""The field's own benchmark: sparse exact sensors of one field, error of the other, at 128 x 128.

``python benchmarks/field_benchmark.py --truths 20`` answers each equation forward (sensors of the
input, error of the solution) and inverse (the other way round) with the solvers that need no
network, and writes ``docs/field_benchmark.md`` and ``docs/field_benchmark.json``, from which an
interrupted run goes on. Truths are draws of the published generators, solved by piddm's own
discrete equations. Protocol: 500 nodes at random, values exact; relative L2 over all nodes, and for
a medium of two phases the share of wrong nodes. Of a flow the input is the first time and the
solution the last one; of Burgers' equation five points are seen at all times, and the error is that
of the whole film. Published errors are quoted, not measured.
"""

import argparse
import json
import math
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
from piddm.tasks.likelihood import EXACT
from piddm.tasks.observations import Observations
from piddm.tasks.synthetic import draw_truth
from piddm.tasks.task import ask
from piddm.tools.errors import PiddmError

CASES: dict[str, dict[str, Any]] = {
    "poisson": {"fields": ("a", "u"), "solvers": ("exact",)},
    "helmholtz": {"fields": ("a", "u"), "solvers": ("exact",)},
    "darcy": {"fields": ("a", "u"), "solvers": ("level-set", "ensemble-kalman"), "phases": 7.5},
    "navier-stokes": {"fields": ("w", "w"), "solvers": ("classical",), "times": (0, -1)},
    "burgers": {"fields": ("u", "u"), "solvers": ("classical",), "points": 5},
}
"""Input and solution, the solvers that are asked, what tells two phases apart, the times of input
and solution in a film, and how many points are seen at all times."""

PUBLISHED = {
    ("poisson", "forward"): {"FunDPS": 1.99, "DiffusionPDE": 4.88},
    ("poisson", "inverse"): {"DDIS": 15.78, "FunDPS": 20.47, "DiffusionPDE": 21.10},
    ("helmholtz", "forward"): {"FunDPS": 2.13, "DiffusionPDE": 12.64},
    ("helmholtz", "inverse"): {"DDIS": 15.08, "FunDPS": 17.16, "DiffusionPDE": 19.07},
    ("darcy", "forward"): {"FunDPS": 2.49, "DiffusionPDE": 6.07},
    ("darcy", "inverse"): {"FunDPS": 5.18, "DiffusionPDE": 7.87},
    ("navier-stokes", "forward"): {"FunDPS": 3.32, "DiffusionPDE": 3.78},
    ("navier-stokes", "inverse"): {"FunDPS": 8.48, "DDIS": 8.93, "DiffusionPDE": 9.63},
}
"""Relative L2 in %, as arXiv 2505.17004 (FunDPS, and DiffusionPDE run again by its authors) and
arXiv 2601.23280 (DDIS) print them: on their own samples, of which one draw is scored."""

SENSORS, SIZE = 500, 128


def directions(case: dict, asked: list[str]) -> list[str]:
    """Return the tasks of a case: forward and inverse, or the one that points at all times are."""
    return ["reconstruct"] if "points" in case else asked


def grid_of(pde: piddm.PDE, size: int) -> piddm.Grid:
    """Return the grid: so many nodes along all axes, but a flow keeps its number of times."""
    flow = len(pde.grid.shape) == 3
    return pde.grid.resized({k: size for k in pde.grid.names if not (flow and k == "t")})


def problem(pde: piddm.PDE, case: dict, direction: str, seed: int, options: Any):
    """Return the asked field of a truth, and what is seen."""
    truth = draw_truth(pde, grid_of(pde, options.size), seed)
    draw, shape = torch.Generator().manual_seed(seed), truth.grid.shape
    given, solution = case["fields"]
    first, last = case.get("times", (slice(None), slice(None)))
    if direction == "inverse":
        given, solution, first, last = solution, given, last, first
    mask = torch.zeros(shape, dtype=torch.bool)
    if "points" in case:
        mask[:, torch.randperm(shape[1], generator=draw)[: case["points"]]] = True
    else:
        nodes = math.prod(shape[-2:])
        mask[first].view(-1)[torch.randperm(nodes, generator=draw)[: options.sensors]] = True
    values = {given: truth.fields[given][0]}
    observed = Observations.at_nodes(truth.grid, values, {given: mask})
    return solution, last, truth.fields[solution][0], observed


def kept_open(case: dict, direction: str) -> bool:
    """Return whether the asked field has a density, so that each node has an interval."""
    return not ("phases" in case and direction == "inverse")


def score(model: Any, case: dict, direction: str, solver: str, seed: int, options: Any) -> dict:
    """Return what a solver makes of one truth."""
    asked, at, true, observed = problem(model.pde, case, direction, seed, options)
    began, spent = time.perf_counter(), time.process_time()
    settings = {"ensemble": options.ensemble} if solver == "ensemble-kalman" else {}
    drawn = solver == "exact" or (solver == "level-set" and direction == "forward")
    members = options.members if drawn else options.films if solver == "classical" else options.few
    found = answer(
        model, ask("reconstruct", model.pde, observed), solver, members, settings=settings,
        progress=False,
    )  # fmt: skip
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    mean = found.mean[asked][at]
    low, high = (found.quantile(share)[asked][at] for share in (0.05, 0.95))
    true = true[at]
    inside = (true >= low) & (true <= high)
    open_ = high > low
    if not kept_open(case, direction):  # two phases have no interval: some member has the right one
        inside, open_ = (found.fields[asked] == true).any(0), torch.ones_like(inside)
    kept = {
        "error": float((mean - true).norm() / true.norm()),
        "coverage": float(inside[open_].double().mean()) if bool(open_.any()) else 1.0,
        "residual": float(found.residual.max()), "misfit": float(found.misfit.mean()),
        "seconds": seconds, "processor": spent, "members": members,
    }  # fmt: skip
    if not kept_open(case, direction):
        kept["wrong"] = float(((mean > case["phases"]) != (true > case["phases"])).double().mean())
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--equations", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument(
        "--tasks", nargs="+", default=["forward", "inverse"], choices=["forward", "inverse"]
    )
    parser.add_argument("--truths", type=int, default=20)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--sensors", type=int, default=SENSORS)
    parser.add_argument("--members", type=int, default=32, help="of exact draws")
    parser.add_argument("--films", type=int, default=8, help="members of classical")
    parser.add_argument("--few", type=int, default=4, help="members of all others")
    parser.add_argument("--ensemble", type=int, default=60, help="of ensemble-kalman")
    parser.add_argument("--solvers", nargs="+", default=["exact", "level-set", "classical"])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, default=Path("docs/field_benchmark.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/field_benchmark.md"))
    options = parser.parse_args()
    kept = json.loads(options.json.read_text()) if options.json.exists() else {}
    end, models = time.monotonic() + 60 * options.minutes, {}
    for seed in range(options.truths):
        for name in options.equations:
            for direction in directions(CASES[name], options.tasks):
                for solver in (s for s in CASES[name]["solvers"] if s in options.solvers):
                    key = f"{name}|{direction}|{solver}|{options.size}|{options.sensors}|{seed}"
                    if key in kept or time.monotonic() > end:
                        continue
                    if name not in models:
                        grid = grid_of(piddm.get_pde(name), options.size)
                        models[name] = equation_model(name, grid=grid, progress=False)
                    try:
                        found = score(models[name], CASES[name], direction, solver, seed, options)
                    except PiddmError as error:
                        print(f"{key:<50} {error}", flush=True)
                        continue
                    kept[key] = {k: float(f"{v:.4g}") for k, v in found.items()}
                    print(f"{key:<50} {kept[key]}", flush=True)
                    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in kept.items())
                    options.json.write_text(f"{{\n{lines}\n}}\n")
    options.out.write_text(page(kept))


def page(kept: dict) -> str:
    """Return the table: ours beside what was published."""
    groups: dict[tuple, list[dict]] = {}
    for key, found in kept.items():
        name, direction, solver, size, sensors, _ = key.split("|")
        groups.setdefault((name, direction, size, sensors, solver), []).append(found)
    rows = []
    for (name, direction, size, sensors, solver), every in sorted(groups.items()):
        measure = "wrong" if "wrong" in every[0] else "error"
        values = [100 * e[measure] for e in every]
        spread = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        known = PUBLISHED.get((name, direction), {}) if size == "128" and sensors == "500" else {}
        points = CASES[name].get("points")
        where = f"{points} at all times" if points else sensors
        rows.append([
            name, direction, f"{size} x {size}, {where}", solver,
            f"{statistics.mean(values):.2f}"
            + (f" ± {spread:.2f}" if len(values) > 1 else "")
            + (" (wrong nodes)" if measure == "wrong" else ""),
            ", ".join(f"{k} {v:g}" for k, v in known.items()),
            f"{100 * statistics.mean(e['coverage'] for e in every):.0f}",
            f"{max(e['residual'] for e in every):.0e}",
            f"{statistics.mean(e['processor'] for e in every):.1f}",
            f"{every[0]['members']:g}", str(len(every)),
        ])  # fmt: skip
    head = ["equation", "task", "nodes, sensors", "solver", "error, %", "published, %",
            "in the 90 % interval, %", "residual", "seconds", "members", "truths"]  # fmt: skip
    inverse = [e for key, e in kept.items()
               if key.startswith(f"darcy|inverse|level-set|{SIZE}|{SENSORS}|")]  # fmt: skip
    missed, wrong = ([e[k] for e in inverse] or [math.nan] for k in ("misfit", "wrong"))
    return TEXT.format(
        table="\n".join(lined(head, rows)), machine=machine(),
        missed=f"{100 * EXACT * statistics.median(missed) ** 0.5:.0f}",
        middle=f"{100 * statistics.median(wrong):.1f}", worst=f"{100 * max(wrong):.0f}",
    )  # fmt: skip


TEXT = """# The field's benchmark

Written by `python benchmarks/field_benchmark.py`; every answer is in `field_benchmark.json`. The
protocol is that of DiffusionPDE (arXiv 2406.17763) and FunDPS (arXiv 2505.17004): values at 500
random nodes of 128 x 128 are known exactly. In the *forward* task they are values of the input, and
the solution is reconstructed; in the *inverse* task it is the other way round. Errors are relative
L2 errors of the mean in %, mean over truths and its standard error; for Darcy's medium the error is
the share of wrong nodes. Truths are draws of the published generators, solved by piddm's own
discrete equations. None of the solvers uses a network. The published errors are those of networks:
they are quoted as they were printed, on their authors' samples and hardware, for one draw each.
Seconds are processor time, all members together, of a machine with other work to do.
{machine}.

{table}

## Where this benchmark needs a network

Poisson and Helmholtz are linear, and their inputs are Gaussian. Their posterior is known, and
`exact` computes its mean in closed form: no estimate has a smaller mean square error on truths of
this law. A network can gain nothing here. Forward, the best published network comes near to the
exact error; inverse, the published errors are two and a half to three and a half times as large.
The error of a single exact draw is larger than that of the mean by a factor of √2, which explains
part of the difference, but not most of it. The forward error varies much between truths;
`python benchmarks/field_floor.py` computes the same floor by scipy alone, without code of piddm,
with `--truths 20` on 20 other truths of the same law: 1.42 ± 0.15 for Poisson and 1.43 ± 0.15 for
Helmholtz; with `--same` on the table's own truths and sensors: 1.70 ± 0.19 and 1.67 ± 0.18, each
truth's error being that of `exact` to 0.01. So the rows are the floor of these 20 truths,
which no solver can lower in the mean square; a goal of 1.6 was one for other truths.

Navier-Stokes and Burgers are not linear, but they have derivatives and their inputs are Gaussian:
`classical` marches the film and runs its adjoint back. For the flow, the first time is
reconstructed from the last one (inverse), or the other way round (forward); for Burgers' equation
the whole film, from five points at all times. No network is needed for either.
Forward, the first vorticity has a Gaussian posterior, and the estimate is the flow of its mean.
`python benchmarks/field_floor.py --pde navier-stokes --same --truths 20` computes that by scipy
alone, with a march of its own: 2.49 ± 0.16, each truth's error being the row's to 0.06. Without
`--same`, on 30 other truths of the same law, it is 2.24 ± 0.10. So this row, too, is what its 20
truths allow.

Darcy's medium has two phases: a Gaussian field, cut at zero. Forward, exact values of the medium
are signs of that field at 500 nodes, and its posterior is known: a Gaussian law between walls.
`level-set` draws exactly from it and solves for each draw, so that the mean of the solutions is the
best estimate, up to the number of draws: the row is the floor of this task. Inverse, the posterior
is not known in closed form, but it has derivatives once a ramp stands for the step. `level-set`
finds the most likely medium by ramps that narrow, and members around it. So far no network is
needed here either, because the law is written down: who knows that the medium is a Gaussian field,
cut at zero, knows more than a thousand samples tell. The members of the inverse task satisfy the
equation, but their sensors, exact ones, are missed by {missed} % of the pressure's deviation in the
middle one of the truths: a medium of two values has the grain of its nodes, and the search ends
there; beyond 3 % the answer says that it is not done. Half of the truths have less than {middle} %
of wrong nodes, the worst has {worst} %. Of a medium, "in the interval" is the share of all nodes at
which not all members have the wrong phase.

A network earns its keep where no law is written down and only samples of it are given, as of
`darcy-channels` ([channels.md](channels.md), by a third in wrong nodes), and where so many
answers are needed that seconds each are too many.

Each run's report says after how many answers its student has paid for its training, against the
best solver without a network at equal error, or "never". No student of 128 x 128 was measured for
this table.

Errors vary as much as truths do: a row of few truths is uncertain, and so is a difference of less
than two standard errors. The same command continues an interrupted run.

This is a script and no command of its own, since `piddm bench` compares ways to train and to sample
on one preset, and here nothing is trained: a script in `benchmarks/` is enough for a protocol that
is fixed, takes an hour, and is run by those who doubt these numbers. `--equations`, `--tasks`,
`--truths`, `--size` and `--sensors` change it; any single question of it is
`piddm solve inverse --pde darcy --observations FILE`.
"""


if __name__ == "__main__":
    main()
