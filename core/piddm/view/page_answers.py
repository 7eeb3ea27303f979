"""Answers for the page: mean, deviation, members, numbers, and how to get them again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from piddm.runs.asking import question as posed
from piddm.tasks.csv_files import rows_of_text
from piddm.tasks.derived_quantities import values_of
from piddm.tasks.ensemble import EnsembleSampler
from piddm.tasks.observations import Observations
from piddm.tasks.quantities import quantity
from piddm.tasks.solution import Solution
from piddm.tasks.solution_files import keep
from piddm.tools.errors import UsageError
from piddm.view.packets import Picture, packet
from piddm.view.recipes import FILE, answer_recipe

if TYPE_CHECKING:
    from piddm.view.desk import Stop
    from piddm.view.page_models import Dropped, Question
    from piddm.view.subjects import Subject

PICTURES = 32_000_000
"""Bytes of members that are sent, at most; the rest are in the file that can be downloaded."""


def answer(subject: Subject, asked: Question, stop: Stop) -> bytes:
    """Return the packet of an answer.

    Args:
        subject: Who is asked.
        asked: The question.
        stop: Called between steps.

    Raises:
        UsageError: If the question cannot be asked; a line of the file is named.
        PiddmError: If the solver fails.
    """
    if asked.prior:
        return _prior(subject, asked, stop)
    solution = solved(subject, asked, stop)
    pde, grid = subject.model.pde, solution.grid
    wanted = [quantity(text, pde, grid) for text in asked.quantities]
    said = [solution.caution, solution.doubt]
    if wanted and not solution.on_the_equation:
        said.append("members do not satisfy the equation to round-off, and quantities may be off "
                    "by that")  # fmt: skip
    header = {
        "solver": solution.solver, "members": len(solution), "seconds": solution.seconds,
        "calls": solution.calls, "misfit": float(solution.misfit.mean()),
        "residual": None if solution.residual is None else float(solution.residual.mean()),
        "seen": solution.task.observations.count,
        "quantities": values_of(solution, wanted, pde) if wanted else {},
        "said": [text for text in said if text],
        **answer_recipe(subject.opened, asked, solution.solver),
    }  # fmt: skip
    return _sent(header, pde.field_names, solution.fields, solution.mean, solution.std)


def solved(subject: Subject, asked: Question, stop: Stop) -> Solution:
    """Return the answer itself; errors are those of :func:`answer`."""
    model, trained = subject.model, subject.run is not None
    seen = observations_of(subject, asked.observations)
    task, solver = posed(
        model, asked.task, seen, asked.solver, asked.interpolation, trained, progress=False
    )
    made = subject.solver(solver, asked.settings)
    sampler = EnsembleSampler(
        model, task, solver, asked.members, asked.seed, settings=asked.settings,
        project=asked.project, made=made,
    )  # fmt: skip
    for progress in sampler.work():
        stop(progress)
    return sampler.solution()


def observations_of(subject: Subject, text: str) -> Observations:
    """Return what a CSV file's text says, checked against the equation."""
    pde = subject.model.pde
    found = rows_of_text(text, FILE, pde, subject.model.residual.grid).observations()
    return found.checked(pde.field_names, [p.name for p in pde.params])


def dropped(subject: Subject, file: Dropped) -> dict[str, Any]:
    """Return a file's points as sensors, and its other rows as they are.

    Raises:
        UsageError: If it does not fit, by line and column.
    """
    pde, grid = subject.model.pde, subject.model.residual.grid
    rows = rows_of_text(file.text, Path(file.name).name or FILE, pde, grid)
    checked = rows.observations().checked(pde.field_names, [p.name for p in pde.params])
    if rows.readings or rows.bias or any(any(v) for v in rows.groups.values()):
        return {"sensors": [], "text": file.text, "count": checked.count}
    axes = len(grid.names)
    sensors = [
        {"field": name, "at": list(rows.points[name][axes * i : axes * (i + 1)]),
         "value": value, "sigma": rows.sigmas[name][i]}
        for name, values in rows.values.items() for i, value in enumerate(values)
    ]  # fmt: skip
    return {"sensors": sensors, "params": rows.params, "text": "", "count": checked.count}


def download(subject: Subject, asked: Question, kind: str, stop: Stop) -> bytes:
    """Return an answer as the file of a kind, as ``piddm solve`` writes it."""
    if kind == "csv":
        observations_of(subject, asked.observations)
        return asked.observations.encode()
    if asked.prior:
        raise UsageError("place a sensor first: an answer is of observations")
    solution = solved(subject, asked, stop)
    pde = subject.model.pde
    wanted = [quantity(text, pde, solution.grid) for text in asked.quantities]
    more = {"quantities": values_of(solution, wanted, pde)} if wanted else None
    with tempfile.TemporaryDirectory() as folder:
        keep(solution, folder, more=more)
        return (Path(folder) / f"solution.{kind}").read_bytes()


def _prior(subject: Subject, asked: Question, stop: Stop) -> bytes:
    """Return the law itself, where nothing is known of the field."""
    stop(None)
    run, names = subject.run, subject.model.pde.field_names
    if run is not None:
        fields = run.sample(asked.members, asked.seed, correct=True)
    else:
        fields = subject.model.data.fields  # pyright: ignore[reportAttributeAccessIssue]
        fields = {k: v[: asked.members] for k, v in fields.items()}
    fields = {k: fields[k].double().cpu() for k in names}
    count = len(fields[names[0]])
    header = {
        "solver": "prior", "members": count, "seconds": 0.0, "calls": 0, "misfit": None,
        "residual": None, "seen": 0, "quantities": {}, "said": [],
        **answer_recipe(subject.opened, asked, ""),
    }  # fmt: skip
    deviation = {k: v.std(0, correction=min(1, count - 1)) for k, v in fields.items()}
    return _sent(header, names, fields, {k: v.mean(0) for k, v in fields.items()}, deviation)


def _sent(
    header: dict[str, Any], names: tuple[str, ...], fields: dict[str, Tensor] | Any,
    mean: dict[str, Tensor], deviation: dict[str, Tensor],
) -> bytes:  # fmt: skip
    arrays: dict[str, Any] = {}
    nodes = sum(mean[k].numel() for k in names)
    sent = min(header["members"], max(1, PICTURES // nodes))
    for name in names:
        arrays[f"mean/{name}"] = mean[name].numpy()
        arrays[f"deviation/{name}"] = deviation[name].numpy()
        arrays[f"members/{name}"] = Picture.of(fields[name][:sent].numpy())
    if sent < header["members"]:
        header["said"].append(f"{sent} members of {header['members']} are shown; the download has "
                              "all")  # fmt: skip
    params = {
        k: {"mean": float(v.mean()), "deviation": float(torch.as_tensor(deviation[k]))
            if k in deviation else 0.0}
        for k, v in fields.items() if k not in names
    }  # fmt: skip
    return packet({**header, "params": params}, arrays)
