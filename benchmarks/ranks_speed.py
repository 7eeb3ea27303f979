"""What two processes of one thread gain over one, at the same global batch, stage by stage.

    python benchmarks/ranks_speed.py [--pde burgers] [--size 64] [--rounds 2]

One process, then two, in turns on the same two cores; a number is the least over the rounds. On
quiet cores look at ``clock``. Elsewhere look at ``processor``: what one process spends, over what
the busier one of two spends, waiting not counted, which other work hardly changes.

``ceiling`` is what the machine itself allows by the clock: two processes that know nothing of each
other, each with the whole work of one, take longer than one alone where they share memory and
caches; two that share the work cannot gain more than twice its inverse.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch
from machine import describe

import several
from piddm import api
from piddm.tools import ranks
from piddm.tools.progress import Progress
from piddm.training.optimisation import Optimisation

STEPS = 5
"""Steps of each training; the first is not counted."""

CHANGES = {
    "data.train": 112, "data.held_out": 16, "pairs.count": 64, "pairs.batch": 16,
    "teacher.steps": STEPS, "student.steps": STEPS,
}  # fmt: skip

BESIDE = 0
"""In place of the number of processes of a run: two runs of one process each, at once."""

Spent = tuple[float, float]
"""Seconds by the clock and of the processor."""


def work(pde: str, size: int, home: Path) -> Callable[[], None]:
    """Return a process' work, which leaves what each stage took in a file."""

    def run() -> None:
        torch.set_num_threads(1)
        steps: dict[str, list[Spent]] = {}
        take = Optimisation._step

        def timed(job: Optimisation, *loss) -> None:
            began = _now()
            take(job, *loss)
            steps.setdefault(job.stage, []).append(_since(began))

        Optimisation._step = timed
        job = api.prepare(pde, "default", overrides=CHANGES | {"data.size": size})
        found = {"simulate": _spent(job.simulate())}
        _spent(job.train())
        found["pairs"] = _spent(job.context.pairs.advance(0))
        _spent(job.distill())
        for stage, spent in steps.items():
            found[f"{stage} step"] = tuple(map(min, zip(*spent[1:], strict=True)))
        (home / f"{ranks.rank()}.json").write_text(json.dumps(found))

    return run


def side_by_side(pde: str, size: int, home: Path) -> Iterator[tuple[str, Spent]]:
    """Yield what each stage takes two processes that know nothing of each other, the slower one."""
    homes = [home / str(k) for k in range(2)]
    both = [several.start(own, work(pde, size, own)) for own in homes]
    for own, processes in zip(homes, both, strict=True):
        (ended,) = several.end(own, processes, 600)
        assert not ended.code, ended
    one, other = (json.loads((own / "0.json").read_text()) for own in homes)
    for stage in one:
        yield stage, tuple(max(found[stage][i] for found in (one, other)) for i in range(2))


def _now() -> Spent:
    return time.perf_counter(), time.process_time()


def _since(began: Spent) -> Spent:
    (clock, processor), (one, two) = began, _now()
    return one - clock, two - processor


def _spent(steps: Iterator[Progress]) -> Spent:
    ranks.wait()
    began = _now()
    for _ in steps:
        pass
    ranks.wait()
    return _since(began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pde", default="burgers")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args()
    print(describe(), flush=True)
    best: dict[str, dict[int, Spent]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for n in range(chosen.rounds):
            for count in (1, 2):
                home = Path(folder) / f"{count}-{n}"
                job = work(chosen.pde, chosen.size, home)
                ended = several.together(home, *[job] * count)
                assert not any(p.code for p in ended), ended
                found = [json.loads((home / f"{k}.json").read_text()) for k in range(count)]
                for stage in found[0]:
                    busier = tuple(max(own[stage][i] for own in found) for i in range(2))
                    least = best.setdefault(stage, {})
                    least[count] = tuple(map(min, least.get(count, busier), busier))
            for stage, busier in side_by_side(chosen.pde, chosen.size, Path(folder) / f"s-{n}"):
                least = best[stage]
                least[BESIDE] = tuple(map(min, least.get(BESIDE, busier), busier))
    print(f"{'':14}{'one, s':>10}{'two, s':>10}{'clock':>8}{'processor':>11}{'ceiling':>9}")
    for stage, least in best.items():
        (one, own), (two, busier), (beside, _) = least[1], least[2], least[BESIDE]
        print(f"{stage:14}{one:10.3f}{two:10.3f}{one / two:8.2f}{own / busier:11.2f}"
              f"{2 * one / beside:9.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
