"""Rank histograms of every solver's members, from what ``benchmarks/answers.py`` measured.

    python benchmarks/answers_ranks.py [--json docs/answers.json] [--out docs/answers_ranks.png]
        [--cases "sparse" "noise 5 %"] [--truths 10]

A panel a run and case; a line is one solver with one effort, the mean over its truths and fields.
Flat at 1 is calibrated; high at both ends are members that agree too much, high in the middle are
members that agree too little. Solvers with fewer than ``--truths`` are left out.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from answers import EFFORTS
from answers_time import COLOURS, panels
from matplotlib.axes import Axes

from piddm.figures import style
from piddm.figures.reliability import density

LINES = {"least": ":", "middle": "-.", "default": "-", "projected": "--"}

Panel = dict[tuple[str, str], list[np.ndarray]]
"""By solver and effort: the bars of each truth and field."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("docs/answers.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/answers_ranks.png"))
    parser.add_argument("--cases", nargs="+", default=["sparse", "noise 5 %"])
    parser.add_argument("--truths", type=int, default=10)
    options = parser.parse_args()
    found: dict[tuple[str, str], Panel] = defaultdict(lambda: defaultdict(list))
    for text, answer in json.loads(options.json.read_text())["answers"].items():
        run, case, solver, effort, _ = text.split("|")
        if case in options.cases and effort in LINES and "ranks" in answer:
            bars = [density(counts)[0] for counts in answer["ranks"].values() if sum(counts)]
            found[case, run][solver, effort].append(np.mean(bars, 0))
    if not found:
        parser.error(f"{options.json} has no ranks of the cases {options.cases}")
    # Runs of one grid and case beside each other.
    order = sorted(found, key=lambda p: (p[1].partition(" ")[2], options.cases.index(p[0]), p[1]))
    figure, places = panels(len(order), across=3, height=2.9, share=True)
    for axes, (case, run) in zip(places, order, strict=True):
        panel(axes, found[case, run], options.truths)
        axes.set_title(f"{run}\n{case}", fontsize=style.NORMAL, color=style.INK, loc="left")
    figure.supylabel("density of ranks", fontsize=style.SMALL, color=style.INK)
    figure.supxlabel("rank of the truth among the members", fontsize=style.SMALL, color=style.INK)
    lines = {line.get_label(): line for axes in places for line in axes.get_lines()}
    lines.pop("_even", None)
    figure.legend(lines.values(), lines.keys(), fontsize=7, frameon=False, ncols=8,
                  loc="outside lower center")  # fmt: skip
    style.save(figure, options.out)


def panel(axes: Axes, solvers: Panel, least: int) -> None:
    axes.axhline(1, color=style.GREY, linewidth=0.8, label="_even")
    for solver, efforts in EFFORTS.items():
        for effort in efforts:
            every = solvers.get((solver, effort), [])
            if len(every) < least:
                continue
            mean = np.mean(every, 0)
            title = solver if effort == "default" else f"{solver}, {effort}"
            places = (np.arange(len(mean)) + 0.5) / len(mean)
            axes.plot(places, mean, LINES[effort], color=COLOURS[solver], linewidth=1.3,
                      label=title)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 2.6))
    style.plain(axes)


if __name__ == "__main__":
    main()
