"""The whole benchmark: one equation and seed after another, or competitors in several processes."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from piddm.bench.contest import Contest
from piddm.bench.entries import Entry
from piddm.config import Config
from piddm.plugins.loader import get_pde, use_files
from piddm.tools.errors import PiddmError
from piddm.tools.progress import Progress


@dataclass(frozen=True)
class Plan:
    """The plan of a benchmark.

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
        jobs: Competitors at once, each in a process of its own.

    Raises:
        PiddmError: If a process ended before its work did, once the others have done theirs.
    """
    if jobs > 1:
        yield from _processes(plan, jobs)
        return
    for config in plan.configs:
        yield from _named(config, _contest(plan, config).run())


def _contest(plan: Plan, config: Config) -> Contest:
    pde = get_pde(config.pde)
    return Contest(config, pde, plan.entries, plan.folder, plan.device, plan.questions)


def _named(config: Config, work: Iterator[Progress]) -> Iterator[Progress]:
    for now in work:
        yield replace(now, stage=f"{config.pde} {config.seed} {now.stage}")


@dataclass(frozen=True)
class Part:
    """A part of the work, which one process does at a time.

    Args:
        config: Equation and seed.
        labels: Competitors that train the same; none stands for what all of them share.
    """

    config: Config
    labels: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Equation and seed."""
        return f"{self.config.pde} {self.config.seed}"


Said = Progress | list[tuple[str, ...]] | str
"""Messages of a process: how far it is; that its part is done, and what can be done now; or why it
is not done."""


@dataclass
class Worker:
    """A process that does one part after another."""

    process: BaseProcess
    line: Connection
    part: Part | None = None
    config: Config | None = None

    def give(self, part: Part) -> None:
        """Have a part done."""
        self.part, self.config = part, part.config
        with suppress(OSError):  # it is dead, which is found out when it is listened to
            self.line.send(part)


def _processes(plan: Plan, jobs: int) -> Iterator[Progress]:
    threads = max(1, torch.get_num_threads() // jobs)
    waiting, workers = [Part(c) for c in plan.configs], list[Worker]()
    lost: list[str] = []
    try:
        while waiting or any(w.part for w in workers):
            for worker in [w for w in workers if w.part is None]:
                if waiting:
                    worker.give(_next(waiting, worker.config))
            while waiting and len(workers) < jobs:
                workers.append(_hired(plan, threads))
                workers[-1].give(waiting.pop(0))
            at_work = {w.line: (w, w.part) for w in workers if w.part}
            ready = wait(list(at_work))
            for line, (worker, part) in at_work.items():
                if line not in ready:
                    continue
                try:
                    said: Said = line.recv()
                except (EOFError, OSError):
                    workers.remove(worker)
                    said = _death(worker.process)
                if isinstance(said, Progress):
                    yield said
                    continue
                if isinstance(said, str):
                    lost.append(f"{part.name}: {said}")
                else:
                    waiting += [Part(part.config, labels) for labels in said]
                worker.part = None
    finally:
        for worker in workers:
            worker.process.terminate()
            worker.process.join()
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise PiddmError(
            f"{lost[0]}{more}; the rest is done and kept, and the same command goes on"
        )


def _next(waiting: list[Part], config: Config | None) -> Part:
    """Take the next part, of the equation and seed that a process knows already if there is one."""
    same = (i for i, part in enumerate(waiting) if part.config == config)
    return waiting.pop(next(same, 0))


def _hired(plan: Plan, threads: int) -> Worker:
    # Spawned, not forked: a fork of a process whose torch has threads may hang.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(plan, threads, theirs))
    with _deaf():
        process.start()
    theirs.close()  # so that its death ends the line
    return Worker(process, ours)


@contextmanager
def _deaf() -> Iterator[None]:
    """Have processes that are started within ignore Ctrl-C: who started them ends them."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread, to which alone it comes
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _death(process: BaseProcess) -> str:
    process.join()
    return f"its process ended with code {process.exitcode}, out of memory perhaps: try --jobs 1"


def _work(plan: Plan, threads: int, line: Connection) -> None:
    """Do parts until there are no more, or nobody is left to listen."""
    torch.set_num_threads(threads)
    use_files(plan.plugin_files)
    contest: Contest | None = None
    with suppress(EOFError, OSError):
        while True:
            part: Part = line.recv()
            if contest is None or contest.config != part.config:
                contest = _contest(plan, part.config)
            try:
                work = contest.compete(part.labels) if part.labels else contest.begin()
                for now in _named(part.config, work):
                    line.send(now)
            except PiddmError as error:
                line.send(str(error))
            except Exception:
                line.send(traceback.format_exc(limit=-2).replace("\n", " "))
            else:
                line.send([] if part.labels else contest.groups())
