"""What the page may ask, checked: nothing reaches the rest that is not of this form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

LONGEST = 4_000_000
"""Characters of a file of observations, at most."""

LARGEST = 5_000_000
"""Bytes of a request, at most."""

MEMBERS, SAMPLES = 128, 16
"""Members and samples that are asked for at once, at most."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A name of a solver, a setting, a page."""

Seed = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Numbers that a browser keeps whole."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    subject: Annotated[str, StringConstraints(max_length=200)]
    page: Name


class Opening(_Body):
    """A subject is to be opened, or opened again."""

    again: bool = False


class Drawing(_Body):
    """Samples, as they are drawn, or with residuals and the correction."""

    seed: Seed = 0
    count: Annotated[int, Field(ge=1, le=SAMPLES)] = 1
    corrected: bool = True


class Dropped(_Body):
    """A file of observations."""

    name: Annotated[str, StringConstraints(max_length=200)] = "observations.csv"
    text: Annotated[str, StringConstraints(max_length=LONGEST)]


class Question(_Body):
    """A question: what is known as the text of a CSV file, who answers, and how many members."""

    panel: Literal["a", "b"] = "a"
    task: Literal["forward", "inverse", "reconstruct"] = "reconstruct"
    observations: Annotated[str, StringConstraints(max_length=LONGEST)] = ""
    solver: Name = "auto"
    settings: Annotated[dict[Name, Annotated[str, StringConstraints(max_length=100)]],
                        Field(max_length=20)] = {}  # fmt: skip
    members: Annotated[int, Field(ge=1, le=MEMBERS)] = 16
    seed: Seed = 0
    interpolation: Literal["linear", "cubic"] = "linear"
    project: bool = False
    quantities: Annotated[list[Annotated[str, StringConstraints(max_length=500)]],
                          Field(max_length=8)] = []  # fmt: skip

    @property
    def prior(self) -> bool:
        """Whether nothing is known: the ensemble is the law itself."""
        return not self.observations.strip()


class Download(_Body):
    """An answer as a file."""

    question: Question
    kind: Literal["h5", "json", "csv"]
