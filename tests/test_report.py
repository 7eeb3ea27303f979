"""The report of a run: whole files, honest axes, labels apart, and nothing that is not escaped."""

import dataclasses
import html
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from piddm import Axis, Grid, PiddmError, figures
from piddm.config import resolve
from piddm.figures.tradeoff import Point
from piddm.interfaces import Residual, Rows
from piddm.plugins import Plugins
from piddm.reports.run_page import commands, write_report
from piddm.reports.tables import LABELS
from piddm.reports.terms import ANCHORS, TERMS
from piddm.runs import answering
from piddm.runs.stages import Distillation
from piddm.symbolic import Field
from piddm.tools.files import write_json
from piddm_pdes.burgers import BURGERS

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def copied(tiny_run, tmp_path):
    """The tiny run's engine in a copy of its folder, its equation under another summary."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.path, folder)
    pde = dataclasses.replace(BURGERS, summary="<script>alert('&')</script>")
    return Distillation(tiny_run.config, pde, out=folder)


def test_a_run_has_its_whole_report(tiny_run):
    names = {str(p.relative_to(tiny_run.path)) for p in tiny_run.path.rglob("*") if p.is_file()}
    drawn = {"figures/samples.png", "figures/training.png", "figures/tradeoff.png"}
    assert drawn | {"report.html", "metrics.jsonl", "metrics.json"} <= names
    assert all((tiny_run.path / name).read_bytes().startswith(PNG) for name in drawn)


def test_answers_are_measured_within_a_share_of_the_training(tiny_run, copied, monkeypatch):
    """Of the tiny run, as though it had cost an hour; of what it did cost there is no time."""
    monkeypatch.setattr(answering, "TRUTHS", 1)
    held_out = tiny_run.data[1]
    found = answering.measured(tiny_run, held_out, 3600.0)
    assert found is not None
    assert (found.student.solver, found.without.solver, found.truths) == ("hybrid", "classical", 1)
    assert 0 < found.without.error < 1
    assert answering.measured(tiny_run, held_out, 1.0) is None
    monkeypatch.setattr(answering, "LEAST", 0.0)
    assert answering.measured(tiny_run, held_out, 0.0) is None  # the time is up at once
    write_json(copied.folder / answering.FILE, found)
    page = write_report(copied)[-1].read_text()
    assert "classical, which needs no network" in page


def test_losses_are_a_line_for_each_step(tiny_run):
    lines = (tiny_run.path / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    steps = [(r["stage"], r["step"]) for r in rows]
    assert steps == [(s, n) for s in ("teacher", "student") for n in (1, 2, 3, 4)]
    assert {"loss", "pair", "physics"} <= set(rows[-1])


def test_the_page_stands_alone_and_is_escaped(copied):
    paths = write_report(copied)
    assert all(path.is_file() for path in paths)
    page = paths[-1].read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert all(source.startswith("data:image/png") for source in re.findall(r'src="([^"]*)', page))
    assert "http" not in page
    for text in ("PDE error, normalised", "student.steps", "piddm distill", "∂u/∂t", "torch"):
        assert text in page


def test_terms_are_those_of_the_vocabulary():
    """Each quantity of the tables has its definition on the page, and its formula in the docs."""
    page = (Path(__file__).parents[1] / "docs" / "vocabulary.md").read_text()
    headings = re.findall(r"^### (.+)$", page, re.M)
    assert set(TERMS) <= {h.lower().replace(",", "").replace(" ", "-") for h in headings}
    assert {name for name, _ in TERMS.values()} <= set(headings)
    assert set(ANCHORS.values()) <= set(TERMS)
    assert set(LABELS) - set(ANCHORS) <= {"milliseconds", "count"}
    assert {entry.name for entry in Plugins([]).list_all("metric")} <= set(ANCHORS)


def test_each_link_of_the_page_has_its_definition(tiny_run):
    page = (tiny_run.path / "report.html").read_text()
    anchors = re.findall(r'href="#([^"]*)"', page)
    assert {"truth", "floor", "pde-error", "energy-distance"} <= set(anchors)
    assert all(f'<dt id="{anchor}">' in page for anchor in anchors)


def test_a_reader_finds_each_term_its_caption_and_a_judgement(tiny_run):
    """What a table names is linked to its sentence, and figures say what a good one is."""
    page = (tiny_run.path / "report.html").read_text()
    asked = {
        "scale", "pde-error", "floor", "distance-to-solutions", "truth", "mmse-smse",
        "energy-distance", "one-point-distance", "spectrum-distance", "self-consistency",
        "network-calls", "values-beyond-the-range",
    }  # fmt: skip
    linked = set(re.findall(r'href="#([^"]*)"', page))
    assert asked - linked <= {"scale"}  # which only the definitions name
    text = html.unescape(page)
    for anchor in asked:  # the sentence itself stands on the page, under what links lead to
        name, sentence = TERMS[anchor]
        _, found, after = text.partition(f'<dt id="{anchor}">')
        assert found
        assert sentence in after.partition("</dd>")[0], name
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.S)
    assert len(captions) == 3
    assert all(" good " in caption for caption in captions)
    for words in ("Is it good?", "to the data", "PDE error, 1 being", "Next: "):
        assert words in page


def test_a_report_needs_scores(copied):
    (copied.folder / "metrics.json").unlink()
    with pytest.raises(PiddmError, match=r"metrics\.json"):
        write_report(copied)


def test_a_report_needs_neither_histories_nor_a_curve(copied):
    path = copied.folder / "metrics.json"
    scores = json.loads(path.read_text())
    scores.pop("tradeoff")
    scores.pop("sha256")  # as older ones are, which have none
    path.write_text(json.dumps(scores))
    (copied.folder / "student.history.json").unlink()
    assert write_report(copied)


@pytest.mark.parametrize("preset", ["quick", "default"])
def test_the_commands_make_the_same_configuration(tmp_path, preset):
    config = resolve(
        "burgers", preset, seed=7,
        overrides={"network.widths": [8, 16], "student.physics_norm": "strong",
                   "network.mixed": False, "teacher.learning_rate": 2.5e-4},
    )  # fmt: skip
    words = shlex.split(commands(config, tmp_path)[0])
    options = dict(zip(words[2::2], words[3::2], strict=True))
    overrides = [b for a, b in zip(words[2::2], words[3::2], strict=True) if a == "--set"]
    again = resolve(options["--pde"], options["--preset"], None, overrides, int(options["--seed"]))
    assert again == config
    assert len(overrides) == 4


class Still(Residual):
    """A residual on three axes: one row for each inner node, made of nothing but the field."""

    def __init__(self):
        self.grid = Grid(
            t=Axis(0, 1, 3, time=True), x=Axis(0, 2, 6), y=Axis(0, 1, 5, periodic=True)
        )
        self.field_names = ("w",)
        nodes = np.indices((2, 4, 5)).reshape(3, -1).T + np.array([0, 1, 0])
        self.rows = {
            "balance": Rows(nodes, {"w": ((0, 0),) * 3}),
            "wall": Rows(nodes[:3], {"w": ((0, 0),) * 3}, boundary=True),
        }

    def __call__(self, fields):
        w = fields["w"]
        return {"balance": w[:, :2, 1:-1], "wall": w.flatten(1)[:, :3]}

    def terms(self, fields):
        return {k: {"w": v} for k, v in self(fields).items()}


def images(figure):
    return [axes.get_images()[0].get_array() for axes in figure.axes if axes.get_images()]


def test_samples_on_three_axes_show_the_last_frame():
    residual = Still()
    w = torch.arange(2 * 3 * 6 * 5, dtype=torch.float32).reshape(2, 3, 6, 5) - 75
    rows = {"data\nheld out": {"w": w}, "student": {"w": w * 2}}
    scale = {"balance": 2.0, "wall": 1.0}
    figure = figures.samples(rows, residual, scale, [Field("w", doc="height", unit="m")])
    drawn = images(figure)
    assert len(drawn) == 2 * 2 * 2  # rows, samples, and a field beside its one equation
    assert np.array_equal(drawn[0], w[0, -1].T)
    inner = drawn[1][:, 1:-1]  # the first axis of the image goes across
    assert np.allclose(inner, (w[0, 1, 1:-1] / 2).abs().T)
    assert np.ma.getmaskarray(drawn[1])[:, [0, -1]].all()
    norms = [axes.get_images()[0].norm for axes in figure.axes if axes.get_images()]
    assert norms[0] is norms[4]  # one colour scale in all rows
    assert norms[0].vmin == -norms[0].vmax  # the field has both signs
    titles = {axes.get_title(loc="left") for axes in figure.axes}
    assert {"w, height [m]", "|residual| / scale, balance"} <= titles


def test_samples_without_any_residual_can_be_drawn():
    rows = {"data": {"w": torch.zeros(1, 3, 6, 5)}}
    figure = figures.samples(rows, Still(), {"balance": 1.0, "wall": 1.0}, [Field("w")])
    FigureCanvasAgg(figure).draw()


class Round(Still):
    """The field itself on a sphere, at all times but the first, and not next to the south pole."""

    def __init__(self):
        self.grid = Grid.sphere(6, t=Axis(0, 1, 3, time=True))
        self.field_names = ("w",)
        nodes = np.indices((2, 5, 12)).reshape(3, -1).T + np.array([1, 1, 0])
        self.rows = {"balance": Rows(nodes, {"w": ((0, 0),) * 3})}

    def __call__(self, fields):
        return {"balance": fields["w"][:, 1:, 1:]}


def test_samples_on_a_sphere_are_maps():
    residual = Round()
    w = torch.arange(2 * 3 * 6 * 12, dtype=torch.float32).reshape(2, 3, 6, 12)
    rows = {"data": {"w": w}, "student": {"w": w * 2}}
    figure = figures.samples(rows, residual, {"balance": 2.0}, [Field("w")])
    FigureCanvasAgg(figure).draw()
    maps = [axes for axes in figure.axes if axes.name == "mollweide"]
    assert len(maps) == 2 * 2 * 2
    (mesh,) = maps[0].collections
    west, east = mesh.get_array()[:, 0], mesh.get_array()[:, -1]
    np.testing.assert_array_equal(west, w[0, -1, :, 6])  # the seam is the node of longitude pi
    np.testing.assert_array_equal(east, west)
    middle = mesh.get_array()[:, 11:13]
    np.testing.assert_array_equal(middle, w[0, -1, :, :1].expand(6, 2))
    edges = mesh.get_coordinates()
    assert edges[0, 0].tolist() == pytest.approx([-np.pi, -np.pi / 2])
    assert edges[-1, -1].tolist() == pytest.approx([np.pi, np.pi / 2])
    # A cell's area is its node's share of it.
    area = np.diff(np.sin(edges[:, 0, 1])) * 6 / 2
    np.testing.assert_allclose(area, residual.grid.axes["lat"].weights(), rtol=1e-12)
    assert np.ma.getmaskarray(maps[1].collections[0].get_array())[0].all()
    share = residual.grid.axes["lat"].weights()[1:, None]
    size = np.sqrt((share * w[0, -1, 1:].numpy() ** 2 / 4).sum() / share.sum() / 12)
    assert [text.get_text() for text in maps[1].texts] == [f"rms {size:.2g}"]


def test_maps_do_not_overlap():
    w = torch.randn(3, 3, 6, 12, generator=torch.Generator().manual_seed(0))
    rows = {"data\nheld out": {"w": w}, "teacher": {"w": w}, "student": {"w": w}}
    figure = figures.samples(rows, Round(), {"balance": 1.0}, [Field("w")])
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


POINTS = [
    Point("truth", "truth (other data)", 0.004, 3e-9),
    Point("teacher", "teacher, 1 call", 0.3, 2.0),
    Point("teacher", "teacher, 3 calls", 0.06, 3.0),
    Point("teacher", "teacher, 19 calls", 0.0125, 0.52),
    Point("teacher", "teacher, 39 calls", 0.0122, 0.51),
    Point("student", "student, 1 call", 0.0128, 0.3),
]


def test_labels_of_the_trade_off_are_apart_and_inside():
    figure = figures.tradeoff(POINTS)
    renderer = FigureCanvasAgg(figure).get_renderer()
    (axes,) = figure.axes
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in axes.texts}
    assert "teacher, 19, 39 calls" in boxes
    assert "truth (other data), PDE error 3e-09, far below" in boxes
    frame = axes.get_window_extent(renderer)
    for box in boxes.values():
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
    pairs = [(a, b) for a in boxes for b in boxes if a < b]
    assert not [pair for pair in pairs if boxes[pair[0]].overlaps(boxes[pair[1]])]


def test_a_trade_off_without_a_place_on_logarithmic_axes_is_left_out():
    figure = figures.tradeoff([Point("truth", "truth", 0.0, 0.0), *POINTS[1:]])
    assert "truth" not in {text.get_text() for text in figure.axes[0].texts}


def test_training_curves_name_their_parts():
    student = [{"step": n, "loss": 2.0, "pair": 1 / n, "physics": 1 / n} for n in range(1, 60)]
    teacher = [{"step": n, "loss": 1 / n} for n in range(1, 60)]
    figure = figures.training({"teacher": teacher, "student": student})
    first, second = figure.axes
    assert [t.get_text() for t in first.texts] == ["loss"]
    assert {t.get_text() for t in second.texts} == {"pair", "physics"}
    heights = sorted(t.xy[1] for t in second.texts)
    assert heights[1] - heights[0] > 0.05  # they end together, their names do not
    raw, smooth = first.lines
    assert np.allclose(raw.get_ydata()[30], smooth.get_ydata()[30], rtol=0.05)


def test_a_figure_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    figure = figures.training({"teacher": [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 1.0}]})
    with pytest.raises(PiddmError, match="cannot write"):
        figures.save(figure, tmp_path / "file" / "a.png")
