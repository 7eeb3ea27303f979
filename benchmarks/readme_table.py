"""The README's table, in Markdown: the rows that it shows of a benchmark that docs/ holds.

    python benchmarks/readme_table.py [docs/benchmark_64.json] [--seeds]

Left out, it is the one on the grid of the default preset. ``--seeds`` prints the table of
docs/method.md in its place: the student against its teacher, seed by seed.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmark_page import BESIDE

from piddm.bench.entries import BASELINE, OURS, TRUTH
from piddm.bench.report import COLUMNS, Bench, cell, lined, shown
from piddm.tools.files import read_json

TITLES = ("truth", "teacher", "teacher, projected", "student", "student, projected")
NAMES = ("calls", "pde_error_normalised", "mmse", "smse", "energy_distance", "seconds_per_sample")
ERRORS = {"pde_error_normalised": "PDE error", "constraint_distance": "distance to solutions"}
DISTANCES = {"mmse": "MMSE", "smse": "SMSE", "energy_distance": "energy distance"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", nargs="?", type=Path, default=Path("docs/benchmark_64.json"))
    parser.add_argument("--seeds", action="store_true")
    options = parser.parse_args()
    bench = read_json(options.bench, Bench)
    if options.seeds:
        head = ["equation", "seed", *(f"{t}, student / teacher" for t in ERRORS.values()),
                *(f"{t} / allowed" for t in DISTANCES.values())]  # fmt: skip
        print("\n".join(lined(head, list(against_teacher(bench)))))
        return
    head = ["equation", "source", *(COLUMNS[n].title for n in NAMES)]
    rows = [
        [pde, title, *(shown(cell(bench.of(pde, method), n)) for n in NAMES)]
        for pde in bench.equations()
        for title, method in zip(TITLES, BESIDE, strict=True)
    ]
    print("\n".join(lined(head, rows)))


def against_teacher(bench: Bench) -> Iterator[list[str]]:
    """Yield the student's errors over its teacher's, and its distances over what is allowed.

    That is 1.5 times the teacher's and the floor of so few samples, the truth's own.
    """
    for pde in bench.equations():
        for seed in sorted({r.seed for r in bench.results if r.pde == pde}):
            found = {r.method: r.scores for r in bench.results if (r.pde, r.seed) == (pde, seed)}
            student, teacher, truth = (found.get(k) for k in (OURS, BASELINE, TRUTH))
            if student and teacher and truth:
                ratios = [getattr(student, n) / getattr(teacher, n) for n in ERRORS]
                ratios += [
                    getattr(student, n) / (1.5 * getattr(teacher, n) + getattr(truth, n))
                    for n in DISTANCES
                ]
                yield [pde, str(seed), *(f"{r:.2f}" for r in ratios)]


if __name__ == "__main__":
    main()
