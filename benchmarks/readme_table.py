"""The README's table, in Markdown: the rows that it shows of a benchmark that docs/ holds.

python benchmarks/readme_table.py [docs/benchmark_64.json]
"""

import argparse
from pathlib import Path

from benchmark_page import BESIDE

from piddm.bench.report import COLUMNS, Bench, cell, lined, shown
from piddm.files import read_json

TITLES = ("truth", "teacher", "teacher, projected", "student", "student, projected")
NAMES = ("calls", "pde_error_normalised", "mmse", "smse", "energy_distance", "seconds_per_sample")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", nargs="?", type=Path, default=Path("docs/benchmark_64.json"))
    bench = read_json(parser.parse_args().bench, Bench)
    head = ["equation", "source", *(COLUMNS[n].title for n in NAMES)]
    rows = [
        [pde, title, *(shown(cell(bench.of(pde, method), n)) for n in NAMES)]
        for pde in bench.equations()
        for title, method in zip(TITLES, BESIDE, strict=True)
    ]
    print("\n".join(lined(head, rows)))


if __name__ == "__main__":
    main()
