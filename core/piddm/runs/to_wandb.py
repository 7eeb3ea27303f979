"""The tracker ``wandb``: Weights & Biases, signed in and online or not as its own settings say."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from piddm.runs.stages import Distillation
from piddm.runs.tracking import Tracker
from piddm.tools.errors import UsageError


class WandB(Tracker):
    """Logs numbers ``stage/name``, each stage over steps of its own, to the project ``piddm``.

    Without a network: ``WANDB_MODE=offline``, and ``wandb sync`` later. A run that goes on after an
    interruption goes on there too, by the name of its folder.

    Args:
        run: The run.

    Raises:
        UsageError: If the extra is not installed.
    """

    def __init__(self, run: Distillation) -> None:
        if find_spec("wandb") is None:
            raise UsageError("the tracker needs wandb: pip install 'piddm[wandb]'")
        import wandb  # pyright: ignore[reportMissingImports]

        self._run = wandb.init(
            project="piddm", name=f"{run.pde.name} {run.folder.name}", id=run.folder.name,
            resume="allow", dir=str(run.folder), config=run.config.model_dump(mode="json"),
        )  # fmt: skip
        self._stages = set[str]()

    def note(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Log a step of a stage."""
        if stage not in self._stages:
            self._stages.add(stage)
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        self._run.log({f"{stage}/step": step, **{f"{stage}/{k}": v for k, v in values.items()}})

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()
