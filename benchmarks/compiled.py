"""What ``torch.compile`` gains the network and the residual of a training step, on this machine.

    python benchmarks/compiled.py [--pde darcy] [--size 64] [--batch 8]

A loss' value and gradient, plain and compiled, seconds of the processor of one thread, the least
of several; and what compiling took. It needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from machine import describe
from torch import Tensor

from piddm import api
from piddm.tools.progress import follow

REPEATS = 8
"""Calls, of which the fastest counts."""


def least(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest call."""
    found = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pde", default="darcy")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(describe(), flush=True)
    changes = {"data.size": chosen.size, "data.train": 24, "data.held_out": 8, "teacher.steps": 1}
    job = api.prepare(chosen.pde, "default", overrides=changes)
    for stage in (job.simulate(), job.train()):
        follow(stage)
    teacher = job.teacher.requires_grad_(True)
    x = job.packing.pack({k: v[: chosen.batch] for k, v in job.data[0].fields.items()})
    t = torch.linspace(0.1, 0.9, len(x))
    fields = {k: v.clone().requires_grad_() for k, v in job.packing.unpack(x).items()}
    residual, scale = job.residual, job.scale

    def network(x: Tensor, t: Tensor) -> Tensor:
        return teacher.network(x, t)

    def rows(fields: dict[str, Tensor]) -> Tensor:
        found = residual(fields)
        return torch.cat([(v / scale[k]).flatten() for k, v in found.items()])

    for name, function, given in (("network", network, (x, t)), ("residual", rows, (fields,))):

        def step(call: Callable[..., Tensor], given: tuple = given) -> Callable[[], None]:
            return lambda: call(*given).square().mean().backward()

        plain = least(step(function))
        compiled = step(torch.compile(function))
        began = time.process_time()
        try:
            compiled()
        except Exception as error:  # inductor's are of all kinds
            print(f"{name}: {plain:.4f} s; not compiled: {str(error).splitlines()[0][:100]}")
            continue
        took = time.process_time() - began
        gained = least(compiled)
        print(
            f"{name}: plain {plain:.4f} s, compiled {gained:.4f} s, {plain / gained:.2f} times "
            f"as fast; compiling {took:.0f} s, and more in processes of its own",
            flush=True,
        )


if __name__ == "__main__":
    main()
