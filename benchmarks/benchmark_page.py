"""The results page of the benchmark, from its ``bench.json``.

    piddm bench --pdes darcy,poisson,burgers --seeds 3 --set data.size=32 --jobs 2
    python benchmarks/benchmark_page.py bench/default [--also FOLDER]...

copies ``bench.json`` and the figures to docs/ and writes docs/benchmark.md; each ``--also`` adds
the tables of a smaller benchmark of another preset or grid, and its ``bench.json`` by the name of
its folder. What the page concludes of single methods is computed from the numbers;
docs/benchmark_notes.md, written by hand, stands above: the commands that made them, and what they
say in plain words.
"""

import argparse
import shutil
from pathlib import Path

from benchmark_words import said

from piddm.bench import collecting
from piddm.bench.entries import BASELINE, OURS, TRUTH
from piddm.bench.report import Bench, is_swept, lined, markdown, table
from piddm.metrics.fronts import ROUND_OFF

DOCS = Path(__file__).parents[1] / "docs"
BESIDE = (TRUTH, BASELINE, f"{BASELINE}+projection", OURS, f"{OURS}+projection")
"""What stands beside competitors that have fewer seeds."""


def page(bench: Bench, figures: list[str], notes: str) -> str:
    """Return the page."""
    config = bench.config
    seeds = ", ".join(
        f"{p} {len({r.seed for r in bench.results if r.pde == p})}" for p in bench.equations()
    )
    words = [
        "# The benchmark",
        "",
        "Every method on the same data, network, residual and budget: networks trained beside the",
        "teacher begin at its weights and get the student's optimiser, batch and steps. Methods "
        "are plugins",
        "([`piddm_baselines`](../plugins/piddm_baselines), a file each, with its paper and what "
        "differs from it).",
        "",
        f"Preset `{config.preset}` on {config.data.size} nodes a side, {config.data.train} "
        f"training samples, teacher of {config.teacher.steps} steps, students of "
        f"{config.student.steps}, "
        f"{config.evaluation.count} samples scored against {config.data.held_out} held-out ones, "
        f"seeds: {seeds}. {described(bench)} It took {bench.seconds / 3600:.1f} h of "
        "wall-clock.",
        "",
        "`truth` is one draw of data against another: the floor of every distance for so few "
        f"samples. PDE errors below {ROUND_OFF:.0e} are the rounding of float32. Calls are "
        "counted where they "
        "happen, a backward pass as one; *own training* is on top of the teacher, *end to end* is "
        "teacher, pairs and own training together, data left out (all have the same). Means over "
        "seeds ± standard errors; **best** and *second best* only where the difference to the next "
        "exceeds its error. The columns, defined: [vocabulary.md](vocabulary.md).",
        "",
        notes.strip(),
        "",
        *(f"![{Path(f).stem}]({f})" for f in figures),
        "",
        "## Conclusions",
        "",
    ]
    words += said(bench)
    failed = sorted({(r.method, r.pde, r.status, r.reason) for r in bench.results
                     if r.status != "ok" and "/" not in r.method})  # fmt: skip
    if failed:
        words += ["Failed or refused:", ""]
        words += [f"- `{m}` on {pde}: {status}, {reason}" for m, pde, status, reason in failed]
        words.append("")
    return "\n".join([*words, "## Tables", "", markdown(bench), "", *few_seeds(bench)])


def beside(bench: Bench, folder: Path, name: str) -> str:
    """Return the part of a benchmark of another preset or grid; of one seed it says nothing."""
    names, config = ", ".join(bench.equations()), bench.config
    lines = [f"## {names}: preset `{config.preset}`, {config.data.size} nodes a side", "",
             described(bench), ""]  # fmt: skip
    if len({r.seed for r in bench.results}) > 1:
        if figure := figure_of(folder, "pareto", name):
            lines += [f"![{Path(figure).stem}]({figure})", ""]
        lines += said(bench)
    return "\n".join([*lines, markdown(bench), "", *few_seeds(bench)])


def figure_of(folder: Path, picture: str, name: str) -> str | None:
    """Copy a benchmark's figure to docs/; return its name there, nothing where it has none."""
    if not (source := folder / f"{picture}.png").exists():
        return None
    shutil.copyfile(source, DOCS / f"{name}_{picture}.png")
    return f"{name}_{picture}.png"


def few_seeds(bench: Bench) -> list[str]:
    """Return tables of what was run on fewer seeds than others, beside these on the same seeds."""
    lines = []
    for pde in bench.equations():
        few = [m for m in bench.methods(pde) if m not in bench.complete(pde) and not is_swept(m)
               and any(r.status == "ok" for r in bench.of(pde, m))]  # fmt: skip
        if not few:
            continue
        own = [m for m in (*BESIDE, *few) if m in bench.methods(pde)]
        part = bench.common(pde, own)
        seeds = sorted({r.seed for r in part.results})
        told = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
        lines += [f"### {pde}, on {told} only", "", *lined(*table(part, pde, own)), ""]
    return lines


def described(bench: Bench) -> str:
    """Return the machine in a sentence."""
    m = bench.machine
    return (
        f"{m.get('processors')} processors, {m.get('machine')}, no GPU; "
        f"python {m.get('python')}, torch {m.get('torch')}, piddm {m.get('piddm')}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--also", type=Path, action="append", default=[])
    parser.add_argument("--name", default="benchmark")
    options = parser.parse_args()
    bench = collecting.read(options.folder)
    shutil.copyfile(options.folder / collecting.FILE, DOCS / f"{options.name}.json")
    found = (figure_of(options.folder, p, options.name) for p in ("pareto", "ablations"))
    figures = [f for f in found if f]
    text = page(bench, figures, (DOCS / f"{options.name}_notes.md").read_text(encoding="utf-8"))
    for folder in options.also:
        other = collecting.read(folder)
        shutil.copyfile(folder / collecting.FILE, DOCS / f"{options.name}_{folder.name}.json")
        text += "\n" + beside(other, folder, f"{options.name}_{folder.name}")
    (DOCS / f"{options.name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
