"""Objects at a prompt and in a notebook: a few lines, formulas, a picture."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest
import torch
from matplotlib.figure import Figure

import piddm
from piddm import PDE, Axis, Grid
from piddm.data.dataset import Dataset
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, t, x
from piddm.tasks.synthetic import draw_truth, place
from tiny import tiny

MOST_LINES = 14
"""A few lines."""


@pytest.fixture(scope="module")
def answer(tiny_run):
    truth = draw_truth(tiny_run.pde, tiny_run.residual.grid, 3)
    seen = place(truth, tiny_run.pde, "u", 0.1, seed=1)
    return tiny_run.solve("reconstruct", seen, "gaussian", 3, progress=False)


@pytest.fixture(params=["equation", "run", "data", "answer"])
def thing(request, tiny_run, answer):
    data = tiny_run.data[0]
    return {"equation": tiny_run.pde, "run": tiny_run, "data": data, "answer": answer}[
        request.param
    ]


def well_formed(html):
    """Parse HTML as XML, in which every tag ends."""
    return ET.fromstring("<all>" + re.sub(r"<img([^>]*)>", r"<img\1/>", html) + "</all>")


def test_each_is_told_in_a_few_lines(thing):
    text = repr(thing)
    assert "burgers" in text.splitlines()[0]
    assert 2 <= len(text.splitlines()) <= MOST_LINES
    assert "tensor(" not in text
    assert "<" not in text


def test_each_is_html_by_itself(thing):
    html = thing._repr_html_()
    well_formed(html)
    assert "burgers" in html
    assert "http" not in html
    for data in re.findall(r'src="data:image/png;base64,([^"]*)"', html):
        assert base64.b64decode(data).startswith(b"\x89PNG")


def test_an_equation_has_its_formulas(tiny_run):
    assert "∂u/∂t" in repr(tiny_run.pde)
    assert r"$\partial_{t} u" in tiny_run.pde._repr_html_()


def test_a_run_tells_its_scores_and_reads_no_model(tiny_run):
    run = piddm.load_run(tiny_run.path)
    text, _ = repr(run), run._repr_html_()
    error = f"{run.metrics['student'].pde_error_normalised:.2g}"
    assert error in text
    assert str(run.path) in text
    assert not {"_teacher", "_student", "data"} & set(vars(run))


def test_a_run_that_is_not_begun_stays_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PIDDM_HOME", str(tmp_path))
    run = piddm.api.prepare("burgers", "quick", overrides=tiny())
    assert "not scored" in repr(run)
    assert list(tmp_path.iterdir()) == []


def test_each_has_a_picture(tiny_run, answer, tmp_path):
    truth = {"u": torch.zeros(answer.grid.shape)}
    pictures = [
        tiny_run.plot(2), tiny_run.plot(2, source="teacher"), tiny_run.data[0].plot(),
        answer.plot(), answer.plot(truth=truth),
    ]  # fmt: skip
    assert all(isinstance(picture, Figure) for picture in pictures)
    assert len(pictures[4].axes) > len(pictures[3].axes)


def test_data_of_an_equation_that_nobody_registered_are_drawn():
    u = Field("u")
    grid = Grid(t=Axis(0, 1, 8, time=True), x=Axis(0, 1, 8, periodic=True))
    pde = PDE("mine", "<b>", grid, [u], {"heat": D(u, t) - D(u, x, 2)},
              inputs={u.at(t=0): GaussianField(2.5, 7.0)})  # fmt: skip
    data = Dataset("mine", grid, {"u": torch.zeros(2, 8, 8)}, {"heat": 1.0}, {}, 0)
    assert isinstance(data.plot(), Figure)
    well_formed(pde._repr_html_())
    assert "&lt;b&gt;" in pde._repr_html_()
