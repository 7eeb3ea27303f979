"""The README's table: the rows of docs/benchmark.json that it shows, printed in Markdown."""

from pathlib import Path

from benchmark_page import BESIDE

from piddm.bench.report import COLUMNS, Bench, cell, lined, shown
from piddm.files import read_json

TITLES = ("truth", "teacher", "teacher, projected", "student", "student, projected")
NAMES = ("calls", "pde_error_normalised", "mmse", "smse", "energy_distance", "seconds_per_sample")


def main() -> None:
    bench = read_json(Path(__file__).parents[1] / "docs" / "benchmark.json", Bench)
    head = ["equation", "source", *(COLUMNS[n].title for n in NAMES)]
    rows = [
        [pde, title, *(shown(cell(bench.of(pde, method), n)) for n in NAMES)]
        for pde in bench.equations()
        for title, method in zip(TITLES, BESIDE, strict=True)
    ]
    print("\n".join(lined(head, rows)))


if __name__ == "__main__":
    main()
