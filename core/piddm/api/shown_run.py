"""A run as prompts and notebooks show it."""

from __future__ import annotations

from contextlib import suppress

from piddm.metrics.scores import in_calls
from piddm.runs.stages import Distillation
from piddm.tools.errors import PiddmError
from piddm.tools.notebooks import Shown, html, lines


class ShownRun(Distillation, Shown):
    """A run that says in a few lines what it has; no model is read for that."""

    def in_words(self) -> str:
        """Return folder, settings and scores in a few lines; no model is read."""
        config, nodes = self.config, " × ".join(map(str, self.grid.shape))
        rows = {
            "folder": str(self.folder) if self.opened else "made when it is first needed",
            "preset": f"{config.preset}, {nodes} nodes, seed {config.seed}",
            "teacher": f"{config.teacher.name}, network {config.network.name}",
            "student": config.student.name,
        }
        with suppress(PiddmError):
            for name, scores in self.scores().items() if self.opened else ():
                if name in ("truth", "teacher", "student"):
                    calls = "" if scores.nfe is None else f", {in_calls(scores.nfe)}"
                    said = f"energy distance {scores.energy_distance:.2g}{calls}"
                    if (error := scores.pde_error_normalised) is not None:
                        said = f"PDE error {error:.2g}, {said}"
                    rows[name] = f"{rows[name]}; {said}" if name in rows else said
        return lines(f"{self.pde.name}: a run" + ("" if "truth" in rows else ", not scored"), rows)

    def _repr_html_(self) -> str:
        picture = self.folder / "figures" / "samples.png" if self.opened else None
        return html(self.in_words(), picture if picture and picture.is_file() else None)
