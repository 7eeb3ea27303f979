"""What ``torch.compile`` gains the network and the residual of a training step, on this machine.

    python benchmarks/compiled.py [--pde darcy] [--size 64] [--batch 32] [--parts network residual]
        [--kinds value gradient]

A call (``value``), and a loss with its gradient (``gradient``), of one network of the default size
and of one residual, plain and compiled: seconds of the processor of one thread, the least of
several. Compiling starts from an empty cache and is told in two: what Python spends on it, and what
the C++ compiler does. Before the first of them come the compiler's own trials, which a machine
makes once. It needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from machine import describe
from torch import Tensor
from torch._dynamo.utils import counters
from torch._inductor import config as inductor

from piddm import api
from piddm.tools.progress import follow

REPEATS = 6
"""Calls, of which the fastest counts."""


@dataclass(frozen=True)
class Compiled:
    """What a first call took: seconds of this process and of the compilers that it started."""

    python: float
    compiler: float
    graphs: int


def least(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest call."""
    found = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def children() -> float:
    """Return the seconds of the processor of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first(work: Callable[[], object]) -> Compiled:
    """Make the first call of something compiled, and return what it took."""
    counters.clear()
    own, theirs = time.process_time(), children()
    work()
    spent = time.process_time() - own, children() - theirs
    return Compiled(*spent, counters["stats"]["unique_graphs"])


def trials() -> None:
    """Compile a sum, for the compiler's trials and headers, and say what they took."""
    took = first(lambda: torch.compile(lambda x: (x + 1).sin())(torch.ones(64)))
    print(f"trials: {took.python:.1f} s, C++ {took.compiler:.1f} s", flush=True)


def compare(name: str, function: Callable[..., Tensor], given: tuple, kinds: Sequence[str]) -> None:
    """Print what compiling a function gains its value, and its value and gradient."""

    def value(call: Callable[..., Tensor]) -> Callable[[], None]:
        def work() -> None:
            with torch.no_grad():
                call(*given)

        return work

    def gradient(call: Callable[..., Tensor]) -> Callable[[], None]:
        return lambda: call(*given).square().mean().backward()

    steps = {"value": value, "gradient": gradient}
    for kind, step in ((kind, steps[kind]) for kind in kinds):
        torch._dynamo.reset()
        plain = least(step(function))
        work = step(torch.compile(function, dynamic=False))
        try:
            took = first(work)
        except Exception as error:  # inductor's are of all kinds
            print(
                f"{name}, {kind}: {plain:.4f} s; not compiled: {str(error).splitlines()[0][:100]}"
            )
            continue
        gained = least(work)
        calls = (took.python + took.compiler) / (plain - gained) if gained < plain else float("inf")
        print(
            f"{name}, {kind}: plain {plain:.4f} s, compiled {gained:.4f} s, {plain / gained:.2f} "
            f"times as fast; compiling {took.python:.0f} s, C++ {took.compiler:.0f} s, "
            f"{took.graphs} graphs; made good after {calls:.0f} calls",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pde", default="darcy")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--parts", nargs="+", default=["residual", "network"])
    parser.add_argument("--kinds", nargs="+", default=["value", "gradient"])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    # In this process: helpers that wait for work would not be counted, and would share its core.
    inductor.compile_threads = 1
    print(describe(), flush=True)
    changes = {"data.size": chosen.size, "data.train": 48, "data.held_out": 8, "teacher.steps": 1}
    job = api.prepare(chosen.pde, "default", overrides=changes)
    for stage in (job.simulate(), job.train()):
        follow(stage)
    teacher = job.teacher.requires_grad_(True)
    x = job.packing.pack({k: v[: chosen.batch] for k, v in job.data[0].fields.items()})
    t = torch.linspace(0.1, 0.9, len(x))
    fields = {k: v.clone().requires_grad_() for k, v in job.packing.unpack(x).items()}
    residual, scale = job.residual, job.scale

    def rows(fields: dict[str, Tensor]) -> Tensor:
        found = residual(fields)
        return torch.cat([(v / scale[k]).flatten() for k, v in found.items()])

    parts: dict[str, tuple[Callable[..., Tensor], tuple]] = {
        "residual": (rows, (fields,)),
        "network": (teacher.network, (x, t)),
    }
    with tempfile.TemporaryDirectory() as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
        trials()
        for name in chosen.parts:
            compare(name, *parts[name], chosen.kinds)


if __name__ == "__main__":
    main()
