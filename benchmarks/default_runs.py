"""The main job, measured: time, memory and quality of whole runs, each in a process of its own.

    python benchmarks/default_runs.py [--preset default] [--pdes burgers darcy] [--seeds 0 1 2]
        [--set a.b=c ...] [--jobs 1] [--home DIR] [--json FILE] [--markdown FILE]
    python benchmarks/default_runs.py --read FILE...     # the table of what --json has written

Every run has a PIDDM_HOME of its own (below ``--home``, else a temporary one, so that it starts
from nothing), and its time counts simulation, training, pairs, distillation and evaluation. With
``--jobs`` above 1 runs go side by side with one thread each, and their times mean nothing.

Below each run stand the goals: the student's errors over the teacher's, and whether its distances
from the data are within 1.5 times the teacher's plus the truth's finite-sample floor.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from machine import describe

SOURCES = ("truth", "teacher", "student")
SHOWN = (*SOURCES, "student, corrected", "gaussian inputs, solved")
"""Rows of the table, where a run has them."""

COLUMNS = {
    "pde_error_normalised": "PDE error, normalised", "self_consistency": "self-consistency",
    "energy_distance": "energy distance", "one_point_distance": "one-point distance",
    "spectrum_distance": "spectrum distance", "seconds_per_sample": "s a sample",
}  # fmt: skip
ERRORS = ("pde_error_normalised", "constraint_distance")
DISTANCES = ("mmse", "smse", "energy_distance")


def run(pde: str, seed: int, options: argparse.Namespace, home: Path) -> dict:
    command = [sys.executable, "-m", "piddm", "distill", "--pde", pde, "--json"]
    command += ["--preset", options.preset, "--seed", str(seed)]
    for change in options.changes:
        command += ["--set", change]
    environment = {**os.environ, "PIDDM_HOME": str(home)}
    if options.jobs > 1:
        environment["OMP_NUM_THREADS"] = "1"
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    seconds = time.perf_counter() - start
    return {"pde": pde, "seed": seed, "seconds": seconds, **json.loads(done.stdout)}


def judge(result: dict) -> None:
    """Print a run's scores beside its goals."""
    metrics = result["metrics"]
    truth, teacher, student = (metrics[k] for k in SOURCES)
    ratios = ", ".join(f"{k} {student[k] / teacher[k]:.3f}" for k in ERRORS)
    print(f"{result['pde']} seed {result['seed']}: {result['seconds']:.0f} s; "
          f"student / teacher: {ratios}")  # fmt: skip
    for name in SOURCES:
        values = "".join(f"  {k} {metrics[name][k]:.3e}" for k in (*ERRORS, *DISTANCES))
        print(f"    {name:<8}{values}")
    for key in DISTANCES:
        allowed = 1.5 * teacher[key] + truth[key]
        verdict = "within" if student[key] <= allowed else "BEYOND"
        print(f"    {key:<16} {student[key]:.3e} {verdict} {allowed:.3e}", flush=True)


def markdown(results: list[dict]) -> str:
    """Return a table of means and standard deviations over seeds."""
    titles = ["equation", "seeds", "source", "calls", *COLUMNS.values()]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for pde in dict.fromkeys(r["pde"] for r in results):
        runs = [r["metrics"] for r in results if r["pde"] == pde]
        for source in SHOWN:
            scores = [r.get(source) or r["baselines"].get(source) for r in runs]
            if None in scores:
                continue
            cells = [pde, str(len(runs)), source, str(scores[0]["nfe"] or "")]
            for key in COLUMNS:
                values = [s[key] for s in scores if s[key] is not None]
                spread = f" ± {statistics.stdev(values):.1g}" if len(values) > 1 else ""
                cells.append(f"{statistics.mean(values):.2g}{spread}" if values else "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="default")
    parser.add_argument("--pdes", nargs="+", default=["burgers", "darcy"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--read", nargs="+", type=Path)
    options = parser.parse_args()
    if options.read:
        found = [r for path in options.read for r in json.loads(path.read_text())["runs"]]
        order = {pde: i for i, pde in enumerate(dict.fromkeys(r["pde"] for r in found))}
        print(markdown(sorted(found, key=lambda r: (order[r["pde"]], r["seed"]))))
        return
    print(describe(), flush=True)
    results = []

    def one(task: tuple[int, str]) -> None:
        seed, pde = task
        with tempfile.TemporaryDirectory() as folder:
            home = options.home / f"{pde}-{seed}" if options.home else Path(folder)
            result = run(pde, seed, options, home)
        results.append(result)
        judge(result)

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, itertools.product(options.seeds, options.pdes)))
    results.sort(key=lambda r: (options.pdes.index(r["pde"]), r["seed"]))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"peak memory of a run {peak:.1f} GiB")
    if options.json:
        report = {"machine": describe(), "peak_gib": peak, "runs": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(results))


if __name__ == "__main__":
    main()
