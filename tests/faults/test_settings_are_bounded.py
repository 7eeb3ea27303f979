"""Settings from files and from the command line take little time and memory, whatever they are."""

import os
import time

import pytest

from piddm import UsageError
from piddm.config import resolve

DEEP = 100_000


def refusal(function, *args, **named):
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        function(*args, **named)
    assert time.monotonic() - start < 5
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def laughs(depth):
    lines = ["a0: &a0 [1, 1]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("laughs.yaml", laughs(28), "more than"),
        ("laughs.yml", laughs(13), "more than 10000 values"),
        ("circle.yaml", "a: &a\n  b: *a\n", "nested more than 16 deep"),
        ("deep.yaml", "[" * DEEP, "nested too deeply"),
        ("deep.json", "[" * DEEP, "nested too deeply"),
        ("deep.toml", "a = " + "[" * DEEP, "nested too deeply"),
        ("deep.toml", ".".join(["a"] * 1000) + " = 1", "nested"),
        ("number.yaml", "seed: " + "1" * 5000, "is not valid YAML"),
        ("number.json", '{"seed": ' + "1" * 5000 + "}", "is not valid JSON"),
        ("name.yaml", "1: 2", "the name '1' is no text"),
        ("name.yaml", "? [a, b]\n: 2", "is not valid YAML"),
        ("code.yaml", "!!python/object/apply:os.system ['true']", "is not valid YAML"),
        ("nul.toml", "a = \0", "is not valid TOML"),
        ("large.toml", "a = 1\n" * 200_000, "larger than 128 KiB"),
        ("list.yaml", "[1]", "must hold sections"),
        ("binary.toml", b"\xff\xfe", "cannot read the configuration"),
    ],
)
def test_a_file_that_is_too_much(tmp_path, name, text, reason):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert reason in refusal(resolve, "burgers", file=path)


def test_aliases_in_moderation_are_welcome(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("teacher: &t\n  steps: 7\nstudent:\n  <<: *t\n  batch: 4\n")
    config = resolve("burgers", file=path)
    assert (config.teacher.steps, config.student.steps, config.student.batch) == (7, 7, 4)


def test_a_pipe_or_a_device_is_no_configuration(tmp_path):
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    link = tmp_path / "zero.yaml"
    link.symlink_to("/dev/zero")
    for path in (pipe, link):
        assert "it is no regular file" in refusal(resolve, "burgers", file=path)


def test_a_pipe_or_a_device_holds_no_observations(tmp_path):
    from piddm import PiddmError, get_pde
    from piddm.tasks.observation_files import read_observations

    pipe = tmp_path / "seen.csv"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/zero", "/dev/stdin"):
        with pytest.raises(PiddmError, match="is not a file"):
            read_observations(path, get_pde("burgers"), get_pde("burgers").grid)


@pytest.mark.parametrize(
    "setting",
    [
        "student.steps=" + "[" * DEEP,
        "student.steps=" + "{a=" * 5000,
        "student.steps=" + "1" * 5000,
        ".".join("a" * DEEP) + "=1",
        "student.steps.steps.steps=1",
        "=1",
        "student.=1",
        ".steps=1",
    ],
)
def test_a_value_that_is_too_much(setting):
    refusal(resolve, "burgers", overrides=[setting])
