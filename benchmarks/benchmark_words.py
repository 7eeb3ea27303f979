"""What the numbers of a benchmark say of single methods, in sentences."""

from collections.abc import Iterator

from piddm.bench.entries import BASELINE, OURS, PLAIN, TRUTH, parse
from piddm.bench.report import Bench, Cell, cell, is_swept, number, shown
from piddm.metrics.fronts import ROUND_OFF, pareto_front
from piddm.plugins import current

CHEAPER = 20
"""How much cheaper than a rival on the front one call should be."""

SOLVED = f"{PLAIN}+solved"
"""The simplest that could do: inputs drawn from their Gaussian law, and the equation solved."""

NEARNESS = {
    "energy_distance": "energy distance", "one_point_distance": "one-point distance",
    "spectrum_distance": "spectrum distance",
}  # fmt: skip
"""Distances from the data, by the names of their columns."""

ROUNDED = 1e-5
"""What is below this was solved for, in float32 or float64; no ratio to it says anything."""

NAMED = 4
"""How many of the nearest a sentence names."""


def said(bench: Bench) -> list[str]:
    """Return what the numbers say of every equation."""
    lines = []
    for pde in bench.equations():
        lines += [f"**{pde}**", "", *conclusions(bench, pde), *over_draws(bench, pde), ""]
    return lines


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
    yield f"- On the front: {coded(on_front(found))}."
    yield from nearest(bench, pde, list(found))
    made = bench.config.student.name
    yield from places(found, made)
    yield from compared(bench, pde, made)
    yield from parts_of_the_paper(found)


def nearest(bench: Bench, pde: str, methods: list[str]) -> Iterator[str]:
    """Yield who is nearest to the data, by each distance, beside the data themselves."""
    for column, title in NEARNESS.items():
        cells = {m: c for m in methods if (c := cell(bench.of(pde, m), column)) is not None}
        order = sorted(cells, key=lambda m: cells[m].mean)[:NAMED]
        if floor := cell(bench.of(pde, TRUTH), column):
            told = ", ".join(f"`{m}` {shown(cells[m])}" for m in order)
            yield f"- Nearest by the {title}: {told} (`{TRUTH}` {shown(floor)})."


def places(found: dict[str, dict[str, Cell]], made: str) -> Iterator[str]:
    """Yield where the students stand, and what a rival on the front costs."""
    front = on_front(found)
    for label in (made, f"{made}+correction", f"{made}+projection", OURS, f"{OURS}+projection"):
        if label in found:
            yield f"- `{label}` is {placed(found, label, front)}{beaten_by(found, label)}."
    entries = {m: parse(m, current()) for m in found}
    own = (made, OURS, PLAIN, BASELINE)
    rivals = [m for m in found if entries[m].kind != "student" and entries[m].name not in own]
    for rival in on_front({m: found[m] for m in rivals}):
        if made not in found or found[rival]["calls"].mean <= 1:
            continue
        ratio = found[rival]["seconds_per_sample"].mean / found[made]["seconds_per_sample"].mean
        verdict = "" if ratio >= CHEAPER else f": **less than the {CHEAPER} aimed at**"
        yield (
            f"- Among the rivals none is better than `{rival}` in both errors; a sample costs "
            f"{number(ratio)} times that of `{made}`, "
            f"{number(found[rival]['calls'].mean)} calls{verdict}."
        )


def compared(bench: Bench, pde: str, made: str) -> Iterator[str]:
    """Yield the default's student over the teacher, the paper's student and the simplest."""
    columns = {"pde_error_normalised": "PDE error", "self_consistency": "self-consistency"}
    for label, other in (
        (made, BASELINE),
        (made, OURS),
        (f"{made}+correction", f"{BASELINE}+projection"),
        (f"{made}+correction", SOLVED),
    ):
        both = bench.of(pde, label), bench.of(pde, other)
        told = []
        for column, title in (columns | NEARNESS).items():
            one, two = (cell(results, column) for results in both)
            if one and two and two.mean > ROUNDED:
                told.append(f"{number(one.mean / two.mean)} of its {title}")
        if told:
            yield f"- Against `{other}`, `{label}` has {', '.join(told)}."


def parts_of_the_paper(found: dict[str, dict[str, Cell]]) -> Iterator[str]:
    """Yield what each term of the paper's student is worth."""
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
                f"- {what}, `{OURS}` has {error:.2f} of the PDE error of {name} and "
                f"{distance:.2f} of its energy distance."
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
