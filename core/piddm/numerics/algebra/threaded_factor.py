"""Sparse factorisations that live and die in one thread.

SuperLU, as scipy wraps it, notes its memory by thread: what another thread releases is never freed
(3 MB for a plane of 64 x 64 nodes). Each factorisation therefore has a thread of its own for life,
and several of them still keep several processors busy.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from scipy.sparse.linalg import SuperLU

Cell = list[SuperLU]
"""Where a factorisation is kept, so that its thread can drop it."""


class _Thread:
    """A thread, and the factorisations that it has yet to drop."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="factorisation")
        self.dropped: deque[Cell] = deque()

    def fill(self, cell: Cell, make: Callable[[], SuperLU]) -> int:
        self.sweep()
        cell.append(make())
        return int(cell[0].nnz)

    def sweep(self) -> None:
        while self.dropped:
            self.dropped.pop().clear()


_THREADS: list[_Thread] = []
"""Threads that factorise and solve, made when first needed; SuperLU frees only in its own."""
# A fork of this process has no threads.
os.register_at_fork(after_in_child=_THREADS.clear)


class Factorisation:
    """One SuperLU factorisation, made, used and released by the same thread.

    Args:
        number: Which of many it is; they go round the threads that torch may use.
        make: Returns the factorisation; its errors show in :meth:`entries` and :meth:`solve`.
    """

    def __init__(self, number: int, make: Callable[[], SuperLU]) -> None:
        self._thread = _thread(number % torch.get_num_threads())
        self._cell: Cell = []
        self._made = self._thread.pool.submit(self._thread.fill, self._cell, make)
        # A finaliser may run anywhere, inside a lock of the pool too: it leaves word, no more.
        weakref.finalize(self, self._thread.dropped.append, self._cell).atexit = False

    def entries(self) -> int:
        """Return the entries of both factors; waits until they are there."""
        return self._made.result()

    def solve(self, sides: np.ndarray) -> Future[np.ndarray]:
        """Begin to solve for right-hand sides, ``(size,)`` or ``(size, count)``."""
        self._made.result()
        return self._thread.pool.submit(_solve, self._cell, sides)

    def release(self) -> None:
        """Free the memory now; what has begun is ended before."""
        self._thread.dropped.append(self._cell)
        self._thread.pool.submit(self._thread.sweep).result()


def _thread(index: int) -> _Thread:
    while len(_THREADS) <= index:
        _THREADS.append(_Thread())
    return _THREADS[index]


def _solve(cell: Cell, sides: np.ndarray) -> np.ndarray:
    return cell[0].solve(sides)
