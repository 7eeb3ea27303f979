"""A run told to a tracker of experiments: losses step by step, scores at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from piddm.plugins.loader import current
from piddm.tools import ranks
from piddm.tools.progress import Progress

if TYPE_CHECKING:
    from piddm.runs.stages import Distillation


class Tracker(ABC):
    """Takes what a run tells; made as ``build(run)`` before its first step.

    ``run.config`` are its settings, ``run.folder`` is its folder, ``run.pde`` its equation.
    """

    @abstractmethod
    def note(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Take numbers.

        Args:
            stage: ``simulate``, ``teacher``, ``pairs``, ``student`` or ``evaluate``; at the end
                ``scores/SOURCE``.
            step: Steps of the stage that are done.
            values: Losses of the step, by name, or scores; none where a stage tells none.
        """

    @abstractmethod
    def close(self) -> None:
        """End, whether the run came to its end or not."""


def tracked(run: Distillation, name: str) -> Iterator[Progress]:
    """Do what is missing of a run, and tell a tracker; without a name, nobody.

    Of several processes the first tells.

    Raises:
        UsageError: If there is no such tracker, or its package is missing.
    """
    if not name or ranks.rank() > 0:
        yield from run.run()
        return
    tracker = current().build("tracker", name, Tracker, run)
    try:
        for now in run.run():
            if now.values:
                tracker.note(now.stage, now.done, now.values)
            yield now
        for source, scores in run.scores().items():
            numbers = {
                k: float(v) for k, v in scores.model_dump().items()
                if isinstance(v, int | float) and not isinstance(v, bool)
            }  # fmt: skip
            tracker.note(f"scores/{source}", 0, numbers)
    finally:
        tracker.close()
