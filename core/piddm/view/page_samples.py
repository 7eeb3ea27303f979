"""What the page shows of a subject: its equation, samples, their residual and correction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from piddm.plugins.loader import current
from piddm.residuals.norms import sample_errors
from piddm.residuals.residual import Residual
from piddm.symbolic.text import equation_text
from piddm.view.packets import packet
from piddm.view.recipes import sample_recipe

if TYPE_CHECKING:
    from piddm.tasks.model import Model
    from piddm.view.desk import Stop
    from piddm.view.page_models import Drawing
    from piddm.view.subjects import Subject

LARGEST = 4_000_000
"""Values of a state that a browser is given, at most: 16 bytes each are drawn again and again."""

LIVE = {"latent": {"rounds": "3", "steps": "0"}}
"""Settings with which a solver keeps up with a hand."""


def describe(subject: Subject) -> dict[str, Any]:
    """Return what the page has to know of a subject."""
    model, run = subject.model, subject.run
    pde, grid = model.pde, model.residual.grid
    return {
        "title": subject.title, "pde": pde.name, "summary": pde.summary, "source": pde.source,
        "equations": {k: equation_text(v) for k, v in pde.equations.items()},
        "conditions": {k: c.text(pde.grid) for k, c in pde.conditions.items()},
        "fields": [{"name": f.name, "doc": f.doc, "unit": f.unit} for f in pde.fields],
        "params": [{"name": p.name, "value": None if p.free else p.value, "doc": p.doc}
                   for p in pde.params],
        "axes": [{"name": name, "lower": a.lower, "upper": a.upper, "periodic": a.periodic,
                  "time": a.time, "nodes": a.coordinates().tolist()}
                 for name, a in grid.axes.items()],
        "sphere": grid.spherical, "trained": run is not None, "live": LIVE,
        "large": int(np.prod(grid.shape)) * len(pde.fields) > LARGEST,
        "solver": "latent" if run is not None else "auto",
        "solvers": [{"name": e.name, "summary": e.summary} for e in current().list_all("solver")],
    }  # fmt: skip


def draw(subject: Subject, asked: Drawing, stop: Stop) -> bytes:
    """Return the packet of samples: as drawn, and if asked for with residuals and corrected."""
    stop(None)
    model, run = subject.model, subject.run
    names, began = model.pde.field_names, time.perf_counter()
    if run is not None:
        fields = run.sample(asked.count, asked.seed)
    else:
        data = model.data.fields  # pyright: ignore[reportAttributeAccessIssue]
        start = asked.seed % len(data[names[0]])
        fields = {k: v.roll(-start, 0)[: asked.count] for k, v in data.items()}
    header: dict[str, Any] = {
        "rows": [], "errors": None, "seconds": time.perf_counter() - began,
        **sample_recipe(subject.opened, asked),
    }  # fmt: skip
    arrays = {f"sample/{k}": fields[k].cpu().numpy() for k in names}
    if asked.corrected:
        stop(None)
        header["rows"] = [k for k, rows in model.residual.rows.items() if not rows.boundary]
        arrays |= _rows("before", model, fields)
        exact = {k: v.double().cpu() for k, v in fields.items()}
        before = sample_errors(model.residual, exact, model.scale)
        header["errors"] = {"before": before.tolist()}
        if run is not None:
            run.corrections.of(None, marched=True)  # made once, not part of the time
            taken = run.sample(asked.count, asked.seed, source="start")
            began = time.perf_counter()
            made = run.correct(taken)
            header["correction"] = time.perf_counter() - began
            header["errors"]["after"] = made.error.tolist()
            arrays |= {f"corrected/{k}": made.fields[k].cpu().numpy() for k in names}
            arrays |= _rows("after", model, made.fields)
    return packet(header, arrays)


@torch.no_grad()
def _rows(when: str, model: Model, fields: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the residual of each equation over its scale, at its nodes."""
    residual: Residual = model.residual
    found = residual({k: v.double().cpu() for k, v in fields.items()})
    arrays = {}
    for name, rows in residual.rows.items():
        if not rows.boundary:
            values = (found[name] / model.scale[name]).abs().numpy()
            image = np.full((len(values), *residual.grid.shape), np.nan)
            image[(slice(None), *rows.nodes.T)] = values.reshape(len(values), -1)
            arrays[f"{when}/{name}"] = image
    return arrays
