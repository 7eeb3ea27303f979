"""The command that opens a page in the browser: ``view``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piddm.cli import options, questions
from piddm.tools.errors import UsageError

if TYPE_CHECKING:
    from piddm.view.subjects import Subject


def view(
    run: options.RunFolder = None,
    pde: questions.PdeOrRun = None,
    model: options.Model = None,
    size: questions.Size = None,
    data: questions.Data = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port; the next free one where it is in use.")
    ] = 8410,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address only.")
    ] = False,
    device: options.Device = "cpu",
) -> None:
    """Open a page in the browser: samples, sensors to move, answers that follow."""
    from piddm.view.serving import check_installed, serve
    from piddm.view.subjects import Subjects, model_subject

    check_installed()
    # One core is the browser's. Threads that wait for it in circles would make both slow.
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, min(processors - 1, 8))))
    first = _first(run, pde, model, size, data, device)
    from piddm.plugins.loader import current
    from piddm.runs.hub import PREFIX, address, fetched

    others = {e.name: model_subject(e.name, device) for e in current().list_all("model")}
    if model is not None:  # a wrong name shows before the page opens
        if model.startswith(PREFIX):
            fetched(address(model))
        else:
            current().get("model", model)
    serve(Subjects(first, others), port, not no_browser, options.say, typer.echo)


def _first(
    run: Path | None, pde: str | None, model: str | None, size: object, data: Path | None,
    device: str,
) -> Subject:  # fmt: skip
    """Return what the page is opened for."""
    from piddm.view.recipes import Opened
    from piddm.view.subjects import Subject, model_subject, run_subject

    alone = size is not None or data is not None
    if sum(given is not None for given in (run, pde, model)) != 1:
        raise UsageError("give a run's folder, --model NAME or --pde NAME; piddm models lists some")
    if alone and pde is None:
        raise UsageError("--size and --data are of an equation asked alone: give --pde NAME")
    if model is not None:
        return model_subject(model, device)
    if run is not None:
        return run_subject(run, device)
    loaded, trained = questions.opened(None, pde, None, size, data, device)  # pyright: ignore
    if trained is not None:
        return run_subject(trained.path, device)
    words = ["--pde", loaded.pde.name]
    told = [repr(loaded.pde.name)]
    if data is not None:
        words, told = [*words, "--data", str(data)], [*told, f"data={str(data)!r}"]
    else:
        nodes = {k: a.size for k, a in loaded.residual.grid.axes.items()}
        words += ["--size", ",".join(f"{k}={n}" for k, n in nodes.items())]
        told.append(f"size={nodes!r}")
    python = (
        f"from functools import partial\nfrom types import SimpleNamespace\n\nimport piddm\n\n"
        f"run = SimpleNamespace(solve=partial(piddm.solve, {', '.join(told)}),\n"
        f"                      pde=piddm.get_pde({loaded.pde.name!r}))"
    )
    return Subject(f"{loaded.pde.name}, alone", Opened(tuple(words), python),
                   lambda: (loaded, None))  # fmt: skip
