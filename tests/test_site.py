"""The site's made pages hold what the code has; docstrings' formulas become the site's."""

import importlib
import inspect
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from piddm.cli.app import app
from piddm.config import Config
from piddm.plugins.hooks import Hooks

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def generated():
    """The site's module, which is no package's."""
    folder = str(ROOT / "docs" / ".site")
    sys.path.insert(0, folder)
    yield importlib.import_module("generated")
    sys.path.remove(folder)


def test_every_command_and_option_is_told(generated):
    page = generated.commands()
    for name, command in get_command(app).commands.items():  # pyright: ignore
        if command.hidden:
            continue
        assert f"## piddm {name}" in page
        for param in command.params:
            if param.param_type_name == "option" and not param.hidden:
                assert f"`{', '.join(param.opts)}`" in page


def test_every_setting_is_told(generated):
    page = generated.settings()
    sections = {"data", "packing", "network", "teacher", "pairs", "student", "evaluation"}
    for section in sections:
        for name in Config.model_fields[section].annotation.model_fields:  # pyright: ignore
            assert f"`{section}.{name}" in page
    assert "`paper` | `student.steps` | `40000`" in page


def test_every_hook_and_public_name_is_told(generated):
    page = generated.hooks()
    for name in vars(Hooks):
        assert not name.startswith("piddm_") or f"## {name}\n" in page
    for face in generated.FACES:
        lines = generated.reference(face).splitlines()
        for name in importlib.import_module(face).__all__:
            assert any(line.startswith("::: piddm") and line.endswith(f".{name}") for line in lines)


def test_every_public_name_has_a_docstring(generated):
    for face in generated.FACES:
        module = importlib.import_module(face)
        for name in module.__all__:
            value = getattr(module, name)
            told = (value.__doc__ or "").strip()
            assert told or not (inspect.isclass(value) or inspect.isroutine(value)), name


def test_docstrings_become_markdown(generated):
    text = """First line.

    .. math:: u_t = \\nu u_{xx},
       \\qquad x \\in (0, 1).

    With :math:`\\nu > 0` and :class:`piddm.PDE`.
    """
    plain = generated.plain(text)
    assert "$$\n    u_t = \\nu u_{xx}, \\qquad x \\in (0, 1).\n    $$" in plain
    assert "With $\\nu > 0$ and `piddm.PDE`." in plain
