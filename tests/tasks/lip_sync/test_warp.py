"""How lips move when a mouth is closed or opened: where their edges come to lie."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.lip_sync.shape import Array, evaluate, measure_gap, measure_shape
from tasks.lip_sync.warp import move_places, place_lips
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS

PLACES = np.array([-0.75, -0.6, 0.0, 0.6, 0.75])


def lower_lip(gap: float, points: NDArray[np.float32] = PORTRAIT_POINTS) -> Array:
    """Thickness of the lower lip at `PLACES` when the smile's inner lips are `gap` of what they were apart."""
    smile = points[None].astype(np.float64)
    shape = measure_shape(smile)
    gaps = gap * measure_gap(smile)
    target = place_lips(shape, gaps, np.ones(1), np.ones(1), np.array([1.0, 0.0, 0.45, 0.0]))
    rows = np.linspace(-0.5, 2.5, 3001)
    x, y = np.broadcast_to(PLACES, (1, len(rows), len(PLACES))), rows[None, :, None] + np.zeros((1, 1, len(PLACES)))
    across, down = move_places(target, x, y).below
    cosine, sine = shape.axis[0] * shape.half_width[0]
    seen = rows[:, None] + (down[0] * cosine - across[0] * sine) / shape.half_width[0] ** 2
    edge = evaluate(shape.lower, PLACES)[0] + evaluate(shape.lower_thickness, PLACES / shape.outer[0])[0]
    outer = rows[np.argmax(seen >= edge, axis=0)]
    return np.asarray(outer - evaluate(target.lower, PLACES)[0])


def own_lip(points: NDArray[np.float32] = PORTRAIT_POINTS) -> Array:
    """Its thickness as the source shows it."""
    shape = measure_shape(points[None].astype(np.float64))
    return np.asarray(evaluate(shape.lower_thickness, PLACES / shape.outer[0])[0])


def test_lips_that_stay_as_they_are_keep_their_thickness() -> None:
    # A request is a gap of the usual form, this smile's own form differs a little from it.
    assert lower_lip(1.0) == pytest.approx(own_lip(), abs=0.06)


def test_the_sides_of_a_closed_lower_lip_taper() -> None:
    """Or they hang: a lip's outer edge would follow its middle, its inner edge the corners."""
    own, closed, sides = own_lip(), lower_lip(0.0), [0, 1, 3, 4]
    assert closed[2] > own[2]
    assert np.all((closed / closed[2])[sides] < 0.95 * (own / own[2])[sides])


def test_an_opening_lower_lip_is_not_thinned_at_its_sides() -> None:
    assert np.all(lower_lip(1.8) >= lower_lip(1.0) - 0.08)


def test_a_wide_open_lip_that_closes_does_not_swell_in_its_middle() -> None:
    points = PORTRAIT_POINTS.copy()
    points[[*range(7, 12), *range(23, 32)], 1] += 12  # the lower lip, as far as for a wide vowel
    points[34:41, 1] += 12
    assert lower_lip(0.0, points)[2] <= 1.8 * own_lip(points)[2]
