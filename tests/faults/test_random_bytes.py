"""Random damage to each kind of file ends in a line, or changes nothing; a small campaign."""

import importlib.util
import random
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def campaign():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec = importlib.util.spec_from_file_location("mutations", BENCHMARKS / "mutations.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "mutations", module)
        spec.loader.exec_module(module)
        yield module


def test_no_damage_hangs_or_breaks_a_reader_or_passes_for_other_numbers(campaign):
    found = campaign.damage(25, seed=1)
    assert len(found) == 13
    for kind in campaign.KINDS:
        own = found[kind.name]
        assert sum(own[k] for k in ("same", "refused", "other")) == 25
        assert not any(own[k] for k in ("traceback", "hang", "crash", "large"))
        assert not (kind.proven and own["other"])


def test_the_campaign_sees_what_it_counts(campaign):
    """Readers that do what must not be: each is counted as that."""

    def broken(path):
        data = path.read_bytes()
        if data != b"sound":
            raise ZeroDivisionError
        return data

    def gullible(path):
        return path.read_bytes()

    make = lambda path: path.write_bytes(b"sound")  # noqa: E731
    kinds = [campaign.Kind("broken", make, broken), campaign.Kind("gullible", make, gullible)]
    found = campaign.damage(20, seed=0, kinds=kinds)
    assert found["broken"]["traceback"] > 15
    assert found["gullible"]["other"] > 15


def test_mutations_repeat_and_differ(campaign):
    whole = bytes(range(256)) * 4
    made = [campaign.mutated(whole, random.Random(n)) for n in range(200)]
    assert made == [campaign.mutated(whole, random.Random(n)) for n in range(200)]
    assert len(set(made)) > 190
    assert {len(m) > len(whole) for m in made} == {True, False}


@pytest.mark.slow
def test_killed_runs_end_like_others_and_leave_nothing(campaign):
    found = campaign.kill(4, each=2)
    assert found["kills"] >= 2
    assert not any(found[k] for k in ("failed", "other result", "left behind"))
