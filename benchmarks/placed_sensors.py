"""Half of the sensors, placed, against random ones: is the error the same?

python benchmarks/placed_sensors.py [--size 24] [--count 20] [--truths 12] [--pde NAME ...]

Printed is the error of the unknown input's mean over truths with sensors placed by the law of the
inputs, with as many random ones, and with twice as many, each with a standard error.
"""

from __future__ import annotations

import argparse

from piddm.runs.asking import equation_model
from piddm.runs.next_sensors import Wish, checked, place_sensors
from piddm.tasks.placement import Placement
from piddm.tools.progress import follow


def mean(values: list[float]) -> str:
    n = len(values)
    middle = sum(values) / n
    spread = (sum((v - middle) ** 2 for v in values) / max(n - 1, 1)) ** 0.5
    return f"{100 * middle:.1f} +- {100 * spread / n**0.5:.1f} %"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", type=int, default=24)
    options.add_argument("--count", type=int, default=20)
    options.add_argument("--truths", type=int, default=12)
    options.add_argument("--noise", type=float, default=0.02)
    options.add_argument("--fields", default="u")
    options.add_argument("--pde", nargs="*", default=["poisson", "helmholtz"])
    given = options.parse_args()
    for name in given.pde:
        model = equation_model(name, given.size, progress=False)
        wish = Wish(given.fields, given.count, noise=given.noise)
        made: list[Placement] = []

        def work(model=model, wish=wish, made=made):
            found = yield from place_sensors(model, wish)
            made.append((yield from checked(model, wish, found, given.truths, seed=500)))

        follow(work(), quiet=True)
        (found,) = made
        about = ", ".join(found.about)
        print(f"{name}, {given.count} sensors of {given.fields}, error of {about}: "
              + ", ".join(f"{k} {mean(v)}" for k, v in found.errors.items())
              + f"; variance left {100 * found.left[-1]:.1f} %", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
