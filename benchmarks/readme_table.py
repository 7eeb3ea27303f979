"""The README's table: the rows of docs/benchmark.json that it shows, printed in Markdown."""

from pathlib import Path

from piddm.bench.entries import BASELINE, OURS, TRUTH
from piddm.bench.report import COLUMNS, Bench, cell, shown
from piddm.files import read_json

SHOWN = {
    "truth": TRUTH,
    "teacher": BASELINE,
    "teacher, projected": f"{BASELINE}+projection",
    "student": OURS,
    "student, projected": f"{OURS}+projection",
}
NAMES = ("calls", "pde_error_normalised", "mmse", "smse", "energy_distance", "seconds_per_sample")


def main() -> None:
    bench = read_json(Path(__file__).parents[1] / "docs" / "benchmark.json", Bench)
    head = ["equation", "source", *(COLUMNS[n].title for n in NAMES)]
    print("| " + " | ".join(head) + " |", "|---" * len(head) + "|", sep="\n")
    for pde in bench.equations():
        for title, method in SHOWN.items():
            cells = [cell(bench.of(pde, method), n) for n in NAMES]
            print(f"| {pde} | {title} | " + " | ".join(map(shown, cells)) + " |")


if __name__ == "__main__":
    main()
