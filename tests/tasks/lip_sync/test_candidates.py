"""Mouths kept while a unit is scanned."""

import numpy as np
from numpy.typing import NDArray

from tasks.faces.measure import FrameFaces
from tasks.lip_sync.bank import SIZE, crop_matrix
from tasks.lip_sync.candidates import (
    PER_FACE,
    Candidate,
    CandidateKeeper,
    candidates_from_arrays,
    candidates_to_arrays,
    thinned,
)
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, closed_points, cut, measured, portrait


class OnePicture:
    """The same portrait in every frame; counts its crops."""

    def __init__(self) -> None:
        self.picture, self.crops = portrait(), 0

    def crop(self, i: int, matrix: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
        self.crops += 1
        return cut(self.picture, matrix, size)


def opened(share: float) -> NDArray[np.float32]:
    closed = closed_points(PORTRAIT_POINTS)
    return (closed + share * (PORTRAIT_POINTS - closed)).astype(np.float32)


def keep(shares: list[float]) -> tuple[tuple[Candidate, ...], OnePicture]:
    pictures, keeper = OnePicture(), CandidateKeeper()
    for frame, share in enumerate(shares):
        keeper.look(frame, FrameFaces((measured(opened(share)),)), pictures, 0)
    return keeper.kept(), pictures


def test_the_most_open_mouth_is_kept() -> None:
    kept, pictures = keep([0.1, 0.3, 1.0, 0.6, 0.9])
    assert [one.frame for one in kept] == [2]
    np.testing.assert_array_equal(kept[0].picture, cut(pictures.picture, crop_matrix(opened(1.0)), SIZE))


def test_a_mouth_that_stays_closed_is_kept_once_for_its_light() -> None:
    kept, pictures = keep([0.0] * 30)
    assert len(kept) == 1
    assert pictures.crops == 1


def test_few_crops_are_made_of_a_long_run() -> None:
    _, pictures = keep(list(np.abs(np.sin(np.arange(500)))))
    assert pictures.crops <= 12


def test_poses_are_kept_apart_and_their_number_is_bounded() -> None:
    keeper, pictures = CandidateKeeper(), OnePicture()
    for frame in range(60):
        points = PORTRAIT_POINTS.copy()
        points[44, 0] += (frame % 20 - 10) * 2
        keeper.look(frame, FrameFaces((measured(points),)), pictures, 0)
    kept = keeper.kept()
    assert len(kept) == PER_FACE
    assert len({float(one.points[44, 0]) for one in kept}) == PER_FACE


def test_each_of_two_faces_has_its_own() -> None:
    keeper, pictures = CandidateKeeper(), OnePicture()
    right = PORTRAIT_POINTS + np.float32([200, 0])
    for frame in range(3):
        keeper.look(frame, FrameFaces((measured(PORTRAIT_POINTS), measured(right))), pictures, 0)
    assert [float(one.points[0, 0]) for one in keeper.kept()] == [200.0, 400.0]


def test_faces_in_doubt_are_not_kept() -> None:
    keeper, pictures = CandidateKeeper(), OnePicture()
    keeper.look(0, FrameFaces((measured(PORTRAIT_POINTS, presence=0.2),)), pictures, 0)
    assert keeper.kept() == ()


def test_candidates_survive_storage() -> None:
    kept, _ = keep([1.0])
    for few in (kept, ()):
        again = candidates_from_arrays(candidates_to_arrays(few))
        assert [(one.frame, one.png, one.sharpness) for one in again] == [
            (one.frame, one.png, one.sharpness) for one in few
        ]
        for a, b in zip(again, few, strict=True):
            np.testing.assert_array_equal(a.points, b.points)


def test_thinning_keeps_the_better_neighbour_all_over_the_video() -> None:
    every = [Candidate(frame, opened(0.5 + 0.5 * (frame % 2)), 1.0, b"") for frame in range(64)]
    kept = thinned(every, 32)
    assert [one.frame for one in kept] == list(range(1, 64, 2))


def test_after_a_cut_nobody_takes_the_place_of_whoever_was_there() -> None:
    """Two people in one place, one shot after the other: each keeps a mouth of their own."""
    keeper, pictures = CandidateKeeper(), OnePicture()
    for number in range(10):
        wide = PORTRAIT_POINTS.copy()
        if number >= 5:
            wide[23:32, 1] += 9
        keeper.look(number, FrameFaces((measured(wide),), cut=number == 5), pictures, 0)
    frames = [one.frame for one in keeper.kept()]
    assert any(frame < 5 for frame in frames)
    assert any(frame >= 5 for frame in frames)
