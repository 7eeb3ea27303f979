"""A run made into a model for others, and sent to the Hugging Face hub."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from piddm.reports.model_page import model_page
from piddm.reports.run_page import commands
from piddm.runs import hub
from piddm.runs.model_card import CARD, Card, read_card
from piddm.runs.model_weights import make
from piddm.runs.stages import Distillation
from piddm.tools.atomic import atomic_path
from piddm.tools.progress import follow


def push(
    run: Distillation, to: str, *, teacher: bool = True, private: bool = False, licence: str = "",
    progress: bool = True,
) -> str:  # fmt: skip
    """Send a run's student to the hub, see :meth:`piddm.Run.push`."""
    model = hub.address(to)
    hub.installed()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model"
        made.mkdir()
        card = _made(run, made, Path(folder) / "run", teacher, progress)
        with atomic_path(made / hub.PAGE) as temporary:
            temporary.write_text(model_page(model.repo, card, run.pde, licence), encoding="utf-8")
        return hub.sent(made, model, private)


def _made(run: Distillation, folder: Path, copy: Path, teacher: bool, progress: bool) -> Card:
    """Make the model's folder; the run and its own folder stay as they are."""
    if (run.folder / CARD).is_file():  # it is a model already
        card = read_card(run.folder)
        for name in (CARD, *card.digests):
            shutil.copyfile(run.folder / name, folder / name)
        return card
    _ = run.student  # which says so where there is none
    shutil.copytree(run.folder, copy)
    own = type(run)(run.config, run.pde, run.device.type, copy)
    # Scored anew, as they are kept: data that are gone are made again.
    follow(own.simulate(), quiet=not progress)
    command = commands(run.config, Path("RUN"))[0]
    follow(make(own, folder, command, teacher), quiet=not progress)
    return read_card(folder)
