"""Trained models, opened by name: those of plugins, and those of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from piddm.api import Run
from piddm.data.packing import Packing
from piddm.equation import PDE
from piddm.metrics.scores import Scores
from piddm.plugins.loader import current, get_pde
from piddm.runs.folder import home
from piddm.runs.hub import PREFIX, address, fetched
from piddm.runs.model_card import STUDENT, TEACHER, check_equation, read_card, weights
from piddm.runs.model_files import build_student, build_teacher
from piddm.runs.model_weights import fill
from piddm.students.student import Student
from piddm.teachers.teacher import Teacher
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress


class Pretrained(Run):
    """A trained model as a run: its folder in the place of a run's; nothing is written there.

    Args:
        name: The model's name.
        folder: Its folder.
        pde: The equation.
        device: ``cpu`` or a CUDA device.

    Raises:
        UsageError: If the equation's definition has changed.
        PiddmError: If the card is damaged.
    """

    def __init__(self, name: str, folder: Path, pde: PDE, device: str = "cpu") -> None:
        self.card = read_card(folder)
        check_equation(name, self.card, pde)
        super().__init__(self.card.config, pde, device)
        self.name, self._model = name, folder

    @cached_property
    def folder(self) -> Path:
        """The model's folder."""
        return self._model

    @property
    def opened(self) -> bool:
        """Whether its folder is known: it is."""
        return True

    @property
    def outputs(self) -> Path:
        """Where samples and answers go."""
        return home() / "models" / self.name

    @cached_property
    def _student(self) -> Student:
        teacher = build_teacher(self.config, self.pde, self.grid)
        student = build_student(self.config, teacher, self.pde)
        fill(student, weights(self.folder, STUDENT, self.card))
        return student.to(self.device).eval().requires_grad_(False)

    @cached_property
    def _teacher(self) -> Teacher:
        # Where one comes with the student.
        if TEACHER not in self.card.digests:
            raise UsageError(
                f"the model {self.name!r} comes without its teacher; ask for what needs none, or "
                "distil a run of your own"
            )
        teacher = build_teacher(self.config, self.pde, self.grid)
        fill(teacher, weights(self.folder, TEACHER, self.card), self.student.state_dict())
        return teacher.to(self.device).eval().requires_grad_(False)

    @property
    def packing(self) -> Packing:
        """Normalisation and colour of samples, which the student keeps."""
        return self.student.packing

    @property
    def scale(self) -> dict[str, float]:
        """Scale of each row."""
        return self.card.scale

    def scores(self) -> dict[str, Scores]:
        """Return the scores that it came with."""
        return {k: Scores.model_validate(v) for k, v in self.card.scores.items()}

    def run(self, scored: bool = True) -> Iterator[Progress]:
        """Do nothing: it is whole."""
        yield from ()

    def evaluate(self, progress: bool = True) -> dict[str, Scores]:
        """Refuse: scores came with it, and its folder is not to be written to.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"the model {self.name!r} has its scores: piddm models shows them")


def load_model(name: str, *, pde: PDE | None = None, device: str = "cpu") -> Pretrained:
    """Open a trained model that comes with a plugin, or one of the Hugging Face hub.

    Args:
        name: Its name, such as ``"darcy-64"``, of which ``piddm models`` has a list; or
            ``"hf://user/name"``, which is fetched once and then works without a network
            (:mod:`piddm.runs.hub`).
        pde: The equation, where it is not a registered one.
        device: Where to sample.

    Raises:
        UsageError: If there is no such model, or the equation's definition has changed since.
        PiddmError: If its files are damaged.
    """
    on_hub = name.startswith(PREFIX)
    folder = fetched(address(name)) if on_hub else current().get("model", name)
    card = read_card(folder)
    name = name.replace(PREFIX, "hf/") if on_hub else name
    return Pretrained(name, folder, pde or get_pde(card.config.pde), device)
