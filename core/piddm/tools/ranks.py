"""Several processes of one run, as ``torchrun`` and ``accelerate launch`` start them.

All run the same program. Random draws are labelled by what they are for, not by who draws: each
process draws the whole batch and takes its share, so that a batch, and what is learnt from it, do
not depend on how many there are. What is to be made once the first makes (:func:`told`); what
comes in pieces is made by whoever is free (:func:`turns`). Where one process was started, all of
this is nothing.

They speak through torch.distributed (gloo, and nccl between CUDA devices) and need one disk.
"""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from piddm.tools import locks, stopping
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.launched import asked, connected

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

STEP, WORK = timedelta(minutes=10), timedelta(days=1)
"""How long a process waits for the others: in a step, and for their work."""

PAUSE, GOODBYE = 0.005, 5.0
"""Seconds between two looks at whether the others are there; and that the first waits for them to
end, since the launcher may have it hold what they speak through."""


class Ended(PiddmError):
    """Another process of the run is gone."""

    def __init__(self) -> None:
        super().__init__(
            "another process of this run ended; run the same command again to go on from the last "
            "checkpoint"
        )


@dataclass
class _Group:
    rank: int
    size: int
    store: Any
    patient: Any
    made: dict[str, int] = field(default_factory=dict)

    def key(self, what: str) -> str:
        """Return a name that all processes give to the same moment."""
        self.made[what] = self.made.get(what, 0) + 1
        return f"{what}/{self.made[what]}"


_group: _Group | None = None


def rank() -> int:
    """Return the number of this process among those that joined; 0 of one."""
    return _group.rank if _group else 0


def size() -> int:
    """Return how many processes joined."""
    return _group.size if _group else 1


def join(kind: str, mark: Mapping[str, Any]) -> None:
    """Meet the other processes, and refuse those that would do something else.

    Args:
        kind: Type of the devices, ``cpu`` or ``cuda``.
        mark: What all have to agree on, by name: settings, versions.

    Raises:
        UsageError: If they do not.
        PiddmError: If they do not come.
    """
    global _group
    number, count = asked()
    if count == 1:
        return
    if _group is None:
        import torch.distributed as dist

        try:
            store = connected()
            backend = "gloo" if kind == "cpu" else "cpu:gloo,cuda:nccl"
            dist.init_process_group(
                backend, store=store, rank=number, world_size=count, timeout=STEP
            )
            patient = dist.new_group(backend="gloo", timeout=WORK)
        except (RuntimeError, ValueError) as error:
            text = " ".join(str(error).split())[:200]
            raise PiddmError(
                f"process {number} of {count} cannot meet the others ({text}); check MASTER_ADDR "
                "and MASTER_PORT, and that all were started"
            ) from error
        _group = _Group(number, count, store, patient)
        atexit.register(_leave)
    _agree({k: json.loads(json.dumps(v)) for k, v in mark.items()})


def _agree(mark: dict[str, Any]) -> None:
    first, *others = gathered({rank(): mark}).values()
    for number, other in enumerate(others, 1):
        for name in {**first, **other}:
            if first.get(name) != other.get(name):
                raise UsageError(
                    f"process {number} has another {name} than the first: {other.get(name)}, not "
                    f"{first.get(name)}; start all with the same command and software"
                )


def _leave() -> None:
    import torch.distributed as dist

    # One that is in the middle of an exchange hears of nothing until it breaks; then it asks the
    # store, which the first may hold, who has said why the run ends.
    with suppress(Exception):  # the others may be gone
        connected().add("left", 1)
        _see_off(GOODBYE / 10)
        dist.destroy_process_group()
        _see_off(GOODBYE)


def _see_off(seconds: float) -> None:
    """Wait in the first process until the others have left, no longer than told."""
    end = time.monotonic() + seconds
    while rank() == 0 and time.monotonic() < end and connected().add("left", 0) < size():
        time.sleep(PAUSE)


def wait() -> None:
    """Wait until every process is here.

    Raises:
        Ended: If one of them never will be.
    """
    gathered({})


def told(work: Callable[[], T]) -> T:
    """Do something in the first process alone, and tell the others what came of it.

    Args:
        work: Returns what JSON can hold.

    Raises:
        PiddmError: In all of them, if it fails in the first.
    """
    if _group is None:
        return work()
    failure, said = None, {}
    if _group.rank == 0:
        try:
            said = {"value": work()}
        except PiddmError as error:
            failure, said = error, {"error": str(error), "usage": isinstance(error, UsageError)}
    said = gathered({0: said} if _group.rank == 0 else {})[0]
    if failure is not None:
        raise failure
    if "error" in said:
        raise (UsageError if said["usage"] else PiddmError)(said["error"])
    return said["value"]


def alone(steps: Iterable[T]) -> Iterator[T]:
    """Take steps in the first process, for which the others wait."""
    if rank() == 0:
        yield from steps
    wait()


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock for all of them, see :func:`piddm.tools.locks.locked`."""
    with locks.locked(path, what) if rank() == 0 else nullcontext():
        wait()
        yield


def turns(count: int) -> Iterator[int]:
    """Yield the numbers below ``count`` that this process is to see to: the next that is free."""
    if _group is None:
        yield from range(count)
        return
    key = _group.key("turns")
    try:
        while (n := _group.store.add(key, 1) - 1) < count:
            yield n
    except RuntimeError as error:
        stopping.heard()
        raise Ended from error


def gathered(own: Mapping[int, Any]) -> dict[int, Any]:
    """Return what all processes have, by number, in order; values are what JSON can hold."""
    if _group is None:
        return dict(own)
    import torch

    data = torch.frombuffer(bytearray(json.dumps(dict(own)).encode()), dtype=torch.uint8)
    lengths = _exchanged(torch.tensor([len(data)]))
    longest = max(int(n) for n in lengths)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(data)] = data
    parts = zip(_exchanged(padded), lengths, strict=True)
    every = [json.loads(bytes(part[: int(n)].tolist())) for part, n in parts]
    return {int(k): v for part in every for k, v in part.items()}


def _exchanged(own: Tensor) -> list[Tensor]:
    """Return everybody's small tensor on the CPU; a signal is heard while others are waited for."""
    import torch
    import torch.distributed as dist

    assert _group is not None
    found = [torch.empty_like(own) for _ in range(_group.size)]
    try:
        work = dist.all_gather(found, own, group=_group.patient, async_op=True)
        assert work is not None
        while not work.is_completed():
            time.sleep(PAUSE)
        work.wait()
    except RuntimeError as error:
        stopping.heard()
        raise Ended from error
    return found


def share(batch: Tensor) -> Tensor:
    """Return this process' part of a batch."""
    count, n, of = len(batch), rank(), size()
    return batch[count * n // of : count * (n + 1) // of]


def drawn(draw: Callable[[int], Tensor], own: int) -> Tensor:
    """Return this process' part of a batch of which it has ``own`` samples, drawn as a whole."""
    return share(draw(own * size()))


def every(batch: Tensor) -> Tensor:
    """Return the parts of all processes, without gradients; all have as many samples."""
    if _group is None:
        return batch.detach()
    import torch
    import torch.distributed as dist

    found = [torch.empty_like(batch) for _ in range(_group.size)]
    _together(lambda: dist.all_gather(found, batch.detach().contiguous()))
    return torch.cat(found)


def average(tensors: Sequence[Tensor]) -> None:
    """Put into tensors, in one exchange, their means over the processes."""
    if _group is None or not tensors:
        return
    import torch
    import torch.distributed as dist

    flat = torch.cat([t.detach().reshape(-1) for t in tensors])
    _together(lambda: dist.all_reduce(flat))
    parts = flat.div_(_group.size).split([t.numel() for t in tensors])
    for t, part in zip(tensors, parts, strict=True):
        t.detach().copy_(part.view_as(t))


def same(tensors: Sequence[Tensor]) -> None:
    """Put into tensors what those of the first process hold: machines may round otherwise."""
    if _group is None:
        return
    import torch.distributed as dist

    for t in tensors:
        _together(lambda t=t: dist.broadcast(t.detach(), 0))


def _together(exchange: Callable[[], Any]) -> None:
    try:
        exchange()
    except RuntimeError as error:
        stopping.heard()
        raise Ended from error
