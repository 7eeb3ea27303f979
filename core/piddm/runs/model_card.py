"""The card of a model that comes trained: what it is, how it came to be, whether it is whole."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from piddm.config import Config
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.files import read_json

if TYPE_CHECKING:
    from piddm.equation import PDE

CARD = "model.json"
"""File that describes a trained model."""

STUDENT, TEACHER = "student.safetensors", "teacher.safetensors"
"""Files of a trained model's weights."""


class Card(BaseModel):
    """The card of a model: its content and its origin.

    Attributes:
        equation: The equation's definition, as :func:`piddm.runs.fingerprints.describe` tells it.
        config: The configuration of its run.
        nodes: Nodes along each axis.
        fingerprints: That run's.
        scale: Scale of each row of the residual.
        metrics: The content of ``metrics.json``, of the weights as they are here.
        software: Versions that it was made with.
        seconds: What each stage took.
        command: The command that makes it.
        digests: SHA-256 of each file of weights.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["piddm-model"] = "piddm-model"
    version: Literal[1] = 1
    equation: dict[str, Any]
    config: Config
    nodes: list[int]
    fingerprints: dict[str, str]
    scale: dict[str, float]
    metrics: dict[str, Any]
    software: dict[str, str]
    seconds: dict[str, float]
    command: str
    digests: dict[str, str]

    @property
    def scores(self) -> dict[str, dict[str, Any]]:
        """Scores by source, as plain data."""
        return {k: v for k, v in self.metrics.items() if isinstance(v, dict) and "nfe" in v}


def read_card(folder: Path) -> Card:
    """Read a model's card, without importing torch.

    Raises:
        PiddmError: If it is missing or damaged.
    """
    return read_json(folder / CARD, Card)


def size(folder: Path, card: Card) -> int:
    """Return how many bytes a model's files of weights have."""
    return sum((folder / name).stat().st_size for name in card.digests)


def digest_of(path: Path) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights(folder: Path, name: str, card: Card) -> Path:
    """Return the path of a file of weights, which is as it was written.

    Raises:
        PiddmError: If it is missing or damaged.
    """
    path, again = folder / name, "install the package that brings it again"
    if not path.is_file():
        raise PiddmError(f"there is no {path}; {again}")
    if digest_of(path) != card.digests.get(name):
        raise PiddmError(f"{path} is damaged: it is not the file that its {CARD} names; {again}")
    return path


def check_equation(name: str, card: Card, pde: PDE) -> None:
    """Refuse a model of an equation that has changed since.

    Raises:
        UsageError: If it has; says what, as it was and as it is.
    """
    from piddm.runs.fingerprints import describe

    now = describe(pde)
    for part in sorted(now.keys() | card.equation.keys()):
        was, own = card.equation.get(part), now.get(part)
        if was == own:
            continue
        if isinstance(was, dict) and isinstance(own, dict):
            key = next(k for k in sorted(was.keys() | own.keys()) if was.get(k) != own.get(k))
            part, was, own = f"{part}: {key}", was.get(key), own.get(key)
        raise UsageError(
            f"the model {name!r} was trained for {pde.name} with {part} = {_shown(was)}, and here "
            f"that is {_shown(own)}; distil a run of your own, or use the version of the equation "
            "that it was trained for"
        )


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
