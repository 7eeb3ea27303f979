"""Files are whole or absent, and what is read is checked; each error is one line that helps."""

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from pydantic import BaseModel, ConfigDict

from piddm.tools.errors import PiddmError
from piddm.tools.files import (
    SCHEMA_VERSION,
    atomic_path,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int
    rate: float = 0.5


def failure(function, *args):
    with pytest.raises(PiddmError) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_appears_whole_in_a_new_folder(tmp_path):
    target = tmp_path / "new" / "figure.png"
    with atomic_path(target) as part:
        assert part.parent == target.parent
        assert part.suffix == ".png"
        part.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "file"
    target.write_text("old")

    def fail():
        with atomic_path(target) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    assert "a part of the path is a file" in failure(write_json, tmp_path / "file" / "a", 1)
    assert "it is a folder; choose another name" in failure(write_json, tmp_path / "folder", 1)
    assert "its name is too long" in failure(write_json, tmp_path / ("n" * 300), 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def _write_limited(folder, limit):
    """Write with a limit on the size of files, which fails as a full disk does."""
    import resource
    import signal
    from pathlib import Path

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    messages = []
    for write in (
        lambda path: write_json(path, list(range(10_000))),
        lambda path: write_tensors(path, {"a": torch.zeros(10_000)}, {"piddm_kind": "teacher"}),
    ):
        try:
            write(Path(folder) / "target")
            messages.append("written")
        except PiddmError as error:
            messages.append(str(error))
    return messages


@pytest.mark.parametrize("limit", [0, 10_000])
def test_a_disk_that_fills_up(tmp_path, limit):
    pytest.importorskip("resource")
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        messages = pool.submit(_write_limited, tmp_path, limit).result()
    assert len(messages) == 2
    for message in messages:
        assert message.startswith(f"cannot write {tmp_path / 'target'}: ")
        assert "write elsewhere" in message
    assert list(tmp_path.iterdir()) == []


def test_json_round_trip_of_data_and_models(tmp_path):
    path = tmp_path / "config.json"
    for data in ({"steps": 3, "rate": 0.25}, Config(steps=3, rate=0.25)):
        write_json(path, data)
        assert read_json(path, Config) == Config(steps=3, rate=0.25)
        written = json.loads(path.read_text())
        assert len(written.pop("sha256", "0" * 64)) == 64
        assert written == {"steps": 3, "rate": 0.25}


def test_json_has_no_number_that_is_not_finite(tmp_path):
    assert "null" in failure(write_json, tmp_path / "a.json", {"error": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"steps": "many"}', "steps: Input should be a valid integer"),
        (b'{"steps": 1, "colour": 2}', "colour: Extra inputs are not permitted"),
        (b'{"rate": "x"}', "steps: Field required (and 1 more)"),
        (b'{"steps": 1', "Invalid JSON"),
        (b"", "Invalid JSON"),
        (b"\xff\xfe\x00", "is damaged or not a JSON file"),
    ],
)
def test_json_that_is_not_as_expected(tmp_path, content, reason):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    message = failure(read_json, path, Config)
    assert reason in message
    assert str(path) in message


def test_json_that_is_not_there(tmp_path):
    assert "there is no JSON file at" in failure(read_json, tmp_path / "a.json", Config)
    assert "is not a file" in failure(read_json, tmp_path, Config)


def test_tensors_round_trip_also_where_they_share_memory(tmp_path):
    path = tmp_path / "teacher.safetensors"
    base = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tensors = {
        "base": base.requires_grad_(),
        "slice": base[1:3],
        "transposed": base.T,
        "tied": base,
        "count": torch.tensor(7),
    }
    write_tensors(path, tensors, {"piddm_kind": "teacher", "pde": "any"})
    found, metadata = read_tensors(path, "teacher")
    assert set(found) == set(tensors)
    for name, values in found.items():
        assert values.dtype == tensors[name].dtype
        assert torch.equal(values, tensors[name])
    expected = {"piddm_kind": "teacher", "pde": "any", "piddm_schema_version": SCHEMA_VERSION}
    assert metadata == expected


def test_tensors_need_a_kind(tmp_path):
    assert "piddm_kind" in failure(write_tensors, tmp_path / "a", {}, {"pde": "any"})
    assert list(tmp_path.iterdir()) == []


def test_tensors_of_another_kind_version_or_origin(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    write_tensors(path, {"a": torch.zeros(2)}, {"piddm_kind": "student"})
    assert "holds a student; give a teacher file" in failure(read_tensors, path, "teacher")
    metadata = {"piddm_kind": "teacher", "piddm_schema_version": "99"}
    save_file({"a": torch.zeros(2)}, path, metadata)
    assert "has layout 99, this piddm reads 2" in failure(read_tensors, path, "teacher")
    save_file({"a": torch.zeros(2)}, path)
    assert "was not written by piddm" in failure(read_tensors, path, "teacher")


def test_tensors_that_are_missing_truncated_or_not_tensors(tmp_path):
    path = tmp_path / "model.safetensors"
    assert "there is no teacher file at" in failure(read_tensors, path, "teacher")
    write_tensors(path, {"a": torch.zeros(100)}, {"piddm_kind": "teacher"})
    whole = path.read_bytes()
    for content in (b"", whole[:4], whole[:60], whole[:-1], b"PK\x03\x04 a zip of pickles"):
        path.write_bytes(content)
        message = failure(read_tensors, path, "teacher")
        assert "is damaged or not a teacher file" in message
        assert str(path) in message
