"""The configuration of a run: pydantic models, three presets, a file and ``--set`` on top."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from piddm.errors import UsageError, nearest
from piddm.grid import Grid

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PackingConfig(_Section):
    """Normalisation: the number of principal components in the noise's colour, at most."""

    rank: Annotated[int, Field(ge=0)] = 256


class DataConfig(_Section):
    """Training data: ``train + held_out`` samples on a grid of ``size`` nodes a side.

    On a sphere these are from pole to pole, and twice as many around. ``times`` is the number of
    nodes along time where there are two axes of space beside it, whose fields are long films; as
    many as along the others where it is left out.
    """

    size: Annotated[int, Field(ge=2)] = 64
    times: Annotated[int, Field(ge=2)] | None = None
    train: Annotated[int, Field(ge=8)] = 1024
    held_out: Annotated[int, Field(ge=8)] = 512

    def grid(self, own: Grid) -> Grid:
        """Return an equation's own grid with these numbers of nodes."""
        grid = own.resized(self.size)
        first, axis = next(iter(grid.axes.items()))
        film = axis.time and len(grid.axes) > 2
        return grid.resized({first: self.times}) if film and self.times else grid

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Told only where it holds: what was made before there was a choice keeps its marks.
        return {k: v for k, v in handler(self).items() if k != "times" or v is not None}


class NetworkConfig(_Section):
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


class TeacherConfig(OptimiserConfig):
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


class StudentConfig(OptimiserConfig):
    """The student: method, training, and the weight of physics in it.

    ``physics_weight`` is lambda_train of Eq. 8; 0 leaves physics out. ``physics_norm`` is
    how the residual is measured (:mod:`piddm.physics`), on ``physics_batch`` fresh samples a step.
    ``energy_weight`` is the weight of :mod:`piddm.energy`; Eq. 8 of the paper has no such term.
    """

    name: str = "one-step"
    steps: Count = 700
    physics_weight: Annotated[float, Field(ge=0)] = 10.0
    physics_norm: Literal["distance", "strong"] = "distance"
    physics_batch: Count = 8
    energy_weight: Annotated[float, Field(ge=0)] = 16.0


class PhysicsConfig(_Section):
    """What methods take for the equation, where that is not the equation itself: for ablations.

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


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "data": {"size": 32, "times": 16, "train": 128, "held_out": 64},
        "network": {"widths": [32, 48], "fold": 2},
        "teacher": {"steps": 120, "batch": 16},
        "pairs": {"count": 128, "steps": 5, "refresh_every": 60, "refresh": 32},
        # In so few steps more physics would cost spread that pairs do not bring back.
        "student": {"steps": 120, "batch": 16, "physics_weight": 4.0},
        "evaluation": {"count": 64, "distance_count": 32},
    },
    "default": {},
    "paper": {
        "data": {"size": 128, "train": 10000, "held_out": 1024},
        "network": {"widths": [96, 192, 288, 384], "depth": 2},
        "teacher": {"steps": 60000, "batch": 64, "learning_rate": 3e-4, "ema": 0.9995},
        "pairs": {
            "count": 10000,
            "steps": 25,
            "refresh_every": 2000,
            "refresh": 2000,
            "batch": 256,
        },
        "student": {"steps": 40000, "batch": 64, "learning_rate": 3e-4, "ema": 0.9995},
        "evaluation": {"count": 1024, "distance_count": 128},
    },
}
"""What each preset changes of the defaults above, which are sized for two CPU cores."""


def resolve(
    pde: str,
    preset: str = "default",
    file: Path | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    seed: int | None = None,
) -> Config:
    """Merge a preset, a TOML or YAML file and overrides, in that order, into a validated config.

    Args:
        pde: Name of the equation.
        preset: One of ``PRESETS``.
        file: Optional TOML, YAML or JSON file with the sections of :class:`Config`.
        overrides: ``["student.steps=500"]`` or ``{"student.steps": 500}``.
        seed: Takes the place of the configured seed.

    Raises:
        UsageError: If a name or a value is not valid; the message names it.
    """
    if preset not in PRESETS:
        raise UsageError(f"no preset {preset!r}{nearest(preset, PRESETS)}")
    data: dict[str, Any] = {"pde": pde, "preset": preset}
    _merge(data, PRESETS[preset])
    if file is not None:
        given = _read(file)
        for name in ("pde", "preset"):
            if given.get(name, data[name]) != data[name]:
                raise UsageError(
                    f"{file} is for the {name} {given[name]!r}, the command asks for {data[name]!r}"
                )
        _merge(data, given)
    return _changed(data, overrides, {} if seed is None else {"seed": seed})


def changed(config: Config, overrides: Sequence[str] | Mapping[str, Any]) -> Config:
    """Return a configuration with some settings replaced; as :func:`resolve` takes them.

    Raises:
        UsageError: If a name or a value is not valid; the message names it.
    """
    return _changed(config.model_dump(), overrides)


def _changed(
    data: dict[str, Any],
    overrides: Sequence[str] | Mapping[str, Any],
    last: Mapping[str, Any] | None = None,
) -> Config:
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(_assignment, overrides)
    for key, value in pairs:
        if key in ("pde", "preset"):
            raise UsageError(f"--set {key}: use --{key}")
        section, _, name = key.rpartition(".")
        target = data
        for part in filter(None, section.split(".")):
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise UsageError(f"--set {key}: {part!r} is not a section")
        target[name] = value
    data |= last or {}
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"no setting {where!r}{nearest(where, _paths(Config))}") from error
        raise UsageError(f"configuration, {where}: {first['msg']}") from error


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {text!r}: write it as section.name=value")
    return key.strip(), literal(value.strip())


def literal(text: str) -> Any:
    """Read a value as TOML would, else as a plain string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(into.setdefault(key, {}), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the configuration {file}: {error}") from error
    try:
        if file.suffix.lower() in (".yaml", ".yml", ".json"):  # a run's own configuration is JSON
            import yaml

            data = yaml.safe_load(text)
        else:
            data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from error
    except Exception as error:  # yaml.YAMLError, named only once yaml is imported
        raise UsageError(f"{file} is not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{file} must hold sections such as [student], not {type(data).__name__}")
    return data


def _paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    out: list[str] = []
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            out += _paths(kind, f"{prefix}{name}.")
        else:
            out.append(prefix + name)
    return out
