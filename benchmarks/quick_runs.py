"""The smallest preset on every equation that is registered: what a first try gives, and its time.

    python benchmarks/quick_runs.py [--pdes burgers darcy] [--again] [--home DIR]
        [--json docs/quick_runs.json] [--markdown docs/quick_runs.md]

One process at a time, each an ordinary ``piddm distill --pde NAME --preset quick``. Equations whose
results are in the JSON file already are left as they are, unless ``--again``. The table is written
from the JSON file, so that ``--pdes`` with no names only writes it anew.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe

from piddm import list_pdes

DOCS = Path(__file__).parent.parent / "docs"
SOURCES = ("truth", "teacher", "student")
KEYS = {
    "pde_error_normalised": "PDE error, normalised",
    "constraint_distance": "distance to solutions",
    "mmse": "MMSE",
    "smse": "SMSE",
    "energy_distance": "energy distance",
}
STAGES = {"simulate": "simulate", "train": "teacher", "distill": "student", "evaluate": "evaluate"}

INTRODUCTION = """# Every equation, quickly

`piddm distill --pde NAME --preset quick`, seed 0: 128 samples on 32 nodes a side (and 16 times,
where there are two axes of space beside it), 120 steps of a small teacher, 120 of a student. It
shows that an equation works from end to end, and the cost of that; the quality of the method is in
[method.md](method.md). Written by `python benchmarks/quick_runs.py`; the machine of each run is in
`quick_runs.json`. Seconds are wall-clock times, on a machine with other work to do. The students
precede the energy score, which lowers the energy distance on Burgers from 0.101 to 0.087.

A PDE error means nothing by itself, since a generator of one smooth field has a small one. It
stands beside the distances from held-out data, and beside those of a second draw of data (truth),
which show the resolution of so few samples. Calls are network calls for one sample.
"""


def run(pde: str, home: Path) -> dict:
    command = [sys.executable, "-m", "piddm", "distill", "--pde", pde, "--preset", "quick"]
    environment = {**os.environ, "PIDDM_HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True)
    if done.returncode:
        return {"pde": pde, "machine": describe(), "error": done.stderr.strip().splitlines()[-1]}
    found = json.loads(done.stdout)
    manifest = json.loads((Path(found["run"]) / "manifest.json").read_text())
    metrics = {s: {k: found["metrics"][s][k] for k in (*KEYS, "nfe")} for s in SOURCES}
    return {
        "pde": pde,
        "machine": describe(),
        "stages": {k: round(v, 1) for k, v in manifest["seconds"].items()},
        "metrics": metrics,
    }


def markdown(results: list[dict]) -> str:
    lines = [INTRODUCTION, "| equation | source | calls | " + " | ".join(KEYS.values()) + " |"]
    lines.append("|---" * (3 + len(KEYS)) + "|")
    for result in results:
        if "error" in result:
            lines.append(f"| {result['pde']} | {result['error']} " + "| " * (2 + len(KEYS)))
            continue
        for source in SOURCES:
            scores = result["metrics"][source]
            cells = " | ".join(f"{scores[k]:.1e}" for k in KEYS)
            lines.append(f"| {result['pde']} | {source} | {scores['nfe'] or ''} | {cells} |")
    lines += ["", "Seconds, by stage, with one thread:", ""]
    lines.append("| equation | " + " | ".join(STAGES.values()) + " | all |")
    lines.append("|---" * (2 + len(STAGES)) + "|")
    for result in (r for r in results if "stages" in r):
        spent = " | ".join(f"{result['stages'].get(k, 0):.0f}" for k in STAGES)
        lines.append(f"| {result['pde']} | {spent} | {sum(result['stages'].values()):.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pdes", nargs="*", default=[entry.name for entry in list_pdes()])
    parser.add_argument("--again", action="store_true", help="also what is in the JSON file")
    parser.add_argument("--home", type=Path, help="PIDDM_HOME of the runs; else a temporary one")
    parser.add_argument("--json", type=Path, default=DOCS / "quick_runs.json")
    parser.add_argument("--markdown", type=Path, default=DOCS / "quick_runs.md")
    options = parser.parse_args()
    print(describe(), flush=True)
    known: dict[str, dict] = {}
    if options.json.exists():
        known = {r["pde"]: r for r in json.loads(options.json.read_text())["runs"]}
    for pde in options.pdes:
        if "metrics" in known.get(pde, {}) and not options.again:
            continue
        with tempfile.TemporaryDirectory() as folder:
            known[pde] = run(pde, options.home or Path(folder))
        done = known[pde]
        spent = sum(done.get("stages", {}).values())
        print(f"{pde}: {done.get('error') or f'{spent:.0f} s'}", flush=True)
        results = [known[name] for name in sorted(known)]
        options.json.write_text(json.dumps({"runs": results}, indent=1) + "\n")
    if known:
        options.markdown.write_text(markdown([known[name] for name in sorted(known)]))


if __name__ == "__main__":
    main()
