"""The main job, measured: time, memory and quality of whole runs, each in a process of its own.

    python benchmarks/default_runs.py [--preset default] [--pdes burgers darcy] [--seeds 0 1 2]
                                      [--set a.b=c ...] [--home DIR] [--json FILE]

Every run starts from nothing (its own PIDDM_HOME), so that the time counts simulation, training,
pairs, distillation and evaluation. The last columns are the goals: the student's errors over the
teacher's, and how much further from the data it is than 1.5 times the teacher plus the truth's
floor allows.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

DISTANCES = ("mmse", "smse", "energy_distance")


def run(pde: str, seed: int, preset: str, changes: list[str], home: Path) -> dict:
    command = [sys.executable, "-m", "piddm.cli", "distill", "--pde", pde, "--preset", preset,
               "--seed", str(seed), "--json"]  # fmt: skip
    for change in changes:
        command += ["--set", change]
    start = time.perf_counter()
    environment = {**os.environ, "PIDDM_HOME": str(home)}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return {"pde": pde, "seed": seed, "seconds": seconds, "memory_gib": memory,
            **json.loads(done.stdout)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="default")
    parser.add_argument("--pdes", nargs="+", default=["burgers", "darcy"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--home", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(describe(), flush=True)
    results = []
    for pde in options.pdes:
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as folder:
                home = options.home / f"{pde}-{seed}" if options.home else Path(folder)
                result = run(pde, seed, options.preset, options.changes, home)
            results.append(result)
            metrics = result["metrics"]
            truth, teacher, student = (metrics[k] for k in ("truth", "teacher", "student"))
            error = student["pde_error_normalised"] / teacher["pde_error_normalised"]
            distance = student["constraint_distance"] / teacher["constraint_distance"]
            print(f"{pde} seed {seed}: {result['seconds']:.0f} s, "
                  f"peak {result['memory_gib']:.1f} GiB; student / teacher: "
                  f"PDE error {error:.3f}, distance {distance:.3f}", flush=True)  # fmt: skip
            for name, values in (("truth", truth), ("teacher", teacher), ("student", student)):
                print(f"    {name:<8}" + "".join(
                    f" {k} {values[k]:.3e}" for k in
                    ("pde_error_normalised", "constraint_distance", *DISTANCES)))  # fmt: skip
            for key in DISTANCES:
                allowed = 1.5 * teacher[key] + truth[key]
                verdict = "within" if student[key] <= allowed else "BEYOND"
                print(f"    {key:<16} {student[key]:.3e} {verdict} {allowed:.3e}", flush=True)
    if options.json:
        report = {"machine": describe(), "runs": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
