"""The page that the Hugging Face hub shows of a model: made from the model's own card."""

from __future__ import annotations

from collections.abc import Sequence

from piddm.equation import PDE
from piddm.metrics.scores import Metrics, Scores
from piddm.reports.judgement import judgement
from piddm.reports.tables import score_table
from piddm.runs.model_card import TEACHER, Card
from piddm.symbolic.text import equation_text
from piddm.tools.errors import printable

HEAD = """---
library_name: piddm
tags:
  - physics
  - partial-differential-equations
  - diffusion-distillation
  - {tag}
{licence}---
"""
"""What the hub reads of a page: its first lines, as YAML."""


def model_page(name: str, card: Card, pde: PDE, licence: str = "") -> str:
    """Return the page as Markdown.

    Args:
        name: ``user/name`` on the hub.
        card: The model's card.
        pde: Its equation.
        licence: Licence of the weights, as the hub names it (``mit``); unsaid where it is empty.
    """
    metrics = Metrics.model_validate(card.metrics)
    scores: dict[str, Scores] = {
        "truth": metrics.truth, "teacher": metrics.teacher, "student": metrics.student,
        **metrics.baselines,
    }  # fmt: skip
    nodes = " × ".join(map(str, card.nodes))
    rows = {**pde.equations, **pde.conditions}
    lines = [
        HEAD.format(tag=pde.name, licence=f"license: {licence}\n" if licence else ""),
        f"# {pde.name}, {nodes} nodes",
        f"{plain(pde.summary)}: samples in {_calls(metrics.student)}, "
        "and answers from sensors, by [piddm](https://pypi.org/project/piddm).",
        f"```python\nimport piddm  # pip install 'piddm[hub]'\n\n"
        f'model = piddm.load_model("hf://{name}")\n'
        f"fields = model.sample(16, correct=True)\n```",
        "## The equation",
        "\n".join(f"* `{key}`: `{equation_text(row)}`" for key, row in rows.items()
                  if key in pde.equations),
        "\n".join(f"* `{f.name}`: {plain(f.doc) or 'a field'}{f', {plain(f.unit)}' * bool(f.unit)}"
                  for f in pde.fields),
        "It opens where this equation is known under its name, with this definition; another one "
        "is refused.",
        "## Is it good?",
        " ".join(judgement(scores, card.config)[:-1]),
        _table(*score_table(scores)),
        "Scores are of these very weights, beside a second draw of data (`truth`). A PDE error "
        "says little without a distance beside it.",
        "## How it was made",
        f"`{plain(card.command)}`, with "
        + ", ".join(f"{k} {v}" for k, v in sorted(card.software.items())) + ".",
        "Weights are safetensors"
        + ("" if TEACHER in card.digests else ", without the teacher")
        + "; their SHA-256 are in `model.json`, and are checked when the model is opened.",
    ]  # fmt: skip
    return "\n\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Return text of others as one line in which Markdown and HTML mean nothing."""
    safe = printable(text)
    for mark in "\\`*_[]|":
        safe = safe.replace(mark, f"\\{mark}")
    return safe.replace("&", "&amp;").replace("<", "&lt;")


def _calls(student: Scores) -> str:
    return "one network call" if student.nfe == 1 else f"{student.nfe:g} network calls"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
