"""Configuration: presets, files and overrides merge in that order, and mistakes are named."""

import pytest

from piddm import UsageError
from piddm.config import PRESETS, Config, resolve


def test_the_default_preset_is_the_defaults_and_what_it_names():
    assert resolve("heat") == Config.model_validate({"pde": "heat", **PRESETS["default"]})


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset):
    config = resolve("heat", preset)
    assert (config.pde, config.preset) == ("heat", preset)
    assert config.pairs.refresh <= config.pairs.count
    assert config.teacher.batch <= config.data.train


def test_presets_file_overrides_and_seed_merge_in_that_order(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("seed = 1\n[student]\nsteps = 7\nbatch = 5\n")
    config = resolve("heat", "quick", file, ["student.batch=6", "seed=2"], seed=3)
    assert (config.student.steps, config.student.batch, config.seed) == (7, 6, 3)
    assert config.data == resolve("heat", "quick").data
    assert resolve("heat", "quick").student.steps != 7  # the preset itself did not change


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "[network]\nwidths = [4, 8]"),
        ("a.yaml", "network:\n  widths: [4, 8]"),
        ("a.yml", "network: {widths: [4, 8]}"),
        ("a.json", '{"network": {"widths": [4, 8]}}'),
    ],
)
def test_files_of_every_kind(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert resolve("heat", file=tmp_path / name).network.widths == (4, 8)


def test_a_run_s_own_configuration_can_be_given_again(tmp_path):
    config = resolve("heat", "quick", overrides={"student.steps": 9, "seed": 4})
    (tmp_path / "config.json").write_text(config.model_dump_json())
    assert resolve("heat", "quick", tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("text", "section", "value"),
    [
        ("student.physics_weight=0", "physics_weight", 0.0),
        ("student.physics_norm=strong", "physics_norm", "strong"),
        ('student.physics_norm="strong"', "physics_norm", "strong"),
        ("student.learning_rate=3e-4", "learning_rate", 3e-4),
        (" student.steps = 12 ", "steps", 12),
    ],
)
def test_values_of_overrides(text, section, value):
    assert getattr(resolve("heat", overrides=[text]).student, section) == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("student.step=3", "did you mean 'student.steps'"),
        ("nothing.steps=3", "no setting 'nothing'"),
        ("student.steps=many", "student.steps"),
        ("student.steps=0", "student.steps"),
        ("student=3", "student"),
        ("seed.of=3", "seed"),
        ("student.ema=1", "student.ema"),
        ("data.train=1", "data.train"),
        ("student.physics_norm=weak", "student.physics_norm"),
        ("student.steps", "section.name=value"),
        ("=3", "section.name=value"),
        ("pde=wave", "use --pde"),
        ("preset=quick", "use --preset"),
    ],
)
def test_mistakes_are_named(override, message):
    with pytest.raises(UsageError, match=message):
        resolve("heat", overrides=[override])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "steps = = 3", "not valid TOML"),
        ("a.yaml", "a: [1, 2", "not valid YAML"),
        ("a.yaml", "- 1\n- 2", "must hold sections"),
        ("a.yaml", "!!python/object/apply:os.getcwd []", "not valid YAML"),
        ("a.toml", 'pde = "wave"', "'wave'"),
        ("a.toml", 'preset = "quick"', "'quick'"),
        ("a.toml", "[students]\nsteps = 3", "no setting"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        resolve("heat", file=tmp_path / name)


def test_a_missing_file_and_an_unknown_preset_are_named(tmp_path):
    with pytest.raises(UsageError, match=r"gone\.toml"):
        resolve("heat", file=tmp_path / "gone.toml")
    with pytest.raises(UsageError, match="did you mean 'quick'"):
        resolve("heat", "quik")


def test_a_configuration_cannot_change():
    with pytest.raises(ValueError, match="frozen"):
        resolve("heat").seed = 3
