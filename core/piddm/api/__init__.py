"""The few calls that do everything: distil an equation, open a run, sample from it.

The command line is made of the same calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from piddm.api.run import Run
from piddm.config import Config, divided, resolve, settings
from piddm.data.file_maps import DataMap
from piddm.equation import PDE
from piddm.plugins.loader import get_pde
from piddm.reports.break_even import price_of
from piddm.reports.run_page import write_report
from piddm.runs import answering
from piddm.runs.data_sets import make_dataset
from piddm.runs.folder import find_run, software
from piddm.runs.given_data import with_source
from piddm.runs.reading import equation_or_fields
from piddm.runs.tracking import tracked
from piddm.tools import launched, ranks
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.files import write_json
from piddm.tools.progress import follow

__all__ = ["Run", "complete", "distill", "load_run", "make_dataset", "prepare"]


def distill(
    pde: str | PDE | None = None,
    preset: str = "default",
    *,
    config: Config | Path | str | None = None,
    overrides: Sequence[str] | Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str = "cpu",
    out: Path | str | None = None,
    fresh: bool = False,
    data: Path | str | None = None,
    fields: Sequence[str] | str = (),
    map: DataMap | Path | str | None = None,  # as the command calls it
    progress: bool = True,
    track: str = "",
) -> Run:
    """Do all that turns an equation into a scored one-step student, and reuse what is there.

    Args:
        pde: Name of a registered equation, or an equation; left out where none is known.
        preset: ``quick``, ``default`` or ``paper``.
        config: A TOML or YAML file on top of the preset, or a whole configuration in its place.
        overrides: ``{"student.steps": 500}`` or ``["student.steps=500"]``.
        seed: Seed of data, training and evaluation.
        device: ``cpu`` or a CUDA device.
        out: Folder of the run; one under ``runs/`` where none is given.
        fresh: Start a new run even where one of this configuration exists.
        data: A data set to learn from, in place of a simulated one, as :func:`piddm.import_data`
            makes it; or a file of others, which is imported.
        fields: Without an equation: the arrays of the data that are the fields, ``"u,v"``.
        map: The map of a file of others; what fits best where none is given.
        progress: Whether to show progress, on standard error.
        track: A tracker that is told losses and scores: ``tensorboard``, ``wandb``, a plugin's.

    Raises:
        UsageError: If a name or a value is not valid.
        PiddmError: If a stage fails; what was made before it is kept.
    """
    job = prepare(
        pde, preset, config=config, overrides=overrides, seed=seed, device=device, out=out,
        fresh=fresh, data=data, fields=fields, map=map, progress=progress,
    )  # fmt: skip
    complete(job, progress, track)
    return job


def load_run(path: Path | str, *, pde: PDE | None = None, device: str = "cpu") -> Run:
    """Open the folder of a run.

    Args:
        path: The folder.
        pde: The equation, where it is not a registered one.
        device: Where to sample.

    Raises:
        PiddmError: If the folder is not a run.
    """
    path = Path(path)
    config, manifest = find_run(path)
    run = Run(config, pde or get_pde(config.pde), device, path)
    if manifest.fingerprints != run.marks:
        raise PiddmError(
            f"{path} is a run of {config.pde} as another version of it or of piddm has it; distil "
            "it again, or use the version that made it"
        )
    return run


def prepare(
    pde: str | PDE | None = None,
    preset: str = "default",
    *,
    config: Config | Path | str | None = None,
    overrides: Sequence[str] | Mapping[str, Any] | None = None,
    seed: int | None = None,
    device: str = "cpu",
    out: Path | str | None = None,
    fresh: bool = False,
    data: Path | str | None = None,
    fields: Sequence[str] | str = (),
    map: DataMap | Path | str | None = None,  # as the command calls it
    progress: bool = True,
) -> Run:
    """Check everything that can be checked before any work; the arguments are :func:`distill`'s."""
    pde = equation_or_fields(pde, fields)
    if isinstance(config, Config):
        if overrides or seed is not None or config.pde != pde.name:
            raise UsageError(
                "a Config is whole: its pde must agree, and no overrides or seed beside"
            )
    else:
        file = None if config is None else Path(config)
        config = resolve(pde.name, preset, file, overrides or (), seed)
    config = divided(with_source(config, pde, data, map, progress), launched.asked()[1])
    own = launched.device(device)
    job = Run(config, pde, own, None if out is None else Path(out), fresh)
    told = {"out": str(out), "fresh": fresh, "device": job.device.type}
    made = {f"version of {k}": v for k, v in software().items() if k in ("piddm", "torch")}
    ranks.join(job.device.type, made | settings(config) | {"equation": job.marks} | told)
    return job


def complete(job: Run, progress: bool = True, track: str = "") -> bool:
    """Do what is missing of a run, report included; return whether anything was."""
    with job.alone():
        steps = follow(tracked(job, track), quiet=not progress)
        scores, report = job.folder / "metrics.json", job.folder / "report.html"

        def worked() -> bool:
            # An interruption may have fallen between the two.
            there = report.exists() and report.stat().st_mtime >= scores.stat().st_mtime
            return steps > 0 or not there

        if not ranks.told(worked):
            return False
        follow(job.simulate(), quiet=not progress)  # figures show data, which may be gone
        ranks.told(lambda: _answered(job))
        ranks.told(lambda: str(write_report(job)))
        return True


def _answered(job: Run) -> bool:
    """Measure what answers cost with the student and without one; return whether there was time."""
    price = price_of(find_run(job.folder)[1].seconds)
    found = answering.measured(job, job.data[1], price)
    if found is not None:
        write_json(job.folder / answering.FILE, found)
    return found is not None
