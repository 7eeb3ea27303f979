"""A resumable optimisation: a plain loop that yields its state after every step."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from piddm.config import OptimiserConfig
from piddm.tools import ranks, stopping
from piddm.tools.errors import PiddmError
from piddm.tools.files import read_tensors, write_tensors
from piddm.tools.progress import Progress

Loss = Callable[[nn.Module, int], dict[str, Tensor]]
"""Module and step number to named scalars, of which ``loss`` is minimised."""

SAVE_SECONDS = 10.0
"""Time between checkpoints: what a killed run loses at most."""

READ_EVERY = 10
"""Steps between two looks at the losses on an accelerator: each look waits for the device."""


class Optimisation:
    """AdamW on a module, an average of its weights, and a checkpoint of both.

    Random numbers come from ``(seed, step)``, so the state is weights, moments and a step number.
    Several processes have the same state: gradients and losses are the means of theirs, and the
    first one saves. What a module is made of is theirs alike, whether a loss calls it or its parts.

    Args:
        stage: Name, for progress and files.
        module: What is trained, in place.
        settings: Steps, batch, learning rate and so on.
        checkpoint: File to save to and resume from.
        fingerprint: What the result depends on; a checkpoint with another one is not used.
        device: Where to train.

    Attributes:
        seconds: What its steps took, those before an interruption included.
    """

    def __init__(
        self,
        stage: str,
        module: nn.Module,
        settings: OptimiserConfig,
        checkpoint: Path,
        fingerprint: str,
        device: torch.device,
    ) -> None:
        self.stage, self.settings = stage, settings
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self._unread: list[tuple[dict[str, Tensor], Tensor]] = []
        self._every = 1 if device.type == "cpu" else READ_EVERY
        self.module = module = module.to(device)
        ranks.same([*module.parameters(), *module.buffers()])
        self._average = copy.deepcopy(module)
        # A group that has its first rate is one that a schedule can go on with.
        groups = [{"params": list(module.parameters()), "initial_lr": settings.learning_rate}]
        self._optimiser = torch.optim.AdamW(
            groups, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )
        if checkpoint.exists():
            self._load()
        rate = partial(_rate_factor, settings=settings)
        self._schedule = LambdaLR(self._optimiser, rate, last_epoch=self.step - 1)

    @property
    def average(self) -> nn.Module:
        """The module with the averaged weights, which is the one to keep."""
        return self._average

    def run(self, loss: Loss) -> Iterator[Progress]:
        """Train to the end, saving now and then, and when told to stop; yield after every step.

        Raises:
            PiddmError: If the loss stops being a number; the last checkpoint is kept.
        """
        total, saved = self.settings.steps, time.monotonic()
        while self.step < total:
            began = time.perf_counter()
            try:
                with stopping.whole():
                    self._step(loss)
                    self.seconds += time.perf_counter() - began
            except (stopping.Stopped, ranks.Ended) as error:
                if not isinstance(error, stopping.Now):  # which may leave a step half done
                    self.save()
                raise
            if time.monotonic() - saved > SAVE_SECONDS and self.step < total:
                self.save()
                saved = time.monotonic()
            yield Progress(self.stage, self.step, total, self.history[-1] if self.history else {})

    def _step(self, loss: Loss) -> None:
        """Take a step; the weights are those of before until all processes have its gradient."""
        values = loss(self.module, self.step)
        self._optimiser.zero_grad(set_to_none=True)
        values["loss"].backward()
        parameters = [p for p in self.module.parameters() if p.grad is not None]
        here = {k: v.detach().clone() for k, v in values.items()}
        ranks.average([*(p.grad for p in parameters if p.grad is not None), *here.values()])
        slope = nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        self._unread.append((here, slope))
        if len(self._unread) >= self._every or self.step + 1 == self.settings.steps:
            self._read()
        self._optimiser.step()
        self._schedule.step()
        self.step += 1
        self._approach()

    def _read(self) -> None:
        """Look at the losses of the steps since the last look.

        Raises:
            PiddmError: If one of them is no number, or its gradient is not.
        """
        first = len(self.history) + 1
        for step, (values, gradient) in enumerate(self._unread, first):
            numbers, slope = {k: float(v) for k, v in values.items()}, float(gradient)
            if not all(map(math.isfinite, (*numbers.values(), slope))):
                raise PiddmError(
                    f"{self.stage}: the loss is {numbers['loss']} at step {step} and its "
                    f"gradient {slope}; lower {self.stage}.learning_rate (now "
                    f"{self.settings.learning_rate:g}) and run again; where the equation takes "
                    "powers or logarithms of a field, say its range, as in "
                    'Field("u", positive=True)'
                )
            self.history.append(numbers)
        self._unread.clear()

    def save(self) -> None:
        """Write the checkpoint, which says nothing of how many processes there are."""
        self._read()
        if ranks.rank() > 0:
            return
        tensors = {f"module.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, state in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v) for k, v in state.items()}
        names = list(self.history[0]) if self.history else []
        rows = [[h[k] for k in names] for h in self.history]
        tensors["history"] = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(names))
        metadata = {
            "piddm_kind": "checkpoint",
            "fingerprint": self.fingerprint,
            "step": str(self.step),
            "seconds": str(self.seconds),
            "history": ",".join(names),
        }
        write_tensors(self.checkpoint, tensors, metadata)

    @torch.no_grad()
    def _approach(self) -> None:
        """Move the average towards the weights; faster at first, when they are still poor.

        The weights at the start are its first. Buffers are taken as they are. (Torch's own average
        counts its steps in a tensor, which is brought to the device at each of them.)
        """
        keep = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        own = zip(self._average.parameters(), self.module.parameters(), strict=True)
        for mean, value in own:
            mean.lerp_(value, 1 - keep)
        for kept, value in zip(self._average.buffers(), self.module.buffers(), strict=True):
            kept.copy_(value)

    def _load(self) -> None:
        tensors, metadata = read_tensors(self.checkpoint, "checkpoint")
        if metadata.get("fingerprint") != self.fingerprint:
            return
        parts: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "optimiser": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = value
        try:
            self.module.load_state_dict(parts["module"])
            self.average.load_state_dict(parts["average"])
            state = self._optimiser.state_dict()
            parameters = list(self.module.parameters())
            slots: dict[int, dict[str, Tensor]] = {}
            for name, value in parts["optimiser"].items():
                index, _, key = name.partition(".")
                slots.setdefault(int(index), {})[key] = _laid_out(value, parameters[int(index)])
            self._optimiser.load_state_dict({**state, "state": slots})
            names = metadata["history"].split(",")
            rows = tensors["history"].tolist()
            self.history = [dict(zip(names, row, strict=True)) for row in rows]
            self.step = int(metadata["step"])
            self.seconds = float(metadata.get("seconds", "nan"))
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise PiddmError(
                f"{self.checkpoint} does not fit this run; remove it to train from the start"
            ) from error


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a moment in its parameter's order in memory: a fused step goes through both."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter).copy_(value)


def _rate_factor(step: int, settings: OptimiserConfig) -> float:
    """Return the learning rate of a step over the configured one: linear warm-up, then a cosine."""
    warm = min(1.0, (step + 1) / max(settings.warmup, 1))
    return warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
