"""The least that one wrong sensor of 40 can cost, by the exact law: no method, every case weighed.

python benchmarks/wrong_sensor_bound.py [--size 16] [--truths 60] [--pde NAME ...]

The questions are those of benchmarks/wrong_sensor.py. The estimate knows how they were made: none
of the readings is wrong or one of them is, each as likely, by ten of its deviations; it is the mean
over all cases, by their chances, which has the least mean square error. Printed is its error over
that of the answer without the wrong sensor, beside the sensor trusted, and read right.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from torch import Tensor
from wrong_sensor import NOISE, OFF, SENSORS

from piddm.runs.asking import equation_model
from piddm.solvers._affine import Affine
from piddm.tasks.sensors import Sensors
from piddm.tasks.synthetic import draw_truth, place
from piddm.tools.randomness import generator


def weighed(rows: Tensor, away: Tensor, sigma: Tensor) -> Tensor:
    """Return the mean white noise over all cases."""
    every, chance = [], []
    for wrong in [None, *range(len(away))]:
        scale = sigma.clone()
        if wrong is not None:
            scale[wrong] *= OFF
        law = torch.distributions.MultivariateNormal(
            torch.zeros_like(away), rows @ rows.mT + torch.diag(scale.square())
        )
        chance.append(law.log_prob(away))
        every.append(noise(rows, away, scale))
    return torch.stack(chance).softmax(0) @ torch.stack(every)


def noise(rows: Tensor, away: Tensor, sigma: Tensor) -> Tensor:
    """Return the mean white noise, given readings less those of no noise."""
    return torch.linalg.solve(rows @ rows.mT + torch.diag(sigma.square()), away) @ rows


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--size", type=int, default=16)
    options.add_argument("--truths", type=int, default=60)
    options.add_argument("--pde", nargs="*", default=["poisson", "helmholtz"])
    given = options.parse_args()
    for name in given.pde:
        model = equation_model(name, given.size, progress=False)
        pde, grid = model.pde, model.residual.grid
        unknown, seen_field = pde.field_names[0], pde.field_names[-1]
        affine = Affine(pde, model.residual, {})
        found: dict[str, list[float]] = {"weighed": [], "trusted": [], "read right": []}
        for seed in range(given.truths):
            truth = draw_truth(pde, grid, seed)
            seen = place(truth, pde, seen_field, SENSORS / (grid.shape[0] * grid.shape[1]), NOISE,
                         between=True, seed=seed)  # fmt: skip
            bad = int(torch.randint(seen.count, (1,), generator=generator(seed, "wrong")))
            sensors = Sensors(seen, pde.field_names, "linear")
            matrix, sigma = sensors.matrix(affine.columns), sensors.sigma
            rows = affine.rows(matrix)
            right = sensors.values - torch.from_numpy(matrix @ affine.origin.numpy())
            moved, kept = right.clone(), torch.arange(seen.count) != bad
            moved[bad] += OFF * sigma[bad]
            answers = torch.stack([
                noise(rows[kept], right[kept], sigma[kept]), weighed(rows, moved, sigma),
                noise(rows, moved, sigma), noise(rows, right, sigma),
            ])  # fmt: skip
            fields = affine.fields(affine.states(answers))[unknown]
            errors = (fields - truth.fields[unknown][0]).flatten(1).norm(dim=1)
            for own, error in zip(found.values(), errors[1:], strict=True):
                own.append(float(error / errors[0]))
        for label, own in found.items():
            print(f"{name}, {label}: {statistics.mean(own):.3f} ± "
                  f"{statistics.stdev(own) / len(own) ** 0.5:.3f}, median "
                  f"{statistics.median(own):.3f}, above 1.1 in {sum(v > 1.1 for v in own)} of "
                  f"{len(own)}, at most {max(own):.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
