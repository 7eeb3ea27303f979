"""The whole benchmark: every equation and seed, one after another or several at once."""

from __future__ import annotations

import multiprocessing
import queue
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from piddm.bench.contest import Contest
from piddm.bench.entries import Entry
from piddm.config import Config
from piddm.errors import PiddmError
from piddm.plugins import get_pde, use_files
from piddm.training import Progress

LOOK_SECONDS = 1.0
"""How long to wait for news before processes are looked after."""


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Args:
        configs: One for each equation and seed, in the order in which they are run.
        entries: The competitors.
        folder: Where everything is kept.
        device: ``cpu`` or a CUDA device.
        plugin_files: Plugins that are files.
        questions: What solvers are asked, each as ``TASK/SOLVER``.
    """

    configs: Sequence[Config]
    entries: Sequence[Entry]
    folder: Path
    device: str = "cpu"
    plugin_files: tuple[Path, ...] = ()
    questions: tuple[str, ...] = ()


def run(plan: Plan, jobs: int = 1) -> Iterator[Progress]:
    """Run what is missing.

    Args:
        plan: What.
        jobs: Equations and seeds at once, each in a process of its own.

    Raises:
        PiddmError: If a process ended before its work did, once the others have done theirs.
    """
    if jobs > 1:
        yield from _processes(plan, jobs)
        return
    for config in plan.configs:
        yield from _one(plan, config)


def _one(plan: Plan, config: Config) -> Iterator[Progress]:
    pde = get_pde(config.pde)
    contest = Contest(config, pde, plan.entries, plan.folder, plan.device, plan.questions)
    for now in contest.run():
        yield replace(now, stage=f"{config.pde} {config.seed} {now.stage}")


def _processes(plan: Plan, jobs: int) -> Iterator[Progress]:
    # Spawned, not forked: a fork of a process whose torch has threads may hang.
    context = multiprocessing.get_context("spawn")
    news: Any = context.Queue()
    threads = max(1, torch.get_num_threads() // jobs)
    waiting, at_work = list(plan.configs), {}
    lost: list[str] = []
    try:
        while waiting or at_work:
            while waiting and len(at_work) < jobs:
                config = waiting.pop(0)
                process = context.Process(target=_work, args=(plan, config, threads, news))
                process.start()
                at_work[process] = f"{config.pde} {config.seed}"
            with suppress(queue.Empty):
                kind, said = news.get(timeout=LOOK_SECONDS)
                if kind == "error":
                    lost.append(said)
                else:
                    yield said
            for process in [p for p in at_work if not p.is_alive()]:
                name = at_work.pop(process)
                if process.exitcode:
                    lost.append(f"{name}: its process ended with code {process.exitcode}, out of "
                                "memory perhaps: try --jobs 1")  # fmt: skip
        with suppress(queue.Empty):
            while True:  # what the last said last
                kind, said = news.get(timeout=LOOK_SECONDS)
                if kind == "error":
                    lost.append(said)
    finally:
        for process in at_work:
            process.terminate()
            process.join()
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise PiddmError(
            f"{lost[0]}{more}; the rest is done and kept, and the same command goes on"
        )


def _work(plan: Plan, config: Config, threads: int, news: Any) -> None:
    """Run one equation and seed in a process of its own."""
    torch.set_num_threads(threads)
    use_files(plan.plugin_files)
    parent, name = multiprocessing.parent_process(), f"{config.pde} {config.seed}"
    try:
        for now in _one(plan, config):
            if parent is not None and not parent.is_alive():
                return  # nobody is left to listen: it was killed
            news.put(("progress", now))
    except PiddmError as error:
        news.put(("error", f"{name}: {error}"))
    except KeyboardInterrupt:
        pass
    except Exception:
        said = traceback.format_exc(limit=-2).replace("\n", " ")
        news.put(("error", f"{name}: {said}"))
