"""Curves of the mouth from its points."""

import numpy as np
import pytest

from tasks.faces import points as layout
from tasks.lip_sync.shape import evaluate, measure_gap, measure_shape, measure_width, measure_yaw, part_lips
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, closed_points


def turned(points: np.ndarray, degrees: float, scale: float = 1.0) -> np.ndarray:
    a = np.radians(degrees)
    return points @ (scale * np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])) + (900, 700)


def test_curves_pass_near_the_points_they_are_made_of() -> None:
    s = measure_shape(PORTRAIT_POINTS[None])
    offset = (PORTRAIT_POINTS[13:22] - s.origin[0]) / s.half_width[0]
    across = np.array([-s.axis[0, 1], s.axis[0, 0]])
    np.testing.assert_allclose(evaluate(s.upper, (offset @ s.axis[0])[None])[0], offset @ across, atol=0.03)


def test_the_same_face_turned_and_enlarged_has_the_same_curves() -> None:
    one = measure_shape(PORTRAIT_POINTS[None])
    other = measure_shape(turned(PORTRAIT_POINTS, 25, 3.0)[None])
    for name in ("upper", "lower", "upper_thickness", "lower_thickness", "nose", "chin", "gap_places", "outer"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-5)
    np.testing.assert_allclose(other.half_width, 3 * one.half_width, rtol=1e-6)


def test_a_mouth_depends_on_its_own_points_alone() -> None:
    many = np.stack([turned(PORTRAIT_POINTS, angle) for angle in range(9)])
    together = measure_shape(many)
    for i in range(9):
        single = measure_shape(many[i : i + 1])
        for name in single.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(together, name)[i], getattr(single, name)[0])


def test_lips_that_cross_are_brought_to_touch() -> None:
    crossed = closed_points(PORTRAIT_POINTS).copy()
    crossed[13:22, 1] += 2
    s = measure_shape(crossed[None])
    x = np.linspace(-0.8, 0.8, 9)
    gap = evaluate(s.lower, x) - evaluate(s.upper, x)
    assert abs(float(gap.mean())) < 0.04
    assert np.abs(gap).max() < 0.08


def test_parting_multiplies_an_opening_and_leaves_closed_lips() -> None:
    closed = closed_points(PORTRAIT_POINTS)
    np.testing.assert_allclose(part_lips(closed[None], 1.5)[0], closed, atol=0.05)
    parted = part_lips(PORTRAIT_POINTS[None], 1.5)
    assert measure_gap(parted)[0] / measure_gap(PORTRAIT_POINTS) == pytest.approx(1.45, abs=0.05)
    np.testing.assert_allclose(parted[0, layout.JAW], PORTRAIT_POINTS[layout.JAW])
    np.testing.assert_array_equal(part_lips(PORTRAIT_POINTS[None], 1.0)[0], PORTRAIT_POINTS)


def test_yaw_and_width_do_not_depend_on_size_or_roll() -> None:
    other = turned(PORTRAIT_POINTS, -17, 2.0)
    assert measure_yaw(other) == pytest.approx(float(measure_yaw(PORTRAIT_POINTS)), abs=1e-6)
    assert measure_width(other) == pytest.approx(float(measure_width(PORTRAIT_POINTS)), abs=1e-6)
