"""What a run leaves for people: figures, a self-contained page, its training as JSON lines."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import RootModel

from piddm.config import Config, resolve
from piddm.errors import PiddmError
from piddm.files import atomic_path, read_json
from piddm.metrics import Metrics, Scores
from piddm.runs import find_run
from piddm.sampling import last, noises
from piddm.symbolic.text import equation_text
from piddm.tables import floor_text, score_table

if TYPE_CHECKING:
    from piddm.engine import Distillation
    from piddm.figures.tradeoff import Point

History = list[dict[str, float | str]]

MOST_LINES = 5000
"""Lines for each stage in ``metrics.jsonl``, at most; longer histories are thinned."""

DRAWN = 3
"""Samples that are drawn for the figure, at most."""


class _History(RootModel[History]):
    pass


def write_report(distillation: Distillation) -> list[Path]:
    """Write figures, ``report.html`` and ``metrics.jsonl`` into a run's folder; return their paths.

    Raises:
        PiddmError: If the run is not evaluated, or a file cannot be written.
    """
    folder = distillation.folder
    metrics = read_json(folder / "metrics.json", Metrics)
    histories = {
        "teacher": _history(folder / "teacher.safetensors"),
        "student": _history(folder / "student.safetensors"),
    }
    histories = {stage: history for stage, history in histories.items() if history}
    lines = folder / "metrics.jsonl"
    _write_text(lines, "".join(json.dumps(row) + "\n" for row in _thinned(histories)))
    pictures = _draw(distillation, metrics, histories)
    page = folder / "report.html"
    _write_text(page, _page(distillation, metrics, pictures))
    return [lines, *pictures.values(), page]


def commands(config: Config, folder: Path) -> list[str]:
    """Return the shell commands that make a run again and draw samples from it."""
    base = _flat(resolve(config.pde, config.preset).model_dump(mode="json"))
    own = _flat(config.model_dump(mode="json"))
    words = ["piddm", "distill", "--pde", config.pde, "--preset", config.preset]
    words += ["--seed", str(config.seed)]
    for name, value in own.items():
        if name != "seed" and value != base.get(name):
            text = value if isinstance(value, str) else json.dumps(value)
            words += ["--set", f"{name}={text}"]
    return [shlex.join(words), shlex.join(["piddm", "sample", str(folder), "-n", "16"])]


def _history(model: Path) -> History:
    path = model.with_suffix(".history.json")
    return read_json(path, _History).root if path.exists() else []


def _thinned(histories: Mapping[str, History]) -> History:
    out: History = []
    for stage, history in histories.items():
        every = -(-len(history) // MOST_LINES)
        out += [{"stage": stage, **row} for row in history[::-1][::every][::-1]]
    return out


def _draw(
    distillation: Distillation, metrics: Metrics, histories: Mapping[str, History]
) -> dict[str, Path]:
    # matplotlib is slow to import, and only this needs it.
    from piddm import figures

    where = distillation.folder / "figures"
    drawn = {"samples": _sample_figure(distillation, metrics)}
    if histories:
        drawn["training"] = figures.training(histories)  # pyright: ignore
    drawn["tradeoff"] = figures.tradeoff(_points(metrics, distillation.config.pairs.steps))
    paths = {name: where / f"{name}.png" for name in drawn}
    for name, figure in drawn.items():
        figures.save(figure, paths[name])
    return paths


def _points(metrics: Metrics, steps: int) -> list[Point]:
    from piddm.figures.tradeoff import Point

    def point(source: Literal["truth", "teacher", "student"], label: str, score: Scores) -> Point:
        return Point(source, label, score.energy_distance, score.pde_error_normalised)

    curve = {t.steps: Point("teacher", t.label, t.energy_distance, t.pde_error_normalised)
             for t in metrics.tradeoff}  # fmt: skip
    curve[steps] = point("teacher", f"teacher, {metrics.teacher.nfe} calls", metrics.teacher)
    truth = point("truth", "truth (other data)", metrics.truth)
    student = point("student", "student, 1 call", metrics.student)
    return [truth, *(curve[n] for n in sorted(curve)), student]


def _sample_figure(distillation: Distillation, metrics: Metrics) -> Any:
    from piddm import figures

    packing, steps = distillation.packing, distillation.config.pairs.steps
    shape = (packing.channels, *packing.image)
    (noise,) = noises(shape, DRAWN, distillation.config.seed + 1, distillation.device)
    held_out = distillation.data[1].fields
    rows = {
        "data\nheld out": {k: v[:DRAWN] for k, v in held_out.items()},
        f"teacher\n{metrics.teacher.nfe} calls": packing.unpack(
            last(distillation.teacher.sample(noise, steps))
        ),
        "student\n1 call": packing.unpack(distillation.student(noise)),
    }
    caption = "Teacher and student start from the same noise. Data are float32, which rounds them."
    return figures.samples(
        rows, distillation.residual, distillation.scale, distillation.pde.fields, caption
    )


def _page(distillation: Distillation, metrics: Metrics, pictures: Mapping[str, Path]) -> str:
    folder, config, pde = distillation.folder, distillation.config, distillation.pde
    _, manifest = find_run(folder)
    header, rows = score_table(metrics.scores())
    settings = [[k, json.dumps(v)] for k, v in _flat(config.model_dump(mode="json")).items()]
    versions = [["made", manifest.created], *([k, v] for k, v in manifest.software.items())]
    formulas = [[name, equation_text(e)] for name, e in pde.equations.items()]
    sections = [
        f"<p>{_text(pde.summary)}</p>",
        _table(["equation", ""], formulas) if formulas else "",
        "<h2>Scores</h2>",
        _table(header, rows),
        f"<p>Floor, the normalised PDE error of the data as they were solved: "
        f"{_text(floor_text(distillation.data[0].floor))}. The truth's own scores compare one "
        "draw of data with another: no finite sample does better.</p>",
        *(_picture(name, path) for name, path in pictures.items()),
        "<h2>Make it again</h2>",
        f"<pre>{_text(chr(10).join(commands(config, folder)))}</pre>",
        "<h2>Configuration</h2>",
        _table(["setting", "value"], settings),
        "<h2>Software</h2>",
        _table(["", ""], versions),
    ]
    title = _text(f"{pde.name}, {config.preset}, seed {config.seed}")
    return _HEAD.format(title=title) + "\n".join(sections) + "\n</body></html>\n"


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>piddm: {title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 90%; }}
th, td {{ text-align: left; padding: .15rem 1.2rem .15rem 0; border-bottom: 1px solid #ddd; }}
pre {{ background: #f4f4f4; padding: .8rem; white-space: pre-wrap; }}
img {{ max-width: 100%; }} figure {{ margin: 1.5rem 0; }} figcaption {{ color: #555; }}
</style></head><body>
<h1>{title}</h1>
"""

_CAPTIONS = {
    "samples": "Fields, and the residual of each equation over its scale, in the same colours.",
    "training": "Losses by step: each value in light colour, their running mean in full colour.",
    "tradeoff": "How physical against how like the data; lower and further left is better.",
}


def _picture(name: str, path: Path) -> str:
    try:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise PiddmError(f"cannot read {path}: {error.strerror}; run it again") from error
    caption = _text(_CAPTIONS.get(name, name))
    source = f"data:image/png;base64,{data}"
    return (
        f'<figure><img alt="{caption}" src="{source}"><figcaption>{caption}</figcaption></figure>'
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{_text(c)}</{tag}>" for c in cells) + "</tr>"

    head = line(header, "th") if any(header) else ""
    return "<table>" + head + "".join(line(r, "td") for r in rows) + "</table>"


def _text(value: str) -> str:
    return html.escape(str(value))


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{name}.")
        else:
            out[prefix + name] = value
    return out


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
