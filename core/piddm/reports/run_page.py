"""The report of a run: figures, a self-contained page, its training as JSON lines."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from piddm.config import Config, resolve
from piddm.metrics.scores import Metrics, Scores, in_calls
from piddm.reports.break_even import answers_even, break_even, price_of, unmeasured
from piddm.reports.judgement import judgement
from piddm.reports.tables import floor_text, labels, score_table
from piddm.reports.terms import ANCHORS, defined
from piddm.reports.verdict import verdict
from piddm.runs import answering
from piddm.runs.folder import find_run
from piddm.runs.histories import History, Lines
from piddm.symbolic.text import equation_text
from piddm.teachers.sampling import last, noises
from piddm.tools.errors import PiddmError
from piddm.tools.files import atomic_path, read_json

if TYPE_CHECKING:
    from piddm.figures.tradeoff import Point
    from piddm.runs.stages import Distillation

MOST_LINES = 5000
"""Lines for each stage in ``metrics.jsonl``, at most; longer histories are thinned."""

DRAWN = 3
"""Samples that are drawn for the figure, at most."""


def write_report(run: Distillation) -> list[Path]:
    """Write figures, ``report.html`` and ``metrics.jsonl`` into a run's folder; return their paths.

    Raises:
        PiddmError: If the run is not evaluated, or a file cannot be written.
    """
    folder = run.folder
    metrics = read_json(folder / "metrics.json", Metrics)
    histories = {
        "teacher": _history(folder / "teacher.safetensors"),
        "student": _history(folder / "student.safetensors"),
    }
    histories = {stage: history for stage, history in histories.items() if history}
    lines = folder / "metrics.jsonl"
    _write_text(lines, "".join(json.dumps(row) + "\n" for row in _thinned(histories)))
    pictures = _draw(run, metrics, histories)
    page = folder / "report.html"
    _write_text(page, _page(run, metrics, pictures))
    return [lines, *pictures.values(), page]


def commands(config: Config, folder: Path) -> list[str]:
    """Return the shell commands that make a run again and draw samples from it."""
    base = _flat(resolve(config.pde, config.preset).model_dump(mode="json"))
    own = _flat(config.model_dump(mode="json"))
    taken = config.data.taken
    about = ["--fields", ",".join(taken.fields)] if taken and taken.fields else []
    words = ["piddm", "distill", *(about or ["--pde", config.pde]), "--preset", config.preset]
    words += ["--data", str(config.data.source)] if taken else []
    words += ["--seed", str(config.seed)]
    for name, value in own.items():
        given = taken and (name == "data.source" or name.startswith("data.taken."))
        if name != "seed" and not given and value != base.get(name):
            text = value if isinstance(value, str) else json.dumps(value)
            words += ["--set", f"{name}={text}"]
    return [shlex.join(words), shlex.join(["piddm", "sample", str(folder), "-n", "16"])]


def _history(model: Path) -> Lines:
    path = model.with_suffix(".history.json")
    return read_json(path, History).lines if path.exists() else []


def _thinned(histories: Mapping[str, Lines]) -> Lines:
    out: Lines = []
    for stage, history in histories.items():
        every = -(-len(history) // MOST_LINES)
        out += [{"stage": stage, **row} for row in history[::-1][::every][::-1]]
    return out


def _draw(run: Distillation, metrics: Metrics, histories: Mapping[str, Lines]) -> dict[str, Path]:
    # matplotlib is slow to import, and only this needs it.
    from piddm import figures

    where = run.folder / "figures"
    drawn = {"samples": _sample_figure(run, metrics)}
    if histories:
        drawn["training"] = figures.training(histories)  # pyright: ignore
    if metrics.truth.pde_error is not None:
        drawn["tradeoff"] = figures.tradeoff(_points(metrics, run.config.pairs.steps))
    paths = {name: where / f"{name}.png" for name in drawn}
    for name, figure in drawn.items():
        figures.save(figure, paths[name])
    return paths


def _points(metrics: Metrics, steps: int) -> list[Point]:
    from piddm.figures.tradeoff import Point

    def point(source: Literal["truth", "teacher", "student"], label: str, score: Scores) -> Point:
        return Point(source, label, score.energy_distance, score.pde_error_normalised or 0.0)

    curve = {t.steps: Point("teacher", t.label, t.energy_distance, t.pde_error_normalised or 0.0)
             for t in metrics.tradeoff}  # fmt: skip
    curve[steps] = point("teacher", f"teacher, {in_calls(metrics.teacher.nfe)}", metrics.teacher)
    truth = point("truth", "truth (other data)", metrics.truth)
    student = point("student", f"student, {in_calls(metrics.student.nfe)}", metrics.student)
    return [truth, *(curve[n] for n in sorted(curve)), student]


def _sample_figure(run: Distillation, metrics: Metrics) -> Any:
    from piddm import figures

    packing, steps = run.packing, run.config.pairs.steps
    shape = (packing.channels, *packing.image)
    (noise,) = noises(shape, DRAWN, run.config.seed + 1, run.device)
    held_out = run.data[1].fields
    rows = {
        "data\nheld out": {k: v[:DRAWN] for k, v in held_out.items()},
        f"teacher\n{in_calls(metrics.teacher.nfe)}": packing.unpack(
            last(run.teacher.sample(noise, steps))
        ),
        f"student\n{in_calls(metrics.student.nfe)}": packing.unpack(run.student(noise)),
    }
    caption = "Teacher and student start from the same noise. Data are float32, which rounds them."
    return figures.samples(rows, run.residual, run.scale, run.pde.fields, caption)


def _page(run: Distillation, metrics: Metrics, pictures: Mapping[str, Path]) -> str:
    folder, config, pde = run.folder, run.config, run.pde
    _, manifest = find_run(folder)
    sources, rows = score_table(metrics.scores())
    anchors = [ANCHORS.get(quantity) for quantity in labels(metrics.scores())]
    physics = {"scale", "floor"} if run.residual.rows else set[str]()
    shown = {*physics, "truth", *filter(None, anchors)}
    settings = _flat(config.model_dump(mode="json"))
    return _TEMPLATES.get_template("run.html").render(
        title=f"{pde.name}, {config.preset}, seed {config.seed}",
        summary=pde.summary,
        formulas=[(name, equation_text(e)) for name, e in pde.equations.items()],
        judgement=judgement(metrics.scores(), config),
        sources=sources,
        scores=[(a, row[0], row[1:]) for a, row in zip(anchors, rows, strict=True)],
        floor=floor_text(run.floor),
        verdict=[*verdict(metrics), *_paid(run, metrics, manifest.seconds)],
        pictures=[_picture(name, path) for name, path in pictures.items()],
        terms=defined(shown),
        commands="\n".join(commands(config, folder)),
        settings=[(name, json.dumps(value)) for name, value in settings.items()],
        software=[("made", manifest.created), *manifest.software.items()],
    )


def _paid(run: Distillation, metrics: Metrics, seconds: Mapping[str, float]) -> list[str]:
    """Return the sentences of :mod:`piddm.reports.break_even`: of samples, and of answers."""
    data = run.config.data
    simulated = 0 if data.source else data.train + data.held_out
    found = answering.read(run.folder)
    price, said = price_of(seconds), break_even(metrics, seconds, simulated)
    if found is not None:
        return [*said, answers_even(found, price)]
    return [*said, unmeasured(price)] if said and run.residual.rows else said


_TEMPLATES = Environment(
    loader=PackageLoader("piddm.reports"), autoescape=True, undefined=StrictUndefined
)
"""Templates of pages; what is filled in is text, never markup."""

_CAPTIONS = {
    "samples": "Fields, and the residual of each equation over its scale, in the same colours. In "
    "a good run nobody can tell the student's fields from the data, and its residual shows "
    "nothing.",
    "training": "Losses by step: each value in light colour, their running mean in full colour. In "
    "a good run they fall and then level off; still falling at the end, they ask for more steps. "
    "Losses of different names have different units; the energy score ends where that of data "
    "lies, which is not zero.",
    "tradeoff": "PDE error against distance to the data: lower and further left is better. A good "
    "student is beside the truth, and left of or below every point of its teacher.",
}
"""Caption of each figure."""


def _picture(name: str, path: Path) -> dict[str, str]:
    try:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise PiddmError(f"cannot read {path}: {error.strerror}; run it again") from error
    return {"caption": _CAPTIONS.get(name, name), "data": data}


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
