"""Progress of a run: bars on a terminal, plain lines in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from piddm.tools import ranks


@dataclass(frozen=True)
class Progress:
    """Where a stage stands, for a progress bar, a log or an early stop.

    Args:
        stage: Name of the stage.
        done: Steps that are done.
        total: Steps that there are.
        values: Numbers of this step by name, such as ``{"loss": 0.1}``.
    """

    stage: str
    done: int
    total: int
    values: dict[str, float]


LINE_SECONDS = 5.0
"""Least time between two plain lines of a stage; its last is always printed."""


def follow(steps: Iterable[Progress], quiet: bool = False) -> int:
    """Run an iterator of progress to its end, showing it on standard error.

    Args:
        steps: What to run.
        quiet: Show nothing.

    Returns:
        How many steps there were; 0 means that nothing was left to do.
    """
    if quiet or ranks.rank() > 0:  # one of several processes speaks
        return sum(1 for _ in steps)
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return _bars(steps)
    return _lines(steps)


class _Stage:
    """When a stage began, and what it last said."""

    def __init__(self, first: Progress, began: float) -> None:
        self.began = self.said = began
        # A resumed stage starts in the middle: only what is done from here on tells its speed.
        self.first, self.first_time = first.done, time.monotonic()

    def line(self, now: Progress) -> str:
        clock = time.monotonic()
        text = f"{now.stage:<9}{now.done:>6}/{now.total}  {_values(now)}"
        text = f"{text.rstrip()}  elapsed {_duration(clock - self.began)}"
        done, left = now.done - self.first, now.total - now.done
        if done > 0 and left > 0:
            text += f", about {_duration((clock - self.first_time) / done * left)} left"
        return text


def _lines(steps: Iterable[Progress]) -> int:
    stages: dict[str, _Stage] = {}
    count, previous = 0, time.monotonic()
    for now in steps:
        count += 1
        stage = stages.get(now.stage)
        if stage is None or now.done <= stage.first:  # a stage may come back: refreshed pairs
            stage = stages[now.stage] = _Stage(now, previous)
        previous = time.monotonic()
        if now.done == now.total or previous - stage.said >= LINE_SECONDS:
            print(stage.line(now), file=sys.stderr, flush=True)
            stage.said = previous
    return count


def _bars(steps: Iterable[Progress]) -> int:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<9}"), BarColumn(24), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[values]}"),
    )  # fmt: skip
    count = 0
    tasks, done = {}, {}
    # Few frames a second: the processor is for the training.
    with Bars(*columns, console=Console(stderr=True), refresh_per_second=4) as bars:
        for now in steps:
            count += 1
            if now.stage not in tasks:
                tasks[now.stage] = bars.add_task(now.stage, total=now.total, values="")
            elif now.done <= done[now.stage]:
                bars.reset(tasks[now.stage], total=now.total)
            done[now.stage] = now.done
            bars.update(tasks[now.stage], completed=now.done, total=now.total, values=_values(now))
    return count


def _values(now: Progress) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in now.values.items())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
