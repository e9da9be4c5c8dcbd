"""The motion of a mouth over a whole video."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.lip_sync.motion import (
    EASE_SECONDS,
    STILL_WIDEST,
    MouthMotion,
    Showing,
    Speech,
    ease,
    measure_range,
    plan_wish,
)
from tasks.lip_sync.motion import plan_motion as plan_wished
from tasks.lip_sync.shape import measure_eye_distance, measure_gap, part_lips
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, closed_points

FRAMES = 100
EYES = float(measure_eye_distance(PORTRAIT_POINTS))


def talking(usable: np.ndarray | None = None, rate: float = 25.0) -> Showing:
    """A speaker who opens by up to the portrait's gap and closes twice a second."""
    closed = closed_points(PORTRAIT_POINTS)
    share = (0.5 - 0.5 * np.cos(np.arange(FRAMES) / rate * 4 * np.pi))[:, None, None]
    return Showing(
        seconds=np.arange(FRAMES) / rate,
        points=closed + share * (PORTRAIT_POINTS - closed),
        usable=np.ones(FRAMES, dtype=bool) if usable is None else usable,
        jumps=np.zeros(FRAMES, dtype=bool),
    )


def speech(opening: float | np.ndarray = 0.0, closure: float | np.ndarray = 0.0, width: float = 0.0) -> Speech:
    return Speech(*(np.broadcast_to(np.float64(v), FRAMES) for v in (opening, closure, width)))


def plan_motion(speech: Speech, showing: Showing, gap_cap: float) -> MouthMotion:
    return plan_wished(plan_wish(speech, showing.seconds), showing, gap_cap)


def test_a_mouth_rests_in_silence() -> None:
    motion = plan_motion(speech(0.0), talking(), 0.2)
    assert not motion.gaps.any()
    assert (motion.weights == 1).all()


def test_small_tremor_of_the_voice_does_not_move_the_lips() -> None:
    tremor = 0.03 + 0.02 * np.sin(np.arange(FRAMES) * 2.1)
    assert plan_motion(speech(tremor), talking(), 0.2).gaps.max() < 0.004 * EYES


def test_a_wide_vowel_opens_as_this_person_does() -> None:
    showing = talking()
    motion = plan_motion(speech(1.0), showing, 1.0)
    assert motion.gaps.max() == pytest.approx(measure_range(showing) * EYES, rel=0.06)
    assert measure_range(showing) == pytest.approx(0.12, abs=0.01)


def test_the_bank_caps_the_opening() -> None:
    assert plan_motion(speech(1.0), talking(), 0.07).gaps.max() <= 0.07 * EYES + 1e-6


def test_a_still_opens_modestly() -> None:
    still = replace(talking(), points=np.stack([closed_points(PORTRAIT_POINTS)] * FRAMES))
    assert 0.08 < measure_range(still) < 0.13
    nothing = replace(still, usable=np.zeros(FRAMES, dtype=bool))
    assert not plan_motion(speech(1.0), nothing, 0.2).weights.any()


def test_a_broad_smile_is_no_wider_vowel_than_a_shut_mouth_allows() -> None:
    smile = part_lips(PORTRAIT_POINTS[None], 2.0)[0]
    still = replace(talking(), points=np.stack([smile] * FRAMES))
    assert measure_gap(smile) > 0.2 * measure_eye_distance(smile)
    assert measure_range(still) == STILL_WIDEST


def test_closures_press_the_lips_whatever_the_opening() -> None:
    closure = np.zeros(FRAMES)
    closure[50:54] = 1.0
    gaps = plan_motion(speech(0.8, closure), talking(), 0.2).gaps
    assert gaps[51:53].max() < 0
    assert gaps[:45].min() > 0.05 * EYES


def test_gaps_follow_the_size_of_the_face() -> None:
    near = talking()
    near = replace(near, points=near.points * np.linspace(1, 2, FRAMES)[:, None, None])
    gaps = plan_motion(speech(0.7), near, 0.2).gaps
    assert gaps[-1] == pytest.approx(2 * gaps[0], rel=1e-6)


def test_a_mouth_that_the_source_rounds_is_widened_to_its_usual_width() -> None:
    showing = talking()
    points = showing.points.copy()
    middle = points[40:60, 0:32].mean(axis=1, keepdims=True)
    points[40:60, 0:32] = middle + (points[40:60, 0:32] - middle) * np.float32([0.9, 1.0])
    widths = plan_motion(speech(0.0), replace(showing, points=points), 0.2).widths
    assert widths[45:55] == pytest.approx(1 / 0.9, rel=0.01)
    assert widths[:30] == pytest.approx(1, rel=0.01)


def test_weights_ease_where_the_face_is_lost() -> None:
    usable = np.ones(FRAMES, dtype=bool)
    usable[40:50] = False
    weights = ease(talking(usable))
    assert not weights[40:50].any()
    assert (np.abs(np.diff(weights)) < 0.35).all()
    assert weights[:33].min() == weights[57:].min() == 1.0


def test_weights_do_not_ease_across_a_cut() -> None:
    usable = np.ones(FRAMES, dtype=bool)
    usable[40:50] = False
    jumps = np.zeros(FRAMES, dtype=bool)
    jumps[[40, 50]] = True
    weights = ease(replace(talking(usable), jumps=jumps))
    np.testing.assert_array_equal(weights, usable.astype(float))


def test_a_cut_within_a_run_ends_the_easing() -> None:
    usable = np.ones(FRAMES, dtype=bool)
    usable[:40] = False
    jumps = np.zeros(FRAMES, dtype=bool)
    jumps[42] = True
    weights = ease(replace(talking(usable), jumps=jumps))
    assert weights[40] < weights[41] < 1
    assert (weights[42:] == 1).all()


def test_easing_takes_the_same_time_at_any_frame_rate() -> None:
    for rate in (10.0, 25.0, 60.0):
        usable = np.ones(FRAMES, dtype=bool)
        usable[0] = False
        weights = ease(talking(usable, rate))
        assert weights[np.arange(FRAMES) / rate >= EASE_SECONDS].min() == 1.0
        assert weights[1] < 1 or 1 / rate >= EASE_SECONDS


def test_smoothing_holds_for_uneven_frame_times() -> None:
    seconds = np.cumsum(np.random.default_rng(3).uniform(0.01, 0.08, FRAMES))
    opening = np.zeros(FRAMES)
    opening[50] = 1.0
    gaps = plan_motion(speech(opening), replace(talking(), seconds=seconds), 0.2).gaps
    assert gaps.argmax() == 50
    assert not gaps[:46].any()
    assert not gaps[55:].any()
