"""Laws of the selector grammar, the choice, and the reasons for leaving a frame as it is."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tasks.faces.choose import ChosenFaces, choose
from tasks.faces.measure import FrameFaces, measurements
from tasks.faces.policy import COMES_IN_FRAMES, REASONS, counted, reasons
from tasks.faces.selector import parse_face_selector
from tasks.faces.tracks import FaceTrack, associate
from tests.tasks.faces.test_tracks import measured


def film() -> tuple[FaceTrack, ...]:
    """Two shots: small left and large right; then three, the middle one largest."""
    first = [measured(100, 100, 40), measured(300, 100, 60)]
    second = [measured(80, 400, 50), measured(250, 400, 70), measured(420, 400, 50)]
    frames = [FrameFaces(tuple(first if t < 20 else second), cut=t == 20) for t in range(50)]
    return associate(measurements(frames), Fraction(25))


def places(chosen: ChosenFaces, frame: int) -> list[float]:
    return [round(float(track.points[i, 44, 0])) for track, i in chosen.at(frame)]


@pytest.mark.parametrize(
    ("selector", "first", "second"),
    [
        ("largest", [300], [250]),
        ("all", [100, 300], [80, 250, 420]),
        ("left", [100], [80]),
        ("right", [300], [420]),
        ("#1", [100], [80]),
        ("#2", [300], [250]),
        ("#3", [], [420]),
    ],
)
def test_a_selector_chooses_in_each_shot(selector: str, first: list[int], second: list[int]) -> None:
    chosen = choose(film(), parse_face_selector(selector))
    assert places(chosen, 5) == first
    assert places(chosen, 30) == second
    assert places(chosen, 50) == []


def test_a_track_is_chosen_wherever_it_is_and_nobody_else() -> None:
    tracks = film()
    for track in tracks:
        chosen = choose(tracks, parse_face_selector(f"track:{track.id}"))
        assert [one.id for one in chosen.tracks] == [track.id]
        np.testing.assert_array_equal(chosen.chosen[0], track.valid)
    assert choose(tracks, parse_face_selector("track:99")).tracks == ()


def test_largest_is_judged_over_the_whole_shot_not_frame_by_frame() -> None:
    frames = [FrameFaces((measured(100, 100, 60 - t), measured(300, 100, 40 + t))) for t in range(30)]
    chosen = choose(associate(measurements(frames), Fraction(25)), parse_face_selector("largest"))
    assert {tuple(places(chosen, t)) for t in range(30)} == {(100,)} or len(chosen.tracks) == 1


def test_no_faces_give_an_empty_choice() -> None:
    chosen = choose((), parse_face_selector("largest"))
    assert chosen.at(0) == ()


@pytest.mark.parametrize(
    "text", ["largest", "all", "left", "right", "#1", "#12", "track:0", "track:31", "like:a/b.jpg", "like:b.png#2"]
)
def test_a_selector_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_face_selector(f" {text} ")) == text


@pytest.mark.parametrize(
    "text", ["", "biggest", "#0", "#", "#-1", "#1.5", "Largest ", "2", "track:", "track:x", "like:"]
)
def test_other_words_are_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match="expected largest, all, left, right, #N"):
        parse_face_selector(text)


def test_each_frame_has_the_reason_that_applies() -> None:
    track = film()[0]
    n = len(track.valid)
    assert not reasons(track).any()
    rows = np.arange(n)
    for name, changed in {
        "no face": replace(track, valid=rows < 5),
        "too small": replace(track, size_pixels=np.where(rows < 5, 50, 10).astype(np.float32)),
        "profile": replace(track, yaw=np.where(rows < 5, 0.1, -0.9).astype(np.float32)),
        "hidden": replace(track, hidden=np.where(rows < 5, 0.0, 1.0).astype(np.float32)),
    }.items():
        codes = reasons(changed)
        assert REASONS[codes[0]] is None
        assert REASONS[codes[-1]] == name
        assert counted(codes) == {name: int((codes > 0).sum())}


def test_a_single_frame_hidden_is_not_left_out() -> None:
    track = film()[0]
    hidden = np.zeros(len(track.valid), np.float32)
    hidden[8] = 1
    assert not reasons(replace(track, hidden=hidden)).any()


def test_a_hand_that_comes_and_goes_is_left_out_with_the_frames_of_its_way() -> None:
    """While it lies before a part of the mouth it is not yet seen to hide it."""
    track = film()[1]
    hidden = np.zeros(len(track.valid), np.float32)
    hidden[8:13] = 1
    left = np.flatnonzero(reasons(replace(track, hidden=hidden)) == REASONS.index("hidden"))
    assert left.tolist() == list(range(8 - COMES_IN_FRAMES, 13 + COMES_IN_FRAMES))
