"""Backbones and students of several calls side by side: ``python benchmarks/backbones.py``.

    [--pdes darcy burgers] [--size 32] [--train 1024] [--steps 300] [--seed 0] [--home DIR]

The U-Net and the Fourier neural operator as teachers, each with a student of one call, and the
U-Net with a student of four: the same data, the same number of steps for all, one process. Prints a
table in Markdown for each equation. Runs are kept in ``--home``, else thrown away; interrupted with
a home, the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

from machine import describe

from piddm.api import prepare
from piddm.bench.marks import seconds_of
from piddm.metrics.scores import Scores
from piddm.tools.progress import follow

FNO: dict[str, Any] = {
    "network.name": "fno",
    "network.widths": [32],
    "network.depth": 4,
    "network.fold": 2,
}
FEW: dict[str, Any] = {"student.name": "few-step", "student.settings.calls": 4}
VARIANTS: dict[str, dict[str, Any]] = {"U-Net": {}, "U-Net, 4 calls": FEW, "FNO": FNO}
"""What is set for each; the first two have one teacher."""

COLUMNS = {
    "PDE error": "pde_error_normalised",
    "distance to solutions": "constraint_distance",
    "energy distance": "energy_distance",
    "one-point distance": "one_point_distance",
    "spectrum distance": "spectrum_distance",
}
"""Measures of the table, by what they are called."""


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pdes", nargs="+", default=["darcy", "burgers"])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--train", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PIDDM_HOME"] = options.home or scratch
        print(describe())
        for pde in options.pdes:
            table(pde, options)


def table(pde: str, options: argparse.Namespace) -> None:
    """Print an equation's table."""
    plain = {
        "data.size": options.size, "data.train": options.train, "student.name": "one-step",
        "teacher.steps": options.steps, "student.steps": options.steps,
    }  # fmt: skip
    rows: dict[str, tuple[Scores, str, str]] = {}
    for name, own in VARIANTS.items():
        run = prepare(pde, "default", overrides=plain | own, seed=options.seed)
        follow(run.run(), quiet=False)
        scores, backbone = run.scores(), name.partition(",")[0]
        weights = f"{sum(p.numel() for p in run.student.parameters()) / 1e6:.2f} M"
        rows["data"] = scores["truth"], "", ""
        for kind, path in (
            ("teacher", run.teacher_path), ("student", run.folder / "student.safetensors"),
        ):  # fmt: skip
            seconds = seconds_of(path, kind)
            spent = "" if seconds is None else f"{seconds:.0f}"
            label = f"{backbone}, {kind}, {scores[kind].nfe} calls".replace(" 1 calls", " 1 call")
            rows[label] = scores[kind], weights, spent
    print(f"\n{pde}, {options.size} nodes an axis, {options.train} data, {options.steps} steps\n")
    print("| |", " | ".join(("weights", "seconds of training", "ms a sample", *COLUMNS)), "|")
    print("|---" * (len(COLUMNS) + 4) + "|")
    for label, (found, weights, spent) in rows.items():
        each = found.seconds_per_sample
        cells = [weights, spent, "" if each is None else f"{1e3 * each:.2f}"]
        cells += [f"{value:.2g}" if (value := found.value(key)) is not None else ""
                  for key in COLUMNS.values()]  # fmt: skip
        print(f"| {label} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
