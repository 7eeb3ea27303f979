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
from collections.abc import Iterator
from pathlib import Path

from piddm.bench import collecting
from piddm.bench.entries import BASELINE, OURS, TRUTH, parse
from piddm.bench.report import Bench, Cell, cell, is_swept, lined, markdown, number, shown, table
from piddm.metrics.fronts import ROUND_OFF, pareto_front
from piddm.plugins import current

DOCS = Path(__file__).parents[1] / "docs"
BESIDE = (TRUTH, BASELINE, f"{BASELINE}+projection", OURS, f"{OURS}+projection")
"""What stands beside competitors that have fewer seeds."""

CHEAPER = 20
"""How much cheaper than a rival on the front one call should be."""


def competitors(bench: Bench, pde: str) -> dict[str, dict[str, Cell]]:
    """Return what has scores and is no sweep, by label: the columns that the page speaks of."""
    methods = [m for m in bench.complete(pde) if m != TRUTH and not is_swept(m) and "/" not in m]
    return spoken_of(bench, pde, methods)


def spoken_of(bench: Bench, pde: str, methods: list[str]) -> dict[str, dict[str, Cell]]:
    """Return the cells of the columns that the page speaks of, of those who have them all."""
    names = ("pde_error_normalised", "energy_distance", "calls", "seconds_per_sample")
    cells = {m: {n: cell(bench.of(pde, m), n) for n in names} for m in methods}
    return {
        m: whole
        for m, own in cells.items()
        if len(whole := {n: c for n, c in own.items() if c is not None}) == len(names)
    }


def on_front(found: dict[str, dict[str, Cell]]) -> list[str]:
    """Return the labels that no other beats in both; of round-off none has less."""
    points = [
        (max(c["pde_error_normalised"].mean, ROUND_OFF), c["energy_distance"].mean)
        for c in found.values()
    ]
    return [list(found)[i] for i in pareto_front(points)]


def within(found: dict[str, dict[str, Cell]], label: str, front: list[str]) -> bool:
    """Return whether a label is on the front or beaten only within the standard errors."""
    if label in front:
        return True
    own = found[label]
    for other in front:
        theirs = found[other]
        behind = [
            max(own[n].mean, ROUND_OFF) - max(theirs[n].mean, ROUND_OFF)
            > ((own[n].error or 0) ** 2 + (theirs[n].error or 0) ** 2) ** 0.5
            for n in ("pde_error_normalised", "energy_distance")
        ]
        # Of two at round-off neither is behind in that.
        if all(behind) or (behind[1] and theirs["pde_error_normalised"].mean < ROUND_OFF):
            return False
    return True


def placed(found: dict[str, dict[str, Cell]], label: str, front: list[str]) -> str:
    """Say where a label is."""
    if label in front:
        return "on the front"
    if within(found, label, front):
        return "off the front, though by less than the standard errors"
    return "**not on the front**"


def conclusions(bench: Bench, pde: str) -> Iterator[str]:
    """Yield what the numbers say of one equation."""
    found = competitors(bench, pde)
    front = on_front(found)
    yield f"- On the front: {coded(front)}."
    for label in (OURS, f"{OURS}+refine=10", f"{OURS}+projection"):
        if label not in found:
            continue
        yield f"- `{label}` is {placed(found, label, front)}{beaten_by(found, label)}."
    entries = {m: parse(m, current()) for m in found}
    rivals = {
        m: c for m, c in found.items() if entries[m].kind != "student" or entries[m].name == OURS
    }
    if len(rivals) < len(found):
        yield f"- Without the other students, on the front: {coded(on_front(rivals))}."
    one_call = [m for m, c in found.items() if c["calls"].mean <= 1]
    if ended := [m for m in one_call if found[m]["pde_error_normalised"].mean <= ROUND_OFF]:
        best = min(ended, key=lambda m: found[m]["energy_distance"].mean)
        yield (
            f"- Of the methods that take one call and end at round-off `{best}` is the nearest to "
            f"the data: {placed(found, best, front)}."
        )
    ours = found.get(OURS)
    if ours is None:
        return
    own = ours["seconds_per_sample"].mean
    for rival in on_front(rivals):
        if entries[rival].name == OURS or found[rival]["calls"].mean <= 1:
            continue
        ratio = found[rival]["seconds_per_sample"].mean / own
        calls = found[rival]["calls"].mean
        verdict = "" if ratio >= CHEAPER else f": **less than the {CHEAPER} aimed at**"
        yield (
            f"- A sample of `{rival}` costs {number(ratio)} times that of `{OURS}`, "
            f"{number(calls)} calls{verdict}."
        )
    base = found.get(BASELINE)
    if base is not None:
        ratios = {
            n: ours[n].mean / base[n].mean for n in ("pde_error_normalised", "energy_distance")
        }
        yield (
            f"- Against the teacher, `{OURS}` has {ratios['pde_error_normalised']:.2f} of its PDE "
            f"error and {ratios['energy_distance']:.2f} of its energy distance, in one call for "
            f"{number(base['calls'].mean)}."
        )
    pairs = {
        "With the physics term": (OURS, f"{OURS}:physics_weight=0", "distillation only"),
        "With refinement": (f"{OURS}+refine=10", OURS, "the student"),
        "With the energy score": (OURS, f"{OURS}:energy_weight=0", "Eq. 8 only"),
    }
    for what, (one, other, name) in pairs.items():
        if one in found and other in found:
            error, distance = (
                found[one][n].mean / found[other][n].mean
                for n in ("pde_error_normalised", "energy_distance")
            )
            yield (
                f"- {what}: {error:.2f} of the PDE error of {name}, {distance:.2f} of its energy "
                "distance."
            )


def over_draws(bench: Bench, pde: str) -> Iterator[str]:
    """Yield what is left of the distances when each is a mean over several draws of noise."""
    drawn = [m for m in bench.methods(pde) if "+draws=" in m]
    found = spoken_of(bench.common(pde, drawn), pde, drawn)
    if found:
        told = ", ".join(
            f"`{m}` {shown(c['energy_distance'])}"
            for m, c in sorted(found.items(), key=lambda kept: kept[1]["energy_distance"].mean)
        )
        front = on_front(found)
        near = [m for m in found if m not in front and within(found, m, front)]
        off = f"; off it by less than the standard errors: {coded(near)}" if near else ""
        yield (
            f"- Energy distance as a mean over draws of noise: {told}. On their front: "
            f"{coded(front)}{off}."
        )


def coded(labels: list[str]) -> str:
    return ", ".join(f"`{m}`" for m in labels)


def beaten_by(found: dict[str, dict[str, Cell]], label: str) -> str:
    """Name what is better in both errors, cheapest first."""
    own = found[label]
    better = [
        m for m, c in found.items()
        if c["energy_distance"].mean < own["energy_distance"].mean
        and max(c["pde_error_normalised"].mean, ROUND_OFF)
        <= max(own["pde_error_normalised"].mean, ROUND_OFF) and m != label
    ]  # fmt: skip
    better.sort(key=lambda m: found[m]["calls"].mean)
    return f"; better in both: {coded(better)}" if better else ""


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


def said(bench: Bench) -> list[str]:
    """Return what the numbers say of every equation."""
    lines = []
    for pde in bench.equations():
        lines += [f"**{pde}**", "", *conclusions(bench, pde), *over_draws(bench, pde), ""]
    return lines


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
