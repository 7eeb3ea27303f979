"""A run's workspace: what it has, loaded when first asked for. It knows no equation."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from piddm.config import Config, PhysicsConfig
from piddm.data import dataset
from piddm.data.correcting import Corrections, nearest_solutions, own_solutions
from piddm.data.dataset import Dataset
from piddm.data.packing import Packing
from piddm.equation import PDE
from piddm.metrics.scores import Metrics, Scores
from piddm.numerics.own_solution import OwnSolution
from piddm.numerics.projection import Projection
from piddm.residuals.residual import Fields, Residual
from piddm.residuals.tolerance import tolerant
from piddm.residuals.variations import varied
from piddm.runs.folder import home, marks_of, open_folder
from piddm.runs.given_data import equation_of
from piddm.runs.model_files import build_student, build_teacher, load_model
from piddm.students.student import Student
from piddm.symbolic.operators import Field
from piddm.teachers.teacher import Teacher
from piddm.tools import ranks
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.files import read_json
from piddm.training.context import TrainingContext
from piddm.training.pairs import PairPool


class Workspace:
    """The parts of one run: data, teacher, pairs, student, residual, scores.

    Args:
        config: The configuration.
        pde: The equation.
        device: ``cpu`` or a CUDA device.
        out: Folder of the run; one under ``runs/`` where none is given.
        fresh: Start a new run even where one of this configuration exists.
        keep_pairs: Leave pairs that are refreshed on the disk, for other students.
    """

    def __init__(
        self, config: Config, pde: PDE, device: str = "cpu", out: Path | None = None,
        fresh: bool = False, keep_pairs: bool = False,
    ) -> None:  # fmt: skip
        self.config, self.pde = config, (pde := equation_of(config, pde))
        self.device = usable(device)
        self.grid = config.data.grid(pde.grid)
        self.residual: Residual = pde.bind(self.grid)
        build_teacher(config, pde, self.grid)  # an impossible grid or name shows before any work
        self.marks = marks_of(config, pde, out)
        self._out, self._fresh, self._keep_pairs = out, fresh, keep_pairs
        cache = home() / "cache"
        self.data_path = cache / "data" / f"{pde.name}-{self.marks['simulate']}.h5"
        self.teacher_path = cache / "teachers" / f"{pde.name}-{self.marks['train']}.safetensors"
        self.pairs_path = cache / "pairs" / f"{pde.name}-{self.marks['pairs']}"

    @cached_property
    def folder(self) -> Path:
        """The run's folder, made when first asked for."""
        return Path(ranks.told(lambda: str(
            open_folder(self.config, self.pde, self._out, self._fresh, self.marks)
        )))  # fmt: skip

    @property
    def opened(self) -> bool:
        """Whether its folder is known: one under ``runs/`` is made when first asked for."""
        return "folder" in vars(self) or self._out is not None

    @property
    def outputs(self) -> Path:
        """Where samples and answers go unless somebody says where."""
        return self.folder

    @cached_property
    def data(self) -> tuple[Dataset, Dataset]:
        """Training and held-out data."""
        made = dataset.read(self.data_path)
        self._refuse_others(made)
        return made.split(self.config.data.held_out)

    def _refuse_others(self, made: Dataset) -> None:
        """Believe no data by the name of their file."""
        settings, mark = self.config.data, self.marks["simulate"]
        fields = (*self.pde.field_names, *self.pde.free_params)
        for what, own, wanted in (
            ("the equation", made.pde, self.pde.name),
            ("the grid", made.grid, self.grid),
            ("the seed", made.seed, self.config.seed),
            ("the number of solutions", len(made), settings.train + settings.held_out),
            ("the fingerprint", made.fingerprint or mark, mark),
            ("the scales", sorted(made.scale), sorted(self.residual.rows)),
            ("the fields", sorted(made.fields), sorted(fields)),
        ):
            if own != wanted:
                raise PiddmError(
                    f"{self.data_path} are not the data of this run: {what} is {own}, not "
                    f"{wanted}; remove it to make them again"
                )

    @property
    def teacher(self) -> Teacher:
        """The trained teacher: the run's own copy, else the cache's."""
        return self._teacher

    @cached_property
    def _teacher(self) -> Teacher:
        own = self.folder / "teacher.safetensors"
        path = own if own.exists() else self.teacher_path
        teacher = build_teacher(self.config, self.pde, self.grid)
        load_model(path, "teacher", teacher, self.marks["train"])
        return teacher.to(self.device).eval().requires_grad_(False)

    @cached_property
    def context(self) -> TrainingContext:
        """The context of every method of this run: teacher, data, pairs, residual, budget."""
        teacher = self.teacher
        pool = PairPool(
            teacher,
            self.config.pairs,
            (self.packing.channels, *self.packing.image),
            self.pairs_path,
            self.config.seed,
            self.marks["pairs"],
            self.device,
            self._keep_pairs,
        )
        data = self.packing.targets(self.data[0].fields)
        believed = self.believed
        own = Corrections(self.pde, believed.residual, self.packing, believed.row_scale)
        return TrainingContext(self.config, teacher, believed, data, pool, own)

    @property
    def student(self) -> Student:
        """The distilled student; it needs only the run's folder, which can be copied elsewhere."""
        return self._student

    @cached_property
    def _student(self) -> Student:
        path = self.folder / "student.safetensors"
        if not path.exists():
            raise PiddmError(f"{self.folder} has no student yet; run its piddm distill to the end")
        teacher = build_teacher(self.config, self.pde, self.grid)
        student = build_student(self.config, teacher, self.pde)
        load_model(path, "student", student, self.marks["distill"])
        return student.to(self.device).eval().requires_grad_(False)

    @property
    def packing(self) -> Packing:
        """Normalisation and colour of samples: the teacher's, which its student takes over."""
        student, teacher = (self.folder / f"{k}.safetensors" for k in ("student", "teacher"))
        trained = teacher.exists() or self.teacher_path.exists()
        return self.teacher.packing if trained and not student.exists() else self.student.packing

    @property
    def scale(self) -> dict[str, float]:
        """Scale of each row of the residual: its largest term's root mean square over data."""
        read = "data" in vars(self) or not self._samples_path.exists()
        return self.data[0].scale if read else self._kept_scale

    @cached_property
    def _kept_scale(self) -> dict[str, float]:
        return dataset.read(self._samples_path).scale

    @property
    def _samples_path(self) -> Path:
        return self.folder / "samples.h5"

    @cached_property
    def projection(self) -> Projection:
        """The nearest solutions in the data's norm, one for all that needs some.

        Inputs of a few values stay as they are: what is between two phases is near to no solution.
        """
        return nearest_solutions(self.residual, self.packing, self.scale, self.fixed)

    @cached_property
    def own_solution(self) -> OwnSolution | None:
        """The solver of all but a state's inputs; None where nothing is solved for from them."""
        return own_solutions(self.pde, self.residual, self.packing, self.scale)

    @property
    def fixed(self) -> dict[str, np.ndarray]:
        """Where states do not move when they are projected, see :func:`fixed_inputs`."""
        return fixed_inputs(self.pde, self.packing)

    def solved(self, x: Tensor, packing: Packing | None = None) -> Tensor:
        """Return packed samples with their own inputs, solved for the rest; as they were if not.

        Args:
            x: The samples.
            packing: Theirs; the run's where left out.
        """
        assert self.own_solution is not None
        packing = packing or self.packing
        return packing.pack(self.own_solution(packing.unpack(x.cpu().double()))[0]).to(x)

    @torch.no_grad()
    def predict(self, fields: Fields) -> dict[str, Tensor]:
        """Return the student's states ``{name: (batch, *axes)}`` with the inputs of some fields.

        The student as a solver: one call, and no noise.

        Args:
            fields: Physical fields, of which the inputs are looked at.

        Raises:
            UsageError: If the student only draws.
        """
        found = self.student.solution(self.packing.pack(fields).to(self.device))
        if found is None:
            raise UsageError(
                f"the student {self.config.student.name} draws states and solves for none; "
                "distil with --set student.name=staged"
            )
        return self.packing.unpack(found)

    @cached_property
    def corrections(self) -> Corrections:
        """The correction of samples onto the equation."""
        return Corrections(self.pde, self.soft_residual, self.packing, self.scale)

    @property
    def soft_residual(self) -> Residual:
        """The residual that samples are brought to: of data that satisfy it nearly, no nearer."""
        return self._softened(self.residual)

    def _softened(self, residual: Residual) -> Residual:
        taken = self.config.data.taken
        if taken is None:
            return residual
        return tolerant(residual, self.scale, taken.allowed, taken.octaves)

    @cached_property
    def believed(self) -> Projection:
        """The same of what methods take for the equation, see ``physics`` of the configuration.

        Of an equation that data satisfy only nearly, no more than they do.
        """
        if self.config.physics == PhysicsConfig() and self.config.data.taken is None:
            return self.projection
        residual = self._softened(varied(self.pde, self.grid, self.config.physics))
        scale = {k: self.scale[k] for k in residual.rows}
        return nearest_solutions(residual, self.packing, scale, self.fixed)

    def scores(self) -> dict[str, Scores]:
        """Return the scores of truth, teacher and student from ``metrics.json``."""
        return self._metrics().scores()

    @property
    def floor(self) -> dict[str, float]:
        """Residual of the data as solved, of each row; empty where an older run's data are gone."""
        if found := self._metrics().floor:
            return found
        return self.data[0].floor if self.data_path.exists() else {}

    def _metrics(self) -> Metrics:
        return read_json(self.folder / "metrics.json", Metrics)


def fixed_inputs(pde: PDE, packing: Packing) -> dict[str, np.ndarray]:
    """Return where states must not move: inputs of a few values, ``(*grid.shape)`` each."""
    inputs = {given.name for given in pde.inputs if isinstance(given, Field)}
    every = np.ones(packing.grid.shape, dtype=bool)
    return {name: every for name in packing.field_levels() if name in inputs}


def usable(name: str) -> torch.device:
    """Return a device of this machine.

    Raises:
        UsageError: If there is none of this name.
    """
    try:
        device = torch.device(name)
        module = torch.get_device_module(device)
    except RuntimeError as error:
        raise UsageError(f"no device {name!r}; use cpu or cuda") from error
    if device.type == "cpu":
        return device
    if not module.is_available() or (device.index or 0) >= module.device_count():
        raise UsageError(f"this torch sees no device {name!r}; use --device cpu")
    try:
        torch.zeros((), dtype=torch.float64, device=device)
    except (TypeError, RuntimeError) as error:
        raise UsageError(
            f"device {name!r} has no numbers of double precision; use cpu or cuda"
        ) from error
    return device
