"""What a check and an import of data cost: seconds, and memory.

``python benchmarks/given_data.py check`` takes 1,000 samples of 128 x 128 nodes, ``import`` 10,000
of 64 x 64.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

import piddm

SIZES = {"check": (1000, 128), "import": (10_000, 64)}
"""Samples, and nodes along either axis."""

TOGETHER = 100
"""Samples that are written together."""


def build(path: Path, count: int, size: int) -> None:
    """Write sums of sines and their Laplacians."""
    draw = np.random.default_rng(0)
    grid = np.linspace(0, 1, size)
    waves = [(p, q) for p in (1, 2, 3) for q in (1, 2, 3)]
    modes = np.stack([np.outer(np.sin(np.pi * p * grid), np.sin(np.pi * q * grid))
                      for p, q in waves])  # fmt: skip
    rates = np.array([-(np.pi**2) * (p * p + q * q) for p, q in waves])
    with h5py.File(path, "w") as file:
        for name in "fu":
            file.create_dataset(name, (count, size, size), "f4", chunks=(10, size, size))
        for start in range(0, count, TOGETHER):
            own = draw.normal(size=(TOGETHER, len(waves))) / -rates
            file["u"][start : start + TOGETHER] = np.tensordot(own, modes, 1)
            file["f"][start : start + TOGETHER] = np.tensordot(own * rates, modes, 1)


def main() -> None:
    what = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.h5"
        build(path, *SIZES[what])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        if what == "check":
            found = piddm.check(path, "poisson", progress=False)
            print(found.verdict()[0])
        else:
            made, _ = piddm.import_data(path, "poisson", Path(folder) / "out.h5", progress=False)
            print(f"{made.count} samples, floor {made.about.floor}")
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{what}: {seconds:.0f} s, at most {peak / 2**20:.2f} GiB in memory, "
              f"{(peak - before) / 2**20:.2f} GiB of them for it")  # fmt: skip


if __name__ == "__main__":
    main()
