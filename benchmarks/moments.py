"""What the moments of a first stage are worth: ``python benchmarks/moments.py [darcy-64]``.

Draws of a model's student as they come from its network, with the mean of the data, and with their
mean and spectrum (:mod:`piddm.students.moments`), each with its solution, against data that nothing
was fitted to. Beside draws of 512, which scores are of, the energy distance of all of them together
(``--draws 4``), whose floor is a quarter.
"""

from __future__ import annotations

import argparse
import copy

import torch
from machine import describe
from torch import Tensor

import piddm
from piddm.data.packing import Packing
from piddm.metrics.energy import energy_distance
from piddm.metrics.one_point import one_point_distance
from piddm.metrics.spectra import spectrum_distance
from piddm.students.moments import Moments
from piddm.students.staged import StagedStudent
from piddm.students.student import Student

COUNT, FITTED = 512, 3584


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="darcy-64")
    parser.add_argument("--draws", type=int, default=4)
    options = parser.parse_args()
    print(describe())
    model = piddm.load_model(options.model)
    student, packing = model.student, model.packing
    assert isinstance(student, StagedStudent)
    count = FITTED + COUNT * options.draws
    data = piddm.make_dataset(model.pde.name, count=count, size=model.config.data.size, seed=123)
    seen = packing.targets({k: v[:FITTED] for k, v in data.fields.items()})
    unseen = packing.pack({k: v[FITTED:] for k, v in data.fields.items()}).split(COUNT)

    student.moments = Moments(packing)
    plain = copy.deepcopy(student)
    student.moments.fit(plain.draw, seen, packing, 0)
    whole = student.moments
    only = copy.deepcopy(whole)
    only.log_gain.zero_()
    only.shift.zero_()
    with torch.no_grad():
        parts = [part for noise in noises(packing, 8) for part in noise.split(64)]
        drawn = torch.cat([plain.draw(part) for part in parts])
    only.shift.copy_(packing.weigh(seen).mean(0) - packing.weigh(drawn).mean(0))

    def show(label: str, samples: list[Tensor]) -> None:
        rows = [
            (
                energy_distance(packing.weigh(x), packing.weigh(y)),
                *(
                    one_point_distance(x[:, c], y[:, c], float(y[:, c].std()), None)
                    for c in range(y.shape[1])
                ),
                spectrum_distance(x, y, model.grid),
            )
            for x, y in zip(samples, unseen, strict=True)
        ]
        values = torch.tensor(rows)
        error = values.std(0) / len(values) ** 0.5
        told = ", ".join(f"{v:.4f} ± {e:.4f}" for v, e in zip(values.mean(0), error, strict=True))
        every = energy_distance(packing.weigh(torch.cat(samples)), packing.weigh(torch.cat(unseen)))
        print(f"{label:<18} {told}; energy distance of all {every:.5f}", flush=True)

    print("energy distance, one-point distance of each field, spectrum distance")
    show("other data", list(packing.pack(
        {k: v[: COUNT * options.draws] for k, v in data.fields.items()}
    ).split(COUNT)))  # fmt: skip
    for label, moments in (("network", None), ("mean", only), ("mean and spectrum", whole)):
        student.moments = moments or Moments(packing)
        show(label, [solved(student, noise) for noise in noises(packing, options.draws, 100)])


def noises(packing: Packing, draws: int, seed: int = 0) -> list[Tensor]:
    """Return draws of white noise."""
    shape = (COUNT, packing.channels, *packing.image)
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(draws)]


@torch.no_grad()
def solved(student: Student, noise: Tensor) -> Tensor:
    """Return a student's samples, a few at a time, as fields of values are: rounded to them."""
    packing = student.packing
    return torch.cat([packing.sharp(student(part)) for part in noise.split(64)])


if __name__ == "__main__":
    main()
