"""Fronts and marks: what may be said of methods side by side."""

import math

import numpy as np

from piddm.metrics.fronts import best_two, pareto_front

NAN = math.nan


def test_a_front_is_what_no_point_beats():
    rng = np.random.default_rng(0)
    # On a coarse lattice, so that there are ties and equal points.
    points = [tuple(map(float, p)) for p in rng.integers(0, 12, (60, 2))]
    beaten = {
        i for i, p in enumerate(points)
        if any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in points)
    }  # fmt: skip
    front = pareto_front(points)
    assert set(front) == set(range(60)) - beaten
    assert [points[i] for i in front] == sorted(points[i] for i in front)


def test_equal_points_stand_together_and_what_is_not_finite_stands_nowhere():
    assert pareto_front([(1, 2), (1, 2), (2, 1), (1, 3), (2, 2)]) == [0, 1, 2]
    assert pareto_front([(NAN, 0), (0, math.inf), (3, 3)]) == [2]
    assert pareto_front([]) == []


def test_marks_need_a_difference_beyond_its_error():
    # Differences 0.4 and 1: errors of 0.3 and 0.4 make 0.5, and 0.4 and 0.4 make 0.57.
    far = {"c": (2.4, 0.4), "a": (1.0, 0.3), "b": (1.6, 0.4)}
    assert best_two(far) == {"a": "best", "b": "second"}
    assert best_two(far | {"b": (1.4, 0.4)}) == {}
    assert best_two(far | {"c": (2.1, 0.4)}) == {"a": "best"}
    assert best_two({"a": (1.0, 0.3), "b": (1.5, 0.4)}) == {}  # the very error is not beyond it


def test_ties_and_lone_values_have_no_marks():
    assert best_two({"a": (1.0, 0.0), "b": (1.0, 0.0), "c": (9.0, 0.0)}) == {}
    assert best_two({"a": (1.0, 0.0)}) == {}
    assert best_two({}) == {}
    assert best_two({"a": (1.0, 0.0), "b": (2.0, 0.0)}) == {"a": "best", "b": "second"}


def test_one_seed_without_an_error_parts_nothing_and_failures_are_passed_over():
    assert best_two({"a": (1.0, NAN), "b": (9.0, 0.1)}) == {}
    assert best_two({"a": (NAN, 0.1), "b": (1.0, 0.1), "c": (9.0, 0.1)}) == {
        "b": "best", "c": "second",
    }  # fmt: skip
