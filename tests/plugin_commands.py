"""What tests of plugins share: commands, and how they are refused."""

from pathlib import Path

from typer.testing import CliRunner

from piddm.cli.app import app


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(result):
    """The one line of a refusal."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in result.stderr
    return line


def write(name, text):
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)
