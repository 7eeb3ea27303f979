"""What a correction costs and what it gains: on the samples of finished runs, or of Gaussian laws.

    python benchmarks/correction_cost.py [RUN ...] [--equations NAME ...] [--json FILE]

Each RUN is a finished run's folder or a trained model's name, whose student's samples are
corrected. ``--equations`` needs no run: data are simulated, and samples of their Gaussian law are
corrected, which are farther off than a student's; a medium that must be positive is taken from the
data. Where the default's student ends with a Newton step (:mod:`piddm.students.polish`), so do
they. In both cases the bare call is that of a student of the run's, or of the default, size. For
each move: the normalised PDE error of a sample before and after, how many converged, milliseconds a
sample in float32, to round-off in float64, and the ratio of call and correction to the bare call.
Times are the least of interleaved repetitions, on one thread. ``--without-round-off`` leaves out
the projection, which takes minutes on films over a sphere. ``--read`` prints the table of
docs/correction.md from what ``--json`` has written.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe

from piddm import get_pde, load_model, load_run
from piddm.config import resolve
from piddm.data.correcting import Corrections
from piddm.data.simulate import simulate
from piddm.residuals.norms import term_scale
from piddm.runs.model_files import build_student, build_teacher
from piddm.teachers.sampling import noises

GOAL = 1e-6
"""Normalised PDE error of a corrected sample."""


def of_run(path: Path, batch: int, seed: int) -> tuple[str, Any, Any, Any, Any]:
    """Return name, student, its noise, its samples and what corrects them."""
    run = load_run(path) if path.exists() else load_model(str(path))
    shape = (run.packing.channels, *run.packing.image)
    noise = noises(shape, batch, seed, torch.device("cpu"), batch=batch)[0]
    with torch.no_grad():
        fields = run.packing.unpack(run.student(noise))
    name = run.pde.name if path.exists() else str(path)
    return name, run.student, noise, fields, Corrections(
        run.pde, run.residual, run.packing, run.scale
    )  # fmt: skip


def of_law(name: str, batch: int, seed: int, count: int) -> tuple[str, Any, Any, Any, Any]:
    """The same for an equation of which there is no run."""
    pde, config = get_pde(name), resolve(name, "default")
    grid = config.data.grid(pde.grid)
    draw = torch.Generator().manual_seed(seed)
    parts = list(simulate(pde, grid, count, draw, chunk=64))
    data = {k: torch.cat([p[k] for p in parts]) for k in pde.field_names}
    residual = pde.bind(grid)
    scale = term_scale(residual, {k: torch.cat([p[k] for p in parts]) for k in parts[0]})
    teacher = build_teacher(config, pde, grid)
    packing = teacher.packing.fit(data)
    noise = torch.randn(batch, packing.channels, *packing.image, generator=draw)
    fields = packing.unpack(packing.colour(noise))
    for key, values in fields.items():
        if bool((data[key] > 0).all()) and bool((values <= 0).any()):
            fields[key] = data[key][:batch].float()
    student = build_student(config, teacher, pde).eval()
    if (polish := getattr(student, "polish", None)) is not None:
        polish.fit(scale)
        with torch.no_grad():
            fields = packing.unpack(polish(packing.pack(fields), packing))
    return name, student, noise, fields, Corrections(pde, residual, packing, scale)


def measured(
    about: tuple[str, Any, Any, Any, Any], move: str, repetitions: int, project: bool
) -> dict:
    """Return the row of one equation and move."""
    name, student, noise, fields, corrections = about
    batch = len(noise)
    start = time.perf_counter()
    correction = corrections.of(move, marched=True)
    own = corrections.of(None, marched=True).move == move
    setup = time.perf_counter() - start
    exact = {k: v.double() for k, v in fields.items()}
    with torch.no_grad():
        found = correction(fields)
        error = correction.error({k: v.double() for k, v in found.fields.items()})
        works = {
            "call": lambda: student(noise),
            "corrected": lambda: correction(fields),
        }
        round_off = None
        if project:
            exactly = corrections.of(None if own else move)  # as a projection does
            round_off = exactly(exact, steps=16)
            works["projected"] = lambda: exactly(exact, steps=16)
        least = dict.fromkeys(works, float("inf"))
        for _ in range(repetitions):
            for what, work in works.items():
                start = time.perf_counter()
                work()
                least[what] = min(least[what], (time.perf_counter() - start) / batch * 1e3)
    return {
        "pde": name, "move": move, "default": own,
        "setup_seconds": setup, "before": float(found.before.mean()),
        "after": float(error.mean()), "worst": float(error.max()),
        "converged": f"{int((error <= GOAL).sum())}/{batch}",
        "call_ms": least["call"], "corrected_ms": least["corrected"],
        "ratio": 1 + least["corrected"] / least["call"],
    } | ({
        "projected_ms": least["projected"], "round_off": float(round_off.error.max()),
        "projected": f"{int(round_off.converged.sum())}/{batch}",
    } if round_off else {})  # fmt: skip


def table(rows: list[dict]) -> str:
    """Return rows in Markdown."""
    head = ["samples of", "values that move", "PDE error before", "after", "good", "call, ms",
            "correction, ms", "corrected over bare call", "to round-off, ms"]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for r in rows:
        cells = [r["pde"], r["move"], f"{r['before']:.1e}", f"{r['after']:.1e}", r["converged"],
                 f"{r['call_ms']:.2f}", f"{r['corrected_ms']:.2f}", f"{r['ratio']:.2f}",
                 f"{r['projected_ms']:.1f}" if "projected_ms" in r else "-"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--equations", nargs="*", default=[])
    parser.add_argument("--moves", nargs="*", default=None, help="the equation's own if left out")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--data", type=int, default=256, help="solutions whose law is taken")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--without-round-off", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", nargs="+", type=Path)
    options = parser.parse_args()
    if options.read:
        print(table([r for path in options.read for r in json.loads(path.read_text())["rows"]]))
        return
    torch.set_num_threads(1)
    print(describe(), flush=True)
    print(f"{'equation':<20}{'move':<10}{'before':>9}{'after':>9}{'worst':>9}{'good':>7}"
          f"{'call ms':>9}{'corr ms':>9}{'ratio':>7}{'proj ms':>9}{'worst':>9}")  # fmt: skip
    rows = []
    made = [lambda p=p: of_run(p, options.batch, options.seed) for p in options.runs]
    made += [
        lambda n=n: of_law(n, options.batch, options.seed, options.data) for n in options.equations
    ]
    for make in made:
        about = make()
        for move in options.moves or [about[-1].of(None, marched=True).move]:
            row = measured(about, move, options.repetitions, not options.without_round_off)
            rows.append(row)
            mark = "*" if row["default"] else " "
            last = (f"{row['projected_ms']:>9.2f}{row['round_off']:>9.1e}"
                    if "projected_ms" in row else "")  # fmt: skip
            print(
                f"{row['pde']:<20}{row['move'] + mark:<10}{row['before']:>9.1e}{row['after']:>9.1e}"
                f"{row['worst']:>9.1e}{row['converged']:>7}{row['call_ms']:>9.2f}"
                f"{row['corrected_ms']:>9.2f}{row['ratio']:>7.2f}{last}", flush=True,
            )  # fmt: skip
    if options.json:
        report = {"machine": describe(), "rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
