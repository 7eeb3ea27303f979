"""Error over time of every solver, from what ``benchmarks/answers.py`` measured.

    python benchmarks/answers_time.py [--json docs/answers.json] [--out docs/answers_time.png]
        [--case sparse]

A panel a run; a line joins the efforts of one solver. All points of a panel are means over the same
truths, those that every one of them has: what has fewer than half of the most is left out. Bars are
standard errors over truths, which all solvers share: differences are surer than they look.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path

from answers import EFFORTS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from piddm.figures import style
from piddm.figures.error_curves import MARKERS

Points = dict[tuple[str, str], dict[str, tuple[float, float]]]
"""By solver and effort: seconds and error by truth."""

COLOURS = dict(
    zip(
        EFFORTS,
        (style.BLUE, style.VERMILLION, "#56B4E9", "#CC79A7", style.INK, style.GREEN, "#E69F00"),
        strict=True,
    )
)

EXACT = 1e-4
"""Error below which a solver has found the truth: there is nothing to compare."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("docs/answers.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/answers_time.png"))
    parser.add_argument("--case", default="sparse")
    options = parser.parse_args()
    runs: dict[str, Points] = defaultdict(lambda: defaultdict(dict))
    for text, found in json.loads(options.json.read_text())["answers"].items():
        run, case, solver, effort, seed = text.split("|")
        if case == options.case and "refused" not in found:
            error = max(found["relative_l2"].values())
            runs[run][solver, effort][seed] = found["seconds"], max(error, EXACT)
    if not runs:
        parser.error(f"{options.json} has no answers of the case {options.case}")
    figure, places = panels(len(runs), across=4, height=3.9)
    for axes, (run, points) in zip(places, runs.items(), strict=True):
        panel(axes, run, points)
    style.save(figure, options.out)


def panels(
    count: int, across: int, height: float, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many panels, so many in a row at most, with or without common axes."""
    across = min(across, count)
    down = -(-count // across)
    figure = Figure(figsize=(3.6 * across, height * down), layout="constrained")
    places = list(figure.subplots(down, across, squeeze=False, sharex=share, sharey=share).flat)
    for axes in places[count:]:
        axes.remove()
    return figure, places[:count]


def panel(axes: Axes, run: str, points: Points) -> None:
    most = max(map(len, points.values()))
    shown = {key: of for key, of in points.items() if 2 * len(of) >= most}
    truths = set.intersection(*(set(of) for of in shown.values()))
    if len(truths) < 2:
        shown = {}  # no mean has an error
    for place, solver in enumerate(EFFORTS):
        own = [e for e in EFFORTS[solver] if (solver, e) in shown]
        lines = [[e for e in own if e != "projected"], [e for e in own if e == "projected"]]
        for efforts in filter(None, lines):
            seconds, errors, bars = [], [], []
            for effort in efforts:
                every = [shown[solver, effort][t] for t in truths]
                seconds.append(statistics.fmean(s for s, _ in every))
                errors.append(100 * statistics.fmean(e for _, e in every))
                bars.append(100 * statistics.stdev(e for _, e in every) / len(every) ** 0.5)
            ended = efforts == ["projected"]
            axes.errorbar(
                seconds, errors, bars, color=COLOURS[solver], ecolor=style.GREY,
                marker=MARKERS[place], markersize=4.5, linewidth=1, elinewidth=0.4,
                fillstyle="none" if ended else "full",
                label=f"{solver}, projected" if ended else solver,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(
        f"{run}\n{len(truths)} truths", fontsize=style.NORMAL, color=style.INK, loc="left"
    )
    axes.set_xlabel("seconds, all members of one truth", fontsize=style.SMALL, color=style.INK)
    axes.set_ylabel("relative L2 of the mean, %", fontsize=style.SMALL, color=style.INK)
    style.plain(axes)
    style.readable_logarithm(axes, "x")
    style.readable_logarithm(axes, "y")
    axes.legend(fontsize=6.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16),
                ncols=3, handletextpad=0.3, columnspacing=0.8)  # fmt: skip


if __name__ == "__main__":
    main()
