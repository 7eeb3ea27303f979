"""The configuration of a run: pydantic models, section by section."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from piddm.grids.axis_data import AxisData, grid_of
from piddm.grids.grid import Grid

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Nodes = Annotated[int, Field(ge=2)]


class _Section(BaseModel):
    """Settings that cannot be changed, nor misspelt.

    Attributes:
        told_where_set: Fields that are left out of a record where they have their default, beside
            those of the classes that this one is derived from. One that comes to a section later is
            among them: records of before keep their fingerprints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    told_where_set: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        every = {n for c in type(self).__mro__ for n in vars(c).get("told_where_set", ())}
        unset = {n for n in every if getattr(self, n) == type(self).model_fields[n].default}
        return {k: v for k, v in handler(self).items() if k not in unset}


class ChosenConfig(_Section):
    """A pluggable thing: its name, and settings of its own.

    ``settings`` are those that its class takes beside what every one of its kind is handed; they
    are checked against its signature before any work.
    """

    told_where_set = frozenset({"settings"})

    name: str
    settings: dict[str, Any] = {}


class PackingConfig(_Section):
    """Normalisation: the number of principal components in the noise's colour, at most.

    ``symmetric`` takes the data's mean to be constant along periodic axes, unless data say
    otherwise (:func:`piddm.data.packing.symmetric`). ``soften`` is over how many nodes fields of a
    few values, such as a medium of two phases, are softened for networks and rounded after them
    (:mod:`piddm.data.levels`); 0 takes them as they are.
    """

    told_where_set = frozenset({"symmetric", "soften"})

    rank: Annotated[int, Field(ge=0)] = 256
    symmetric: bool = False
    soften: Annotated[float, Field(ge=0)] = 0.0


class SourceConfig(_Section):
    """What is taken from a data set that is given: filled in from it, so that a run tells it all.

    ``content`` is a digest of its numbers, by which a run is told from others, wherever the file
    is. ``params`` are those that all its samples share, ``varying`` the least and the largest value
    of those that differ, and ``allowed`` the normalised PDE error that methods take for none, by
    equation and condition: its own, unless ``data.model_error`` gives another, and ``octaves`` how
    it splits into octaves of waves (:mod:`piddm.residuals.tolerance`). ``fields`` are the names of
    the fields where no equation says them.
    """

    told_where_set = frozenset({"fields", "octaves"})

    content: str
    fields: tuple[str, ...] = ()
    grid: dict[str, AxisData]
    params: dict[str, float] = {}
    varying: dict[str, tuple[float, float]] = {}
    allowed: dict[str, Annotated[float, Field(ge=0)]] = {}
    octaves: dict[str, tuple[Annotated[float, Field(ge=0)], ...]] = {}


class DataConfig(_Section):
    """Training data: ``train + held_out`` samples on a grid of ``size`` nodes a side.

    On a sphere these are from pole to pole, and twice as many around. ``times`` is the number of
    nodes along time where there are two axes of space beside it, whose fields are long films; as
    many as along the others where it is left out.

    ``size`` may also be a table, ``{t = 17, x = 16}``: axes by name, of which those that it leaves
    out have the equation's own number of nodes.

    ``source`` is a data set to learn from instead, as ``piddm import`` makes it of files of others;
    its grid is then the run's. ``model_error`` is the root mean square of the residual over its
    scale up to which its equation holds, where that is not the data's own; 0 holds it exactly.
    """

    told_where_set = frozenset({"times", "source", "model_error", "taken"})

    size: Nodes | dict[str, Nodes] = 64
    times: Annotated[int, Field(ge=2)] | None = None
    train: Annotated[int, Field(ge=8)] = 2048
    held_out: Annotated[int, Field(ge=8)] = 512
    source: str | None = None
    model_error: Annotated[float, Field(ge=0)] | None = None
    taken: SourceConfig | None = None

    def grid(self, own: Grid) -> Grid:
        """Return an equation's own grid with these numbers of nodes, or the grid of the source."""
        if self.taken is not None:
            return grid_of(self.taken.grid)
        grid = own.resized(self.size)
        first, axis = next(iter(grid.axes.items()))
        named = not isinstance(self.size, int) and first in self.size
        film = axis.time and len(grid.axes) > 2 and not named
        return grid.resized({first: self.times}) if film and self.times else grid


class NetworkConfig(ChosenConfig):
    """The backbone that teacher and student share.

    ``mixed`` runs its convolutions in bfloat16; None does where the processor has it natively,
    since emulated it is slower than float32.
    """

    name: str = "unet"
    widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (64, 96, 128)
    depth: Count = 1
    fold: Count = 4
    mixed: bool | None = None


class OptimiserConfig(_Section):
    """AdamW with a warm-up, a cosine decay to zero, clipped gradients and averaged weights."""

    steps: Count = 800
    batch: Annotated[int, Field(ge=2)] = 32
    learning_rate: Positive = 1e-3
    warmup: Annotated[int, Field(ge=0)] = 50
    clip: Positive = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998


class TeacherConfig(ChosenConfig, OptimiserConfig):
    """The teacher: method, noise schedule, training."""

    name: str = "flow"
    schedule: str = "trigonometric"


class PairsConfig(_Section):
    """The pool of (noise, teacher sample) pairs.

    Every ``refresh_every`` student steps ``refresh`` of them, the oldest, give way to fresh ones.
    """

    count: Count = 2560
    steps: Count = 5
    refresh_every: Count = 160
    refresh: Annotated[int, Field(ge=0)] = 512
    batch: Count = 64


class StudentConfig(ChosenConfig, OptimiserConfig):
    """The student: method, training, and the weight of physics in it.

    ``physics_weight`` is lambda_train of Eq. 8; 0 leaves physics out. ``physics_norm`` is
    how the residual is measured (:mod:`piddm.training.physics`), on ``physics_batch`` fresh samples
    a step. ``energy_weight`` is the weight of :mod:`piddm.metrics.energy`; Eq. 8 of the paper has
    no such term. ``train_through`` takes the pairs' misfit and the energy score on samples after
    the correction, through which their gradients pass (:mod:`piddm.numerics.correction`).

    Of a staged student (:mod:`piddm.students.staged`), ``inputs`` is the network that draws the
    inputs, the teacher's where it is left out, and ``operator`` the one that solves for the rest;
    ``polish`` is how many products with the equation's matrix end it, where that is
    cheap (:mod:`piddm.students.polish`).
    """

    told_where_set = frozenset({"inputs", "operator", "polish", "train_through"})

    name: str = "one-step"
    steps: Count = 700
    physics_weight: Annotated[float, Field(ge=0)] = 10.0
    physics_norm: Literal["distance", "strong"] = "distance"
    physics_batch: Count = 8
    energy_weight: Annotated[float, Field(ge=0)] = 16.0
    train_through: bool = False
    inputs: NetworkConfig | None = None
    operator: NetworkConfig | None = None
    polish: Annotated[int, Field(ge=0)] = 0


class PhysicsConfig(_Section):
    """The equation that methods enforce, where it is not the equation itself: for ablations.

    ``order`` is that of the stencils, ``factor`` multiplies its fixed params, ``rows`` are all of
    them, those at the ``ends`` of time or on the ``boundary`` of space. Scores are by the equation.
    """

    order: Literal[2, 4, 6] | None = None
    factor: Positive = 1.0
    rows: Literal["all", "ends", "boundary"] = "all"


class EvaluationConfig(_Section):
    """How many samples the metrics use, and the distance, which costs a solve each."""

    count: Annotated[int, Field(ge=8)] = 512
    distance_count: Annotated[int, Field(ge=1)] = 64


class Config(_Section):
    """All that decides a run's result, save the equation itself."""

    pde: str
    preset: str = "default"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataConfig = DataConfig()
    packing: PackingConfig = PackingConfig()
    network: NetworkConfig = NetworkConfig()
    teacher: TeacherConfig = TeacherConfig()
    pairs: PairsConfig = PairsConfig()
    student: StudentConfig = StudentConfig()
    physics: PhysicsConfig = PhysicsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
