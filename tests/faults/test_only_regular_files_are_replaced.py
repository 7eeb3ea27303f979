"""Writing replaces regular files and nothing else, follows links, and keeps modes."""

import os
import stat
import threading

import pytest
from typer.testing import CliRunner

from piddm import PiddmError
from piddm.cli.app import app
from piddm.tools import atomic
from piddm.tools.atomic import atomic_path, swept
from piddm.tools.files import write_json


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("bits", [0o600, 0o644, 0o640, 0o444])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path, bits):
    target = tmp_path / "private"
    target.write_text("old")
    target.chmod(bits)
    with atomic_path(target) as part:
        assert mode(part) & 0o077 & ~bits == 0  # never readable by more, not even meanwhile
        part.write_text("new")
    assert (target.read_text(), mode(target)) == ("new", bits)


def test_a_new_file_has_the_mode_that_others_get(tmp_path):
    write_json(tmp_path / "a", 1)
    (tmp_path / "b").write_text("1")
    assert mode(tmp_path / "a") == mode(tmp_path / "b")


@pytest.mark.parametrize("there", [True, False])
def test_links_are_followed(tmp_path, there):
    target, link = tmp_path / "elsewhere" / "file", tmp_path / "link"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    link.symlink_to(target)
    write_json(link, 1)
    assert link.is_symlink()
    assert target.read_text() == "1\n"
    assert [p.name for p in target.parent.iterdir()] == ["file"]


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    import socket

    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.close()


def link_to(place):
    return lambda path: path.symlink_to(place)


KINDS = [
    (make_pipe, "a pipe"),
    (make_socket, "a socket"),
    (link_to("/dev/null"), "a device"),
    (link_to("/dev/full"), "a device"),
]


@pytest.mark.parametrize(("make", "kind"), KINDS)
def test_what_is_no_regular_file_stays(tmp_path, monkeypatch, make, kind):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    target = tmp_path / "target"
    make(target.relative_to(tmp_path))
    before = os.lstat(target)
    with pytest.raises(PiddmError, match=f"it is {kind}, and stays"):
        write_json(target, 1)
    assert os.lstat(target).st_ino == before.st_ino
    assert os.lstat(target).st_mode == before.st_mode
    command = ["simulate", "heat", "--count", "1", "--size", "8", "--overwrite", "--out"]
    result = CliRunner().invoke(app, [*command, str(target)])
    assert result.exit_code == 1
    assert f"it is {kind}" in result.output
    assert os.lstat(target).st_ino == before.st_ino
    assert [p.name for p in tmp_path.iterdir()] == ["target"]


def test_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PiddmError, match="its links lead in a circle"):
        write_json(tmp_path / "a", 1)


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "YOUNG", 0.0)
    stale = [".0123abcd.data.h5", ".burgers.lock"]
    kept = [".0123abcd", "data.h5", ".hidden", ".0123abcg.x"]
    for name in stale + kept:
        (tmp_path / name).write_text("half")
    with atomic_path(tmp_path / "busy") as part:
        part.write_text("being written")
        thread = threading.Thread(target=swept, args=[tmp_path])
        thread.start()
        thread.join()
        assert part.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "busy"])


def test_a_file_that_was_just_begun_is_not_swept(tmp_path):
    (tmp_path / ".0123abcd.data.h5").touch()
    swept(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
