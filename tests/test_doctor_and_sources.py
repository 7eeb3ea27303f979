"""The health of an installation, and the sources of a run's methods."""

import json
import re
from collections import namedtuple

import pytest

from piddm.config import resolve
from piddm.reports import health
from piddm.reports.citing import ENTRY, sources
from plugin_commands import call

BAD = "from piddm import hookimpl\nraise RuntimeError('no such thing')\n"


def test_an_installation_that_is_well_has_nothing_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path / "not" / "there"))
    done = call("doctor", "--json")
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert done.exit_code == (0 if all(one["well"] for one in found.values()) else 1)
    assert found["plugin pdes"]["well"]
    assert re.match(r"2\.", found["torch"]["value"])
    assert "cpu" in found["devices"]["value"]
    assert not (tmp_path / "not").exists(), "nothing is made"


def test_each_trouble_has_an_advice(tmp_path, monkeypatch):
    broken = tmp_path / "broken.py"
    broken.write_text(BAD)
    monkeypatch.setenv("PIDDM_PLUGINS", str(broken))
    from piddm.plugins import reset

    reset()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(health.shutil, "disk_usage", lambda path: usage(1, 1, 10**6))
    monkeypatch.setattr(health, "available", lambda: 2**30)
    monkeypatch.setattr(health, "PACKAGES", ("no-such-package",))
    try:
        done = call("doctor")
    finally:
        monkeypatch.undo()
        reset()
    assert done.exit_code == 1
    for advice in ("pip install no-such-package", "no such thing", "--preset quick", "PIDDM_HOME"):
        assert advice in done.stdout


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        ({}, {"piddm", "zhang2025physics", "ronneberger2015unet", "lipman2023flow"}, {"li2021"}),
        ({"network.name": "fno"}, {"li2021fourier"}, {"ronneberger"}),
        ({"student.name": "reflow"}, {"liu2023flow"}, {"yin2024"}),
        ({"student.name": "diff-instruct"}, {"luo2023diffinstruct"}, {"liu2023"}),
        ({"student.energy_weight": 0.0}, set(), {"szekely2013", "gneiting2007"}),
    ],
)
def test_sources_are_those_of_what_is_used(changes, there, absent):
    found = sources(resolve("burgers", "quick", overrides=changes))
    keys = {source.key for source in found}
    assert there <= keys
    assert not [key for key in keys if any(key.startswith(other) for other in absent)]
    assert len(keys) == len(found)


def test_every_source_is_an_entry_of_bibtex():
    names = ("reflow", "consistency", "dmd", "few-step", "staged")
    for name in names:
        for source in sources(resolve("burgers", "quick", overrides={"student.name": name})):
            assert ENTRY.fullmatch(source.bibtex)
            assert source.bibtex.count("{") == source.bibtex.count("}")
            if source.key != "piddm":
                assert all(
                    f"\n  {part} = " in source.bibtex for part in ("title", "author", "year")
                )


def test_the_command_cites_a_run(tiny_run):
    text = call("cite", tiny_run.path).stdout
    assert text.startswith("% equation burgers: Li et al.")
    assert "@misc{zhang2025physics" in text
    listed = json.loads(call("cite", tiny_run.path, "--json").stdout)
    assert [source["key"] for source in listed][:2] == ["piddm", "zhang2025physics"]
