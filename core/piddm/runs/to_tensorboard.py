"""The tracker ``tensorboard``: files of events in the run's folder, ``tensorboard --logdir``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from piddm.runs.stages import Distillation
from piddm.runs.tracking import Tracker
from piddm.tools.errors import UsageError


class TensorBoard(Tracker):
    """Writes scalars ``stage/name`` to ``tensorboard/`` of the run's folder.

    Args:
        run: The run.

    Raises:
        UsageError: If the extra is not installed.
    """

    def __init__(self, run: Distillation) -> None:
        if find_spec("tensorboard") is None:
            raise UsageError("the tracker needs tensorboard: pip install 'piddm[tensorboard]'")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.folder / "tensorboard"))
        self._writer.add_text("config", f"```json\n{run.config.model_dump_json(indent=2)}\n```")

    def note(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Write a scalar for each number."""
        for name, value in values.items():
            self._writer.add_scalar(f"{stage}/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
