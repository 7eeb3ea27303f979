"""All settings of a run: sections, presets, files, overrides."""

from piddm.config.resolving import PRESETS, changed, divided, resolve, settings
from piddm.config.sections import (
    ChosenConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    NetworkConfig,
    OptimiserConfig,
    PackingConfig,
    PairsConfig,
    PhysicsConfig,
    SourceConfig,
    StudentConfig,
    TeacherConfig,
)

__all__ = [
    "PRESETS", "ChosenConfig", "Config", "DataConfig", "EvaluationConfig", "NetworkConfig",
    "OptimiserConfig", "PackingConfig", "PairsConfig", "PhysicsConfig", "SourceConfig",
    "StudentConfig", "TeacherConfig", "changed", "divided", "resolve", "settings",
]  # fmt: skip
