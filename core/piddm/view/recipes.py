"""The command line and the Python that give what the page shows."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piddm.view.page_models import Drawing, Question


@dataclass(frozen=True)
class Opened:
    """How a subject is named.

    Args:
        words: What the command line names it by, such as ``("--model", "darcy-64")``.
        python: The lines of Python that open it as ``run``.
    """

    words: tuple[str, ...]
    python: str


FILE = "observations.csv"
"""Name of the file of observations, which the page offers beside."""


def answer_recipe(opened: Opened, question: Question, solver: str) -> dict[str, str]:
    """Return ``command`` and ``python`` of an answer; ``solver`` is who answered."""
    if question.prior:
        words = ["piddm", "sample", *opened.words, "-n", question.members, "--seed", question.seed,
                 "--correct"]  # fmt: skip
        call = f"fields = run.sample({question.members}, seed={question.seed}, correct=True)"
        mean = "mean = {name: values.mean(0) for name, values in fields.items()}"
        return {"command": shlex.join(map(str, words)),
                "python": f"{opened.python}\n{call}\n{mean}"}  # fmt: skip
    words = ["piddm", "solve", question.task, *opened.words, "--observations", FILE, "--solver",
             solver]  # fmt: skip
    for name, value in question.settings.items():
        words += ["--set", f"{name}={value}"]
    words += ["--samples", question.members, "--seed", question.seed]
    if question.interpolation != "linear":
        words += ["--interpolation", question.interpolation]
    words += ["--project"] * question.project
    for text in question.quantities:
        words += ["--quantity", text]
    given = [repr(question.task), repr(FILE), repr(solver), repr(question.members),
             f"seed={question.seed}"]  # fmt: skip
    if question.settings:
        given.append(f"settings={question.settings!r}")
    if question.interpolation != "linear":
        given.append(f"interpolation={question.interpolation!r}")
    if question.project:
        given.append("project=True")
    lines = [opened.python, f"answer = run.solve({', '.join(given)})", "print(answer)"]
    if question.quantities:
        lines[0] = (
            "from piddm.tasks.derived_quantities import values_of\n"
            "from piddm.tasks.quantities import quantity\n" + lines[0]
        )
        lines.append(
            f"asked = [quantity(text, run.pde, answer.grid) for text in {question.quantities!r}]\n"
            "print(values_of(answer, asked, run.pde))"
        )
    return {"command": shlex.join(map(str, words)), "python": "\n".join(lines)}


def sample_recipe(opened: Opened, drawing: Drawing) -> dict[str, str]:
    """Return ``command`` and ``python`` of samples."""
    words = ["piddm", "sample", *opened.words, "-n", drawing.count, "--seed", drawing.seed,
             "--correct"]  # fmt: skip
    lines = [opened.python, f"fields = run.sample({drawing.count}, seed={drawing.seed})",
             "made = run.correct(fields)", "print(made.before, made.error)"]  # fmt: skip
    return {"command": shlex.join(map(str, words)), "python": "\n".join(lines)}
