"""The pool of (noise, teacher sample) pairs that a student learns from, refreshed as it learns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from piddm.config import PairsConfig
from piddm.teachers.sampling import last
from piddm.teachers.teacher import Teacher
from piddm.tools import ranks
from piddm.tools.devices import sent
from piddm.tools.errors import PiddmError
from piddm.tools.files import read_tensors, write_tensors
from piddm.tools.progress import Progress
from piddm.tools.randomness import white


class PairPool:
    """A ring of pairs. The n-th pair ever made has its own seed; slot n % count holds it.

    After r refreshes the pool holds pairs ``r * refresh`` to ``r * refresh + count - 1``, whatever
    happened in between, so that a resumed run meets the same pairs.

    Args:
        teacher: The sampler.
        settings: Size, sampling steps and refreshes.
        shape: Shape of one packed sample.
        folder: Where finished batches of samples are kept; noise is drawn again from its seed.
        seed: The run's seed.
        fingerprint: What the samples depend on.
        device: Where to sample.
        keep: Leave all files, for other students of the same teacher; else those of pairs two
            generations old go.

    Attributes:
        seconds: What making the pairs took that it has held so far, by whomever they were made.
    """

    def __init__(
        self,
        teacher: Teacher,
        settings: PairsConfig,
        shape: tuple[int, ...],
        folder: Path,
        seed: int,
        fingerprint: str,
        device: torch.device,
        keep: bool = False,
    ) -> None:
        self.keep = keep
        self.teacher, self.settings, self.shape = teacher, settings, shape
        self.folder, self.seed, self.fingerprint = folder, seed, fingerprint
        self.device = device
        self.noise = torch.empty(settings.count, *shape)
        self.data = torch.empty(settings.count, *shape)
        self._filled = 0
        self.seconds = 0.0

    def round_at(self, step: int) -> int:
        """Return how many refreshes a student has seen before a step."""
        return step // self.settings.refresh_every

    def advance(self, refreshes: int) -> Iterator[Progress]:
        """Bring the pool to its state after so many refreshes; yield after every batch."""
        settings, spent = self.settings, self.seconds
        end = settings.count + refreshes * settings.refresh
        start = max(self._filled, end - settings.count)
        first_batch, last_batch = start // settings.batch, -(-end // settings.batch)
        if ranks.size() > 1:  # each makes some of the files, all read all of them
            total = last_batch - first_batch
            for i in ranks.turns(total):
                self._batch(first_batch + i)
                yield Progress("pairs", i, total, {})
            ranks.wait()
            self.seconds = spent
            yield Progress("pairs", total, total, {})
        for batch in range(first_batch, last_batch):
            noise, data = self._batch(batch)
            for i in range(settings.batch):
                n = batch * settings.batch + i
                if start <= n < end:
                    self.noise[n % settings.count] = noise[i]
                    self.data[n % settings.count] = data[i]
            if ranks.size() == 1:
                yield Progress("pairs", batch + 1 - first_batch, last_batch - first_batch, {})
        self._filled = end
        if not self.keep and ranks.rank() == 0:
            self._forget(end - settings.count)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return ``count`` pairs at random, on the device."""
        index = torch.randint(len(self.noise), (count,), generator=generator)
        return sent(self.noise[index], self.device), sent(self.data[index], self.device)

    def _batch(self, batch: int) -> tuple[Tensor, Tensor]:
        shape = (self.settings.batch, *self.shape)
        noise = white(shape, torch.device("cpu"), self.seed, "pairs", batch)
        path = self._path(batch)
        if (kept := self._kept(path)) is not None:
            tensors, metadata = kept
            data = tensors.get("data")
            ours = metadata.get("fingerprint") == self.fingerprint
            if ours and data is not None and data.shape == shape:
                self.seconds += float(metadata.get("seconds", "nan"))
                return noise, data
        began = time.perf_counter()
        data = last(self.teacher.sample(noise.to(self.device), self.settings.steps)).cpu()
        if not bool(data.isfinite().all()):
            raise PiddmError(
                "the teacher's samples are not finite; train it longer (teacher.steps) or lower "
                "teacher.learning_rate"
            )
        spent = time.perf_counter() - began
        self.seconds += spent
        metadata = {"fingerprint": self.fingerprint, "seconds": str(spent)}
        write_tensors(path, {"data": data}, {"piddm_kind": "pairs", **metadata})
        return noise, data

    def _kept(self, path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        try:
            return read_tensors(path, "pairs") if path.exists() else None
        except PiddmError:
            if path.exists():
                raise
            return None  # another run, which is further on, has just removed it

    def _path(self, batch: int) -> Path:
        return self.folder / f"{batch:06d}.safetensors"

    def _forget(self, oldest: int) -> None:
        """Remove files of pairs two generations old: a checkpoint may still need the last one.

        The first pool stays, for other students of the same teacher.
        """
        first = -(-self.settings.count // self.settings.batch)
        limit = (oldest - self.settings.refresh) // self.settings.batch
        for path in self.folder.glob("[0-9]*.safetensors"):
            if first <= int(path.stem) < limit:
                path.unlink(missing_ok=True)
