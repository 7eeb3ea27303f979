"""A sensor that is wrong by ten deviations: is it named, and what does it cost?

python benchmarks/wrong_sensor.py [--size 32] [--truths 24] [--pde NAME ...]

For each truth: 40 sensors of the solution with 2 % of noise, one of them moved by ten of its
deviations. Printed is whether it is named, how many sound ones are named with it, and the error of
the input's mean over that of the same question without the sensor: with ``heavy_tails``, and
where the sensor is trusted. Beside it stands what could be seen at best, from the exact law of the
readings: the shift, and the reading's distance, over the deviation of what the others say of it.
A shift of three of these or fewer is in the noise, for any method.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import replace

import torch

from piddm.runs.asking import equation_model, question
from piddm.solvers._affine import Affine
from piddm.tasks.ensemble import answer
from piddm.tasks.observations import Observations
from piddm.tasks.robust import robust
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place
from piddm.tools.randomness import generator

SENSORS, NOISE, OFF = 40, 0.02, 10.0

SEEN = 3.0, 4.0, 6.0
"""Deviations of what the others say at which shifts are parted: those of fewer are in the noise."""


def visible(
    affine: Affine, seen: Observations, fields: tuple[str, ...], bad: int
) -> tuple[float, float]:
    """Return shift and distance of a reading over the deviation of what the others say of it.

    Of Gaussian readings with the covariance K these are the shift times the root of
    :math:`(K^{-1})_{ii}`, and :math:`(K^{-1}d)_i` over it.
    """
    sensors = Sensors(seen, fields, "linear")
    matrix = sensors.matrix(affine.columns)
    rows = affine.rows(matrix)
    inverse = torch.linalg.inv(rows @ rows.mT + torch.diag(sensors.sigma.square()))
    away = sensors.values - torch.from_numpy(matrix @ affine.origin.numpy())
    root = float(inverse[bad, bad].sqrt())
    return OFF * float(sensors.sigma[bad]) * root, abs(float((inverse @ away)[bad])) / root


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=32)
    options.add_argument("--truths", type=int, default=24)
    options.add_argument("--samples", type=int, default=32)
    options.add_argument("--pde", nargs="*", default=["poisson", "helmholtz"])
    options.add_argument("--noise", type=float, default=NOISE)
    given = options.parse_args()
    for name in given.pde:
        model = equation_model(name, given.size, progress=False)
        pde, grid = model.pde, model.residual.grid
        unknown, seen_field = pde.field_names[0], pde.field_names[-1]
        rows, affine = [], Affine(pde, model.residual, {})
        for seed in range(given.truths):
            truth = draw_truth(pde, grid, seed)
            share = SENSORS / (grid.shape[0] * grid.shape[1])
            seen = place(truth, pde, seen_field, share, given.noise, between=True, seed=seed)
            count = seen.count
            bad = int(torch.randint(count, (1,), generator=generator(seed, "wrong")))
            values = seen.values[seen_field].clone()
            values[bad] += OFF * float(seen.sigma[seen_field][bad])
            moved = replace(seen, values={seen_field: values})
            kept = torch.arange(count) != bad
            parts = ({seen_field: part[seen_field][kept]}
                     for part in (seen.points, seen.values, seen.sigma))  # fmt: skip
            points, read, sigma = parts
            left = Observations(grid, points, read, sigma)

            asked, solver = question(model, "inverse", moved, progress=False)
            told = robust(model, asked, solver)
            without, _ = question(model, "inverse", left, progress=False)
            best, own, trusted = (
                answer(model, t, solver, given.samples, progress=False).errors(
                    {unknown: truth.fields[unknown][0]})[unknown]
                for t in (without, told, asked)
            )  # fmt: skip
            place_of = seen.place(seen_field, bad)
            named = told.observations.note.count("deviations off")
            shift, away = visible(affine, moved, pde.field_names, bad)
            rows.append((place_of in told.observations.note, named, own / best, trusted / best,
                         shift))  # fmt: skip
            print(f"{name} {seed} {solver}: named {rows[-1][0]} of {named} in all; error over that "
                  f"without it {own / best:.3f}, trusted {trusted / best:.3f}; the shift is "
                  f"{shift:.1f} deviations, the reading {away:.1f} off", flush=True)  # fmt: skip
        for low, high in zip((0.0, *SEEN), (*SEEN, math.inf), strict=True):
            part = [r for r in rows if low <= r[4] < high]
            if part:
                _print(f"{name}, shift {low:g} to {high:g} deviations", part)
        _print(f"{name}, all", rows)


def _print(label: str, rows: list[tuple]) -> None:
    own = [r[2] for r in rows]
    error = statistics.stdev(own) / len(own) ** 0.5 if len(own) > 1 else 0.0
    hits = sum(r[0] for r in rows)
    print(f"{label}: named {hits} of {len(rows)}, {sum(r[1] for r in rows) - hits} sound ones too; "
          f"error over that without it {statistics.mean(own):.3f} ± {error:.3f}, median "
          f"{statistics.median(own):.3f}, above 1.1 in {sum(v > 1.1 for v in own)}, at most "
          f"{max(own):.3f}; trusted {statistics.mean(r[3] for r in rows):.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
