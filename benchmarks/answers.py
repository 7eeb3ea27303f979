"""Every solver on the same questions: error, residual, calibration, network calls, seconds.

    python benchmarks/answers.py RUN... [--cases sparse ...] [--solvers latent ...]
        [--efforts default ...] [--truths 20] [--members 16] [--json docs/answers.json]
        [--out docs/answers_measured.md] [--minutes 30]

A case is a task with its sensors: see ``CASES``. Truths are drawn from the equation's own law, from
seeds that no run's data use; ``rougher`` and ``contrast`` draw them from another law than the run
was trained on. Each answer is kept as soon as it is there: an interrupted run goes on where it
stopped, and ``--minutes`` ends one in time. The page is written from all that the file holds.
``benchmarks/answers_time.py`` draws error over time from it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from machine import describe as machine

import piddm
from piddm.api import Run
from piddm.bench.report import lined
from piddm.tasks.ensemble import EnsembleSampler
from piddm.tasks.synthetic import Case, drawn_from, question
from piddm.tasks.task import ask
from piddm.tools.errors import PiddmError, UsageError

CASES = {
    "sparse": Case(),
    "share 10 %": Case(share=0.1),
    "share 50 %": Case(share=0.5),
    "noise 1 %": Case(share=0.1, noise=0.01),
    "noise 5 %": Case(share=0.1, noise=0.05),
    "forward": Case("forward"),
    "inverse": Case("inverse"),
    "rougher": Case(share=0.1, law="rougher"),
    "contrast": Case(share=0.1, law="contrast"),
}

LEAST = {"rounds": 6, "steps": 0}

EFFORTS: dict[str, dict[str, dict]] = {
    "latent": {"least": LEAST, "default": {}},
    "hybrid": {
        "least": LEAST, "short": {"rounds": 6, "steps": 8, "weight": 0}, "default": {},
        "long": {"steps": 80},
    },
    "hamiltonian": {"default": {}},
    "guided": {
        "least": {"steps": 10}, "short": {"steps": 20}, "middle": {"steps": 50}, "default": {},
        "projected": {},
    },
    "data-space": {"short": {"steps": 150}, "middle": {"steps": 500}, "default": {}},
    "classical": {"short": {"steps": 3}, "default": {}},
    "gaussian": {"default": {}, "projected": {}},
}  # fmt: skip
"""Settings of each solver from cheap to dear; ``projected`` ends with the projection, as hybrid
does of itself."""


def answer(run: Run, case: Case, solver: str, effort: str, seed: int, members: int) -> dict:
    """Return what a solver makes of one truth."""
    settings = EFFORTS[solver][effort]
    observations, truth = question(run, case, seed)
    task = ask(case.task, run.pde, observations)
    project = effort == "projected"
    asked = EnsembleSampler(run, task, solver, members, seed, settings=settings, project=project)
    for _ in asked.work():
        pass
    found = asked.solution().summary(truth)
    told = ("relative_l2", "coverage", "crps", "ranks", "residual", "misfit", "calls", "seconds",
            "observations")  # fmt: skip
    return {"settings": settings, "members": members} | {k: found[k] for k in told}


def wanted(options: argparse.Namespace, runs: dict[str, Run]) -> Iterator[tuple]:
    """Yield everything that is asked for: one truth of all before the next."""
    for seed in range(options.truths):
        for name in options.cases:
            for label, run in runs.items():
                if drawn_from(run.pde, CASES[name].law) is None:
                    continue
                for solver in options.solvers:
                    for effort in options.efforts:
                        if effort in EFFORTS[solver]:
                            yield label, name, solver, effort, seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--solvers", nargs="+", default=list(EFFORTS), choices=list(EFFORTS))
    every = list(dict.fromkeys(e for own in EFFORTS.values() for e in own))
    parser.add_argument("--efforts", nargs="+", default=every, choices=every)
    parser.add_argument("--truths", type=int, default=20)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, default=Path("docs/answers.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/answers_measured.md"))
    options = parser.parse_args()
    print(machine(), flush=True)
    runs = {label(run): run for run in map(piddm.load_run, options.runs)}
    kept = json.loads(options.json.read_text()) if options.json.exists() else {"answers": {}}
    kept["machine"] = machine()
    end = time.monotonic() + 60 * options.minutes
    for key in wanted(options, runs):
        text = "|".join(map(str, key))
        name, case, solver, effort, seed = key
        there = kept["answers"].get(text, {})
        asked = EFFORTS[solver][effort], options.members
        same = "refused" in there or (there.get("settings"), there.get("members")) == asked
        if same or time.monotonic() > end:
            continue
        try:
            found = answer(runs[name], CASES[case], solver, effort, seed, options.members)
            worst = max(found["relative_l2"].values())
            print(f"{text:<60}{worst:9.4f}{found['seconds']:8.1f} s", flush=True)
        except UsageError as error:
            found = {"refused": str(error).splitlines()[0]}
            print(f"{text:<60}{found['refused']}", flush=True)
        except PiddmError as error:  # asked again another time
            print(f"{text:<60}failed: {str(error).splitlines()[0]}", flush=True)
            continue
        kept["answers"][text] = rounded(found)
        options.json.write_text(lines_of(kept))
    options.out.write_text(page(kept))


def label(run: Run) -> str:
    sizes = " x ".join(map(str, run.residual.grid.shape))
    return f"{run.config.pde} {sizes}, {run.config.preset}"


def lines_of(kept: dict) -> str:
    """Return it as JSON, a line for every answer: a change shows which are new."""
    answers = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in kept["answers"].items())
    return f'{{"machine": {json.dumps(kept["machine"])},\n"answers": {{\n{answers}\n}}}}\n'


def rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: rounded(v) for k, v in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def page(kept: dict) -> str:
    """Return the tables, one for each run and case."""
    groups: dict[tuple[str, str], dict[tuple[str, str], list[dict]]] = {}
    for text, found in kept["answers"].items():
        name, case, solver, effort, _ = text.split("|")
        groups.setdefault((name, case), {}).setdefault((solver, effort), []).append(found)
    lines = [
        "# Answers, measured",
        "",
        "Written by `python benchmarks/answers.py RUN...`; every answer is in `answers.json`.",
        "Errors are relative L2 of the ensemble's mean, field by field: mean over truths and",
        "its standard error; CRPS is in the fields' units. Coverage is that of the 50 % and 90 %",
        "intervals, mean over fields.",
        f"Seconds: one truth, all members; calls: one member. {kept['machine']}.",
    ]
    for (name, case), solvers in sorted(groups.items()):
        spec = CASES[case]
        members = {a["members"] for every in solvers.values() for a in every if "members" in a}
        told = " or ".join(map(str, sorted(members)))
        lines += ["", f"## {name}: {case}", ""]
        lines.append(
            f"{spec.task}"
            + (f", {100 * spec.share:g} % of the nodes" if spec.task == "reconstruct" else "")
            + f", noise {100 * spec.noise:g} %, truths of the {spec.law} law, {told} members."
        )
        head = ["solver", "relative L2", "CRPS", "coverage 50 / 90 %", "residual", "calls",
                "seconds", "truths"]  # fmt: skip
        rows = []
        for (solver, effort), every in sorted(solvers.items(), key=lambda s: order(s[0])):
            title = solver if effort == "default" else f"{solver}, {effort}"
            rows.append([title, *cells(every)])
        lines += ["", *lined(head, rows)]
    return "\n".join([*lines, ""])


def order(key: tuple[str, str]) -> tuple[int, int]:
    solver, effort = key
    return list(EFFORTS).index(solver), list(EFFORTS[solver]).index(effort)


def cells(every: list[dict]) -> list[str]:
    good = [a for a in every if "refused" not in a]
    if not good:
        return [f"refused: {every[0]['refused']}", *["-"] * 5, str(len(every))]
    fields, scores = [], []
    for field in good[0]["relative_l2"]:
        values = [a["relative_l2"][field] for a in good]
        spread = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        error = f" ± {100 * spread:.2f}" if len(values) > 1 else ""
        fields.append(f"{field} {100 * statistics.mean(values):.2f}{error} %")
        scores.append(f"{field} {statistics.mean(a['crps'][field] for a in good):.2g}")
    shares = [
        statistics.mean(statistics.mean(a["coverage"][level].values()) for a in good)
        for level in ("0.5", "0.9")
    ]

    def mean(key: str) -> float:
        return statistics.mean(a[key] for a in good)

    return [
        ", ".join(fields), ", ".join(scores), " / ".join(f"{100 * s:.0f} %" for s in shares),
        f"{mean('residual'):.1e}", f"{mean('calls'):.0f}", f"{mean('seconds'):.1f}",
        f"{len(good)}" + (f" of {len(every)}" if len(good) < len(every) else ""),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
