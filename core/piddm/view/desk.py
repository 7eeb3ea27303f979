"""One question at a time: the newest of each panel counts, those that it supersedes are dropped.

Solvers yield their progress; between two steps a question that nobody waits for any more ends. One
thread answers, so that a person who moves a sensor has the whole processor for the newest place.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from piddm.tools.progress import Progress

Result = TypeVar("Result")
Stop = Callable[["Progress | None"], None]
"""Called between steps with the progress; raises :class:`Superseded` where the work is to end."""

PANELS = 64
"""Panels that are remembered: those of some pages."""

PATIENCE = 0.2
"""Seconds between two looks at whether the browser still waits."""


class Superseded(Exception):
    """A newer question came, or nobody waits for the answer."""


class Desk:
    """Takes questions of panels."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="piddm-view")
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._progress: dict[str, tuple[str, int, int]] = {}

    def before(self, work: Callable[[], object]) -> None:
        """Have something done in the desk's thread before all else."""
        self._worker.submit(work)

    async def do(
        self, panel: str, work: Callable[[Stop], Result], gone: Callable[[], Awaitable[bool]]
    ) -> Result:
        """Do a panel's newest work.

        Args:
            panel: Whose.
            work: What is done, in the desk's thread.
            gone: Whether nobody waits any more.

        Raises:
            Superseded: If newer work of the panel came before this was done.
        """
        number = self._newest.pop(panel, 0) + 1
        self._newest[panel] = number
        while len(self._newest) > PANELS:
            self._newest.popitem(last=False)
        left = threading.Event()

        def stop(progress: Progress | None = None) -> None:
            if left.is_set() or self._newest.get(panel) != number:
                raise Superseded
            if progress is not None:
                self._progress[panel] = (progress.stage, progress.done, progress.total)

        def job() -> Result:
            stop()
            try:
                return work(stop)
            finally:
                self._progress.pop(panel, None)

        future = asyncio.get_running_loop().run_in_executor(self._worker, job)
        while not (await asyncio.wait({future}, timeout=PATIENCE))[0]:
            if not left.is_set() and await gone():
                left.set()
        return future.result()

    def progress(self, page: str) -> dict[str, tuple[str, int, int]]:
        """Return stage, steps done and steps in all of each panel of a page that is at work."""
        return {k.partition("/")[2]: v for k, v in self._progress.copy().items()
                if k.partition("/")[0] == page}  # fmt: skip

    def close(self) -> None:
        """Take no more work; what is under way ends at its next step."""
        self._newest.clear()
        self._worker.shutdown(wait=False, cancel_futures=True)
