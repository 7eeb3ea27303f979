"""The history of a training, step by step, as a file beside the model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

Lines = list[dict[str, float | str]]


class History(BaseModel):
    """Losses and what else was noted at each step; a file of it has a digest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lines: Lines

    @model_validator(mode="before")
    @classmethod
    def _older(cls, data: Any) -> Any:
        """Take the lines alone, as older files have them."""
        return {"lines": data} if isinstance(data, list) else data
