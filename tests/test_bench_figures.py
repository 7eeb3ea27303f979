"""Figures of methods side by side: what is on them, where, and that no label covers another."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from piddm import figures
from piddm.figures.ablation import Curve
from piddm.figures.pareto import ParetoPoint

POINTS = [
    ParetoPoint("burgers", "data", "truth", 0.006, 1e-13),
    ParetoPoint("burgers", "teacher", "teacher", 0.0120, 0.5, 9, False, 5e-4, 0.05),
    ParetoPoint("burgers", "teacher+projection", "teacher", 0.0119, 1e-13, 9, True),
    ParetoPoint("burgers", "student", "ours", 0.0128, 0.09, 1, False, 1e-3, 0.2),
    ParetoPoint("burgers", "student+projection", "ours", 0.0124, 0.0, 1, True),
    ParetoPoint("burgers", "PIDM", "rival", 0.08, 0.03, 100),
    ParetoPoint("burgers", "ECI", "rival", 0.02, 0.6, 400),
    ParetoPoint("darcy", "teacher", "teacher", 0.02, 0.7, 9),
    ParetoPoint("darcy", "student", "ours", 0.021, 0.3, 1),
]


def texts(axes):
    return {t.get_text(): t for t in axes.texts if t.get_text()}


def test_every_method_is_labelled_apart_and_inside_its_panel():
    figure = figures.pareto(POINTS)
    renderer = FigureCanvasAgg(figure).get_renderer()
    names = sorted(p.label.removesuffix("+projection") for p in POINTS)  # hollow markers tell it
    assert sorted(t for a in figure.axes for t in texts(a)) == names
    for axes in figure.axes:
        boxes = [t.get_window_extent(renderer) for t in texts(axes).values()]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        frame = axes.get_window_extent().padded(1)
        assert all(frame.contains(*b.min) and frame.contains(*b.max) for b in boxes)


def test_what_is_at_round_off_has_a_band_of_its_own_and_squeezes_nothing():
    upper, lower, alone = figures.pareto(POINTS).axes
    assert upper.get_ylim()[0] > 1e-3
    # A line for each, the nearest to the data above.
    heights = {name: text.xy[1] for name, text in texts(lower).items()}
    assert sorted(heights, key=heights.__getitem__) == ["student", "teacher", "data"]
    assert set(texts(alone)) == {"teacher", "student"}
    # Both bands have one axis of distances, with the floor on both.
    assert upper.get_xlim() == lower.get_xlim()
    for axes in (upper, lower):
        assert any(np.allclose(line.get_xdata(), 0.006) for line in axes.lines)


def test_projected_markers_are_hollow_and_dear_ones_larger():
    upper, lower, _ = figures.pareto(POINTS).axes
    assert all(c.get_facecolor()[0, :3].tolist() == [1, 1, 1] for c in lower.collections[1:]
               if hasattr(c, "get_sizes"))  # fmt: skip
    areas = {c.get_offsets()[0, 0]: c.get_sizes()[0] for c in upper.collections
             if hasattr(c, "get_sizes")}  # fmt: skip
    assert areas[0.0128] < areas[0.0120] < areas[0.08] < areas[0.02]


def test_the_front_is_a_staircase_of_what_none_above_round_off_beats():
    upper = figures.pareto(POINTS).axes[0]
    (stairs,) = [line for line in upper.lines if line.get_drawstyle() == "steps-post"]
    np.testing.assert_allclose(stairs.get_xdata()[1:-1], [0.0120, 0.0128, 0.08])
    np.testing.assert_allclose(stairs.get_ydata()[1:-1], [0.5, 0.09, 0.03])


def test_failures_are_left_out_and_no_methods_at_all_are_a_figure():
    nan = float("nan")
    broken = [*POINTS, ParetoPoint("burgers", "lost", "rival", nan, 1.0)]
    assert all("lost" not in texts(a) for a in figures.pareto(broken).axes)
    assert figures.pareto([]).axes == []


CURVES = [
    Curve("weight", "burgers", [0, 1, 10], [0.5, 0.2, 0.1], [0.02, 0.02, 0.03], 1),
    Curve("weight", "darcy", [0, 1, 10], [4.0, 1.0, None], [0.2, 0.1, None], 1, [0.4, 0.1, None]),
    Curve("ending", "burgers", ["none", "projected"], [0.1, 1e-14], [0.02, 0.01], 0),
]


def test_an_ablation_is_relative_to_its_default_and_a_failure_is_a_gap():
    upper, lower, *_ = figures.ablation(CURVES).axes
    joined = [
        line for line in upper.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 3
    ]
    burgers, darcy = (np.asarray(line.get_ydata(), float) for line in joined)
    np.testing.assert_allclose(burgers, [2.5, 1, 0.5])
    np.testing.assert_allclose(darcy, [4, 1, np.nan])
    assert [t.get_text() for t in lower.get_xticklabels()] == ["0", "1", "10"]
    # Zero is a step left of the least positive value, along a logarithmic axis.
    np.testing.assert_allclose(joined[0].get_xdata(), [-1, 0, 1])


def test_names_are_not_joined_and_round_off_is_said_to_be_far_below():
    *_, upper, lower = figures.ablation(CURVES).axes
    assert not any(line.get_linestyle() == "-" and len(line.get_xdata()) == 2
                   and np.ptp(line.get_ydata()) > 0 for line in upper.lines)  # fmt: skip
    assert [t.get_text() for t in upper.texts] == ["far below"]
    assert upper.get_ylim()[0] > 0.1
    assert [t.get_text() for t in lower.get_xticklabels()] == ["none", "projected"]


@pytest.mark.parametrize("make", [lambda: figures.pareto(POINTS), lambda: figures.ablation(CURVES)])
def test_equal_figures_are_equal_files(make, tmp_path):
    for name in ("a.png", "b.png"):
        figures.save(make(), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
