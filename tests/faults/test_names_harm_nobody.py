"""Names are checked where they are given, and text from files reaches a terminal as it is."""

import pytest
from typer.testing import CliRunner

from piddm import PDE, Axis, Grid, PiddmError, UsageError
from piddm.cli.app import app
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, t, x
from piddm.tools.errors import printable

GRID = Grid(t=Axis(0, 1, 8, time=True), x=Axis(0, 1, 8, periodic=True))


def equation(name="heat-2", field="u", param="nu", label="heat"):
    u, nu = Field(field), Param(param, 0.1)
    return PDE(name=name, summary="a name", grid=GRID, fields=[u], params=[nu],
               equations={label: D(u, t) - nu * D(u, x, 2)},
               inputs={u.at(t=0): GaussianField(alpha=2.5, tau=7.0)})  # fmt: skip


BAD = ["", "..", "../up", "/abs", "a/b", "u\nv", "u\x1b[31m", "a,b", "u@t", "a=b", "-x", ".x",
       " u", "u ", "x" * 65, "\u202eu", "a\\b", "a:b", "\0"]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("what", ["name", "field", "param"])
def test_a_name_that_would_fail_later_is_refused_at_once(bad, what):
    with pytest.raises(UsageError, match="cannot be called") as caught:
        equation(**{what: bad})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("bad", ["", " ", "a/b", "two\nlines", "\x1b[2J", "x" * 65])
def test_so_is_a_label_of_rows(bad):
    with pytest.raises(UsageError, match="is no name for a row"):
        equation(label=bad)


@pytest.mark.parametrize("good", ["u", "u_x", "rho0", "ρ", "a'", "u-1", "lam.2"])
def test_names_of_the_field_are_welcome(good):
    assert equation(field=good, param="κ", label="momentum along x").field_names == (good,)


def test_messages_have_no_control_characters():
    error = PiddmError("the field 'u\x1b[31m\r\x07\x9b\u202e' of a\nb\tc is ∇²u")
    assert str(error) == r"the field 'u\x1b[31m\r\x07\x9b\u202e' of a b c is ∇²u"
    assert printable("plain — text") == "plain — text"


def test_a_file_with_control_characters_is_told_by_repr(tmp_path):
    path = tmp_path / "seen.csv"
    path.write_text("field,t,x,value\n\x1b]0;title\x07u,0,0,1\n")
    (tmp_path / "mine.toml").write_text('["\\u001b[31m"]\nsteps = 1\n')
    command = ["distill", "--pde", "burgers", "--config", str(tmp_path / "mine.toml")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert "\x1b" not in result.output
    assert r"\x1b[31m" in result.output
    from piddm import get_pde
    from piddm.tasks.observation_files import read_observations

    with pytest.raises(UsageError) as caught:
        read_observations(path, get_pde("burgers"), GRID)
    assert str(caught.value).isprintable()


def test_hdf5_with_control_characters_is_told_by_repr(tmp_path):
    import h5py

    from piddm.data import dataset

    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update(schema="piddm-dataset", schema_version="\x1b[31m9")
    with pytest.raises(PiddmError) as caught:
        dataset.read(path)
    assert str(caught.value).isprintable()
    assert r"\x1b[31m9" in str(caught.value)
