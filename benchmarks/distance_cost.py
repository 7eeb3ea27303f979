"""What a distance to solutions costs between walls: seconds a sample, and memory.

``python benchmarks/distance_cost.py NODES [banded,own]`` takes two samples of Darcy flow, 2 % off.
"""

from __future__ import annotations

import resource
import sys
import time

import torch

import piddm
from piddm.numerics.projection import Projection
from piddm.residuals.norms import term_scale

OFF = 0.02
"""Noise, over each field's deviation."""


def main() -> None:
    size, ways = int(sys.argv[1]), (sys.argv[2:] or ["banded,own"])[0].split(",")
    pde = piddm.get_pde("darcy")
    residual = pde.bind(pde.grid.resized(size))
    data = piddm.make_dataset(pde, 2, size=size, seed=0, progress=False)
    fields = {k: v.double() for k, v in data.fields.items()}
    scale = term_scale(residual, fields)
    deviation = {k: float(v.std()) for k, v in fields.items()}
    draw = torch.Generator().manual_seed(1)
    off = {k: v + OFF * deviation[k] * torch.randn(v.shape, generator=draw).double()
           for k, v in fields.items()}  # fmt: skip
    for way in ways:
        projection = Projection(residual, deviation, scale, algebra=way)  # pyright: ignore
        began = time.perf_counter()
        distance = projection.distance(off)
        seconds = (time.perf_counter() - began) / len(distance)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{size} x {size}, {way}: {seconds:.2f} s a sample, {peak:.2f} GiB in memory so far, "
              f"distances {', '.join(f'{float(d):.4e}' for d in distance)}")  # fmt: skip


if __name__ == "__main__":
    main()
