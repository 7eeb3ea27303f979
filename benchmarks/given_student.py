"""What a student of other people's data is worth, beside one of piddm's own data of the same law.

    python benchmarks/given_student.py [--seeds 0 1 2] [--set a.b=c ...] [--json FILE]

The others' solver is this file's: Poisson's equation by finite volumes on cells three times as
fine, diagonalised by a discrete sine transform, its inputs drawn by a sum of cosines; every third
value along each axis is kept, which is a centre of a coarse cell, and noise of 0.1 % of each
field's deviation is added. 1,250 samples are imported with no map, of which 1,000 are trained on.
The other student learns from as many samples that piddm simulates on the same cells. Both are
scored against fresh samples of the others' solver without noise, and reconstruct the same truths
from sensors at 3 % of the cells, which read with the noise of the data. What either student learns
from is scored too, on fresh samples: data with noise do not satisfy the equation, and a score below
theirs is no merit. The last column compares what each student adds to the score of its own data,
at least nothing. Interrupted, it goes on where it was: what ``--json`` holds is not measured again,
and runs are resumed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.fft import dstn, idstn

import piddm
from piddm.api import Run
from piddm.data.dataset import Dataset
from piddm.data.simulate import simulate
from piddm.grids.grid import Axis, Grid
from piddm.metrics.yardstick import Yardstick
from piddm.tasks.synthetic import place
from piddm.tools.settings_files import literal

CELLS, FINER, NOISE = 32, 3, 1e-3
TRAINED, HELD_OUT, FRESH = 1000, 250, 512
TRUTHS, SHARE, MEMBERS = 12, 0.03, 8
OWN, THEIRS = "piddm's own data", "data of others"
MEASURES = ("energy_distance", "spectrum_distance", "one_point_distance", "mmse", "smse",
            "self_consistency", "constraint_distance", "pde_error_normalised")  # fmt: skip
DATA, ROUND_OFF = ", data", 1e-6
Fields = dict[str, torch.Tensor]


def solutions(count: int, seed: int) -> dict[str, Any]:
    """Return sources of piddm's law and their solutions, at the centres of cells."""
    draw, fine = np.random.default_rng(seed), CELLS * FINER
    k = np.arange(CELLS)
    at = np.cos(np.pi * np.outer((np.arange(fine) + 0.5) / fine, k)) * np.where(k, 2**0.5, 1)
    amplitude = 3.0 / (np.pi**2 * (k[:, None] ** 2 + k**2) + 9)
    amplitude[0, 0] = 0
    white = draw.normal(size=(count, CELLS, CELLS))
    source = np.einsum("ik,nkl,jl->nij", at, amplitude * white, at, optimize=True)
    m = np.arange(1, fine + 1)
    own = -((2 * fine * np.sin(np.pi * m / (2 * fine))) ** 2)
    solved: Any = idstn(dstn(source, 2, axes=(1, 2)) / (own[:, None] + own), 2, axes=(1, 2))
    return {n: v[:, 1::FINER, 1::FINER] for n, v in (("a", source), ("u", solved))}


def noisy(fields: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return fields as the others measure them."""
    draw = np.random.default_rng([seed, 1])
    return {k: v + NOISE * v.std() * draw.normal(size=v.shape) for k, v in fields.items()}


def import_foreign(folder: Path, seed: int) -> Path:
    """Write a file of others and import it with nothing said about it."""
    np.savez(folder / "theirs.npz", **noisy(solutions(TRAINED + HELD_OUT, seed), seed))
    made, _ = piddm.import_data(folder / "theirs.npz", "poisson", folder / "mine.h5")
    told = ", ".join(f"{k} {v:.1e}" for k, v in made.about.floor.items())
    print(f"imported {made.count} samples on {made.about.grid}; PDE error of the data: {told}")
    return folder / "mine.h5"


def tensors(fields: dict[str, Any]) -> Fields:
    return {k: torch.from_numpy(v) for k, v in fields.items()}


def simulated(run: Run, count: int, seed: int) -> Fields:
    """Return fresh samples of piddm's own on a run's grid."""
    draw = torch.Generator().manual_seed(seed)
    parts = list(simulate(run.pde, run.residual.grid, count, draw))
    return {k: torch.cat([p[k] for p in parts]) for k in parts[0]}


def judged(judge: Run, truth: Fields, made: Fields) -> dict[str, float]:
    """Return the scores of samples in a run's units, for all to be alike."""
    packing = judge.packing
    yardstick = Yardstick(judge.projection, packing, packing.pack(truth), 64, judge.own_solution)
    found = yardstick.scores(packing.pack({k: made[k] for k in packing.names}), 1)
    return {k: float(found.value(k) or 0.0) for k in MEASURES}


def reconstruct(run: Run, truth: Fields, seed: int, solver: str) -> float:
    """Return the relative error of the mean of an ensemble, the mean over fields."""
    pde, grid = run.pde, run.residual.grid
    one = {k: v[seed : seed + 1] for k, v in truth.items()}
    seen = place(Dataset(pde.name, grid, one, {}, {}, 0), pde, "a,u", SHARE, NOISE, seed=seed)
    found = run.solve("reconstruct", seen, solver, MEMBERS, seed=seed, progress=False)
    errors = [(found.fields[k].mean(0) - v[0]).norm() / v[0].norm() for k, v in one.items()]
    return float(torch.stack(errors).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--solver", default="latent")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    changes = dict(c.split("=", 1) for c in options.changes)
    changes = {k: literal(v) for k, v in changes.items()}
    cells = Axis(0, 1, CELLS, location="centre")
    own_pde = dataclasses.replace(piddm.get_pde("poisson"), grid=Grid(x=cells, y=cells))
    kept = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    for seed in options.seeds:
        truth = tensors(solutions(FRESH, 1000 + seed))
        with tempfile.TemporaryDirectory() as folder:
            data = import_foreign(Path(folder), seed)
            theirs = piddm.distill("poisson", options.preset, data=data, seed=seed,
                                   overrides=changes)  # fmt: skip
        sizes = {"data.size": CELLS, "data.train": TRAINED, "data.held_out": HELD_OUT}
        own = piddm.distill(own_pde, options.preset, seed=seed, overrides=changes | sizes)
        other = noisy(solutions(FRESH, 2000 + seed), 2000 + seed)
        fresh = {OWN: simulated(own, FRESH, 2000 + seed), THEIRS: tensors(other)}
        for name, run in ((OWN, own), (THEIRS, theirs)):
            row = kept.setdefault(name, {}).setdefault(str(seed), {})
            if MEASURES[0] + DATA not in row:
                row |= {k + DATA: v for k, v in judged(own, truth, fresh[name]).items()}
            for correct in (False, True):
                ending = ", corrected" if correct else ""
                if MEASURES[0] + ending not in row:
                    found = judged(own, truth, run.sample(FRESH, seed=1, correct=correct))
                    row |= {k + ending: v for k, v in found.items()}
            label = f"reconstruction, {options.solver}"
            if label not in row:
                errors = [reconstruct(run, truth, i, options.solver) for i in range(TRUTHS)]
                row[label] = fmean(errors)
            print(seed, name, {k: f"{v:.3g}" for k, v in row.items()}, flush=True)
            if options.json:
                options.json.write_text(json.dumps(kept, indent=1))
    table(kept)


def table(kept: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print means over seeds, and what the others' student adds over what piddm's own adds."""
    own, theirs = (list(kept[name].values()) for name in (OWN, THEIRS))
    print(f"\n| measure | student of {OWN} | these data | student of {THEIRS} | these data "
          "| ratio | ratio of what is added |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for k in (k for k in own[0] if not k.endswith(DATA)):
        a, b = (fmean(row[k] for row in rows) for rows in (own, theirs))
        base = k.split(",")[0] + DATA
        if base not in own[0]:  # an answer, not a score of samples
            print(f"| {k} | {a:.3g} | - | {b:.3g} | - | {b / a:.2f} | - |")
            continue
        c, d = (fmean(row[base] for row in rows) for rows in (own, theirs))
        more, less = added(k, b, d), added(k, a, c)
        # Of piddm's own data, which satisfy the equation, a correction leaves round-off only.
        ratios = [f"{v:.2f}" if a > ROUND_OFF and w > 0 else "-" for v, w in
                  ((b / a, a), (more / (less or 1.0), less))]  # fmt: skip
        print(f"| {k.replace('_', ' ')} | {a:.3g} | {c:.3g} | {b:.3g} | {d:.3g} "
              f"| {' | '.join(ratios)} |")  # fmt: skip


def added(name: str, score: float, floor: float) -> float:
    """Return what is added to a floor: mean squares add up, of a distance its square does."""
    if name.startswith("self_consistency"):
        return max(score**2 - floor**2, 0.0) ** 0.5
    return max(score - floor, 0.0)


if __name__ == "__main__":
    main()
