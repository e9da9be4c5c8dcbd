"""Portraits: framed alike, few, clear ones told from others, back from storage as they were."""

import numpy as np
import pytest

from tasks.faces.measure import FrameFaces
from tasks.faces.portraits import (
    SIDE,
    TEMPLATE,
    PortraitKeeper,
    portrait_matrix,
    portraits_from_arrays,
    portraits_to_arrays,
)
from tasks.faces.rgb_pictures import RgbPictures
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, measured, portrait


def keeper_of(frames: list[FrameFaces]) -> PortraitKeeper:
    keeper, pictures = PortraitKeeper(), RgbPictures([portrait()])
    for number, faces in enumerate(frames):
        keeper.look(100 + number, faces, pictures, 0, (512, 512))
    return keeper


def test_eyes_nose_and_mouth_lie_where_recognition_networks_want_them() -> None:
    matrix = portrait_matrix(PORTRAIT_POINTS).astype(np.float64)
    back = np.linalg.inv(np.concatenate([matrix, [[0, 0, 1]]]))
    eyes = [PORTRAIT_POINTS[47:49].mean(0), PORTRAIT_POINTS[49:51].mean(0)]
    found = np.array([(*place, 1) for place in eyes]) @ back.T
    assert np.abs(found[:, :2] - TEMPLATE[:2]).max() < 4


def test_a_face_is_taken_once_a_second_and_not_for_ever() -> None:
    kept = keeper_of([FrameFaces((measured(PORTRAIT_POINTS),))] * 400).kept()
    assert [one.frame - 100 for one in kept] == [0, 25, 50, 75, 100, 125, 150, 175]
    assert all(one.clear and one.picture.shape == (SIDE, SIDE, 3) for one in kept)


def test_after_a_cut_a_face_in_the_same_place_is_taken_at_once() -> None:
    frames = [FrameFaces((measured(PORTRAIT_POINTS),), cut=t == 5) for t in range(10)]
    assert [one.frame - 100 for one in keeper_of(frames).kept()] == [0, 5]


def test_a_frame_without_anybody_is_kept_as_an_example_once() -> None:
    (one,) = keeper_of([FrameFaces(())] * 30).kept()
    assert one.of_nobody
    assert not one.clear
    assert one.picture.std() > 10


@pytest.mark.parametrize("turn", [30, -30])
def test_a_profile_is_an_example_and_no_likeness(turn: int) -> None:
    turned = PORTRAIT_POINTS.copy()
    turned[44, 0] += turn
    (one,) = keeper_of([FrameFaces((measured(turned),))] * 60).kept()
    assert not one.clear


def test_portraits_survive_storage() -> None:
    kept = keeper_of([FrameFaces((measured(PORTRAIT_POINTS),)), FrameFaces(())]).kept()
    back = portraits_from_arrays(portraits_to_arrays(kept))
    assert [(one.frame, one.clear, one.jpeg) for one in back] == [(one.frame, one.clear, one.jpeg) for one in kept]
    assert all(np.array_equal(a.points, b.points) for a, b in zip(back, kept, strict=True))
    assert portraits_from_arrays(portraits_to_arrays(())) == []
