"""Laws of who is who: joined where surely one person, parted where surely two, else as place and time have it."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.faces.measure import FrameFaces, Measurements, measurements
from tasks.faces.people import Likeness, Sightings
from tasks.faces.tracks import FaceTrack, associate
from tests.tasks.faces.test_tracks import measured

RATE = Fraction(25)
#: Two people as an embedding would see them, and somebody between them.
ANNA, BEN, CLEO = np.eye(3, dtype=np.float32)
LIKENESS = Likeness(same=0.6, even=0.4, other=0.2, near=0.4)


def sighted(found: Measurements, looks: dict[int, NDArray[np.float32]], every: int = 5) -> Sightings:
    """Each `every`th row seen; `looks` says who a row is of, by its frame and place: frame * 1000 + x."""
    rows = np.arange(0, len(found.frame), every)
    directions = [looks[int(row)] for row in rows]
    return Sightings(rows, np.array(directions, np.float32).reshape(len(rows), -1), LIKENESS)


def film(faces: list[list[tuple[float, NDArray[np.float32]]]], cuts: tuple[int, ...] = ()) -> tuple[FaceTrack, ...]:
    """Each frame a list of (x, who); the tracks."""
    frames = [FrameFaces(tuple(measured(x, 100) for x, _ in one), cut=t in cuts) for t, one in enumerate(faces)]
    found = measurements(frames)
    looks = dict(enumerate(who for one in faces for _, who in one))
    return associate(found, RATE, sighted(found, looks, every=1))


def numbers(tracks: tuple[FaceTrack, ...]) -> list[tuple[int, int, int]]:
    return [(track.id, track.start, track.end) for track in tracks]


def test_a_cut_to_somebody_else_in_the_same_place_ends_the_track() -> None:
    tracks = film([[(100, ANNA)]] * 15 + [[(102, BEN)]] * 15, cuts=(15,))
    assert numbers(tracks) == [(0, 0, 15), (1, 15, 30)]


def test_a_cut_to_the_same_person_in_the_same_place_does_not() -> None:
    assert numbers(film([[(100, ANNA)]] * 15 + [[(102, ANNA)]] * 15, cuts=(15,))) == [(0, 0, 30)]


def test_an_interview_cut_to_and_fro_has_two_people() -> None:
    shots = [[[(100, ANNA)]] * 90, [[(400, BEN)]] * 90] * 3
    tracks = film([frame for shot in shots for frame in shot], cuts=(90, 180, 270, 360, 450))
    assert [track.id for track in tracks] == [0, 1, 0, 1, 0, 1]


def test_somebody_who_leaves_for_long_and_comes_back_is_the_same() -> None:
    tracks = film([[(100, ANNA)]] * 20 + [[]] * 100 + [[(300, ANNA)]] * 20)
    assert numbers(tracks) == [(0, 0, 20), (0, 120, 140)]


def test_somebody_else_in_their_place_after_a_gap_is_not() -> None:
    tracks = film([[(100, ANNA)]] * 20 + [[]] * 20 + [[(105, BEN)]] * 20)
    assert numbers(tracks) == [(0, 0, 20), (1, 40, 60)]


def test_two_people_who_cross_keep_their_numbers() -> None:
    """While they are one before the other a single face is seen; place alone would take the wrong way out."""
    frames = []
    for t in range(60):
        anna, ben = (100 + 6 * t, ANNA), (440 - 6 * t, BEN)
        hidden = abs(anna[0] - ben[0]) < 50
        frames.append([ben] if hidden else [anna, ben])
    by_person: dict[int, list[float]] = {}
    for track in film(frames):
        for i in np.flatnonzero(track.measured):
            by_person.setdefault(track.id, []).append(float(track.points[i, 44, 0]) - 6 * (track.start + i))
    assert len(by_person) == 2
    anna_, ben_ = by_person.values()
    assert np.ptp(anna_) < 8, "moves to the right all the time"
    assert np.ptp(np.array(ben_) + 12 * np.arange(len(ben_))) < 80


def test_nobody_is_in_two_places_at_once() -> None:
    assert [track.id for track in film([[(100, ANNA), (400, ANNA)]] * 20)] == [0, 1]


def test_what_is_between_same_and_other_stays_as_place_has_it() -> None:
    doubtful = (ANNA + BEN) / np.sqrt(2) * np.float32(0.7) + CLEO * np.float32(np.sqrt(1 - 0.7**2))
    assert numbers(film([[(100, ANNA)]] * 15 + [[(102, doubtful)]] * 15, cuts=(15,))) == [(0, 0, 30)]
    assert numbers(film([[(100, ANNA)]] * 15 + [[(402, doubtful)]] * 15, cuts=(15,))) == [(0, 0, 15), (1, 15, 30)]


def test_without_sightings_place_alone_decides() -> None:
    frames = [FrameFaces((measured(100 if t < 15 else 400, 100),), cut=t == 15) for t in range(30)]
    found = measurements(frames)
    nobody = Sightings(np.zeros(0, np.int64), np.zeros((0, 3), np.float32), LIKENESS)
    assert numbers(associate(found, RATE, nobody)) == numbers(associate(found, RATE))


@pytest.mark.parametrize("seed", range(5))
def test_numbers_follow_appearance_and_no_person_overlaps_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(6):
        x = float(rng.integers(100, 800))
        frames += [[(x, (ANNA, BEN, CLEO)[rng.integers(3)]), (x + 300, (ANNA, BEN, CLEO)[rng.integers(3)])]] * 8
    tracks = film(frames, cuts=tuple(range(8, 48, 8)))
    seen = list(dict.fromkeys(track.id for track in tracks))
    assert seen == sorted(seen) == list(range(len(seen)))
    for number in seen:
        frames_of = [track.start + i for track in tracks if track.id == number for i in np.flatnonzero(track.measured)]
        assert len(frames_of) == len(set(frames_of))
