"""The mouth bank: which frames are kept, and what an entry holds."""

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.bank import (
    GAP_CAP,
    MODEST_GAP,
    bank_from_bytes,
    bank_to_bytes,
    choose_frames,
    crop_matrix,
    draw_bank,
    make_bank,
    make_entry,
    shows_inside,
)
from tasks.lip_sync.shape import measure_eye_distance, measure_gap, measure_shape
from tests.tasks.lip_sync.faces import (
    INSIDE,
    LIP,
    PORTRAIT_POINTS,
    closed_points,
    cut,
    painted,
    portrait,
    zoomed,
)


def opened(share: float, turn: float = 0.0) -> NDArray[np.float32]:
    """The portrait's points with the gap times `share`, and the nose moved as if the head turned."""
    closed = closed_points(PORTRAIT_POINTS)
    points = closed + share * (PORTRAIT_POINTS - closed)
    points[44, 0] += turn * float(measure_eye_distance(PORTRAIT_POINTS))
    return points.astype(np.float32)


def test_the_bank_takes_open_mouths_of_different_yaw() -> None:
    points = np.stack([opened(s, t) for t in (0.0, 0.2) for s in np.linspace(0, 1, 20)])
    chosen = choose_frames(points, np.ones(40), np.ones(40, dtype=bool))
    assert 2 <= len(chosen) <= 4
    assert {i // 20 for i in chosen} == {0, 1}
    gaps = measure_gap(points)
    assert all(gaps[i] > 0.6 * gaps.max() for i in chosen)


def test_blurred_and_unusable_frames_are_not_taken() -> None:
    points = np.stack([opened(1.0), opened(0.98), opened(0.97), opened(0.2)])
    chosen = choose_frames(points, np.array([0.02, 1, 1, 1]), np.array([True, True, False, True]))
    assert chosen == (1,)


def test_a_mouth_that_never_opens_has_no_entries() -> None:
    points = np.stack([opened(0.1)] * 5)
    assert choose_frames(points, np.ones(5), np.ones(5, dtype=bool)) == ()
    assert choose_frames(points, np.ones(5), np.zeros(5, dtype=bool)) == ()


def test_the_crop_is_level_and_of_one_size() -> None:
    matrix = crop_matrix(PORTRAIT_POINTS)
    corners = PORTRAIT_POINTS[[12, 22]]
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    left, right = (inverse @ [*c, 1] for c in corners)
    np.testing.assert_allclose([left[1], right[1]], 92, atol=1e-3)
    np.testing.assert_allclose(right[0] - left[0], 150, atol=1e-3)


def test_an_entry_holds_the_inside_alone() -> None:
    _, points = zoomed(4)
    picture = painted(points, 800)
    entry = make_entry(cut(picture, crop_matrix(points)), points)
    distance = np.abs(entry.picture.astype(int) - INSIDE).max(axis=-1)
    middle = distance[:, 80:176]
    assert (middle < 60).mean() > 0.98
    assert (np.abs(entry.picture[:, 80:176].astype(int) - LIP).max(axis=-1) > 60).all()


def test_the_teeth_of_a_smile_fill_the_gap_and_a_row_of_teeth_ends() -> None:
    points = PORTRAIT_POINTS
    entry = make_entry(cut(portrait(), crop_matrix(points)), points)
    assert entry.teeth_row > entry.lower_row - 0.25 * (entry.lower_row - entry.upper_row)
    _, points = zoomed(4)
    picture = painted(points, 800)
    s = measure_shape(points[None])
    middle = int(points[17, 1] + 0.4 * (points[27, 1] - points[17, 1]))
    inside = (picture == INSIDE).all(axis=-1)
    picture[inside] = (15, 8, 8)
    upper = inside.copy()
    upper[middle:] = False
    picture[upper] = (230, 225, 215)
    entry = make_entry(cut(picture, crop_matrix(points)), points)
    row = 92 + 75 * (middle - s.origin[0, 1]) / s.half_width[0]
    assert abs(entry.teeth_row - row) < 8


def test_a_bank_survives_storage() -> None:
    points = PORTRAIT_POINTS
    bank = make_bank((make_entry(cut(portrait(), crop_matrix(points)), points),) * 2, np.stack([points] * 2))
    again = bank_from_bytes(bank_to_bytes(bank))
    assert again.profile == bank.profile
    assert again.widest_gap == bank.widest_gap
    for a, b in zip(again.entries, bank.entries, strict=True):
        np.testing.assert_array_equal(a.picture, b.picture)
        np.testing.assert_array_equal(a.lower_edge, b.lower_edge)
        assert (a.tone, a.dark, a.yaw, a.teeth_row, a.nose_length) == (
            b.tone,
            b.dark,
            b.yaw,
            b.teeth_row,
            b.nose_length,
        )


def test_a_drawn_bank_is_modest_and_in_the_light_of_the_skin() -> None:
    points = closed_points(PORTRAIT_POINTS)
    crop = cut(portrait(), crop_matrix(points))
    bank = draw_bank(crop, points)
    assert bank.widest_gap == MODEST_GAP
    assert bank.gap_cap == GAP_CAP * MODEST_GAP
    dim = draw_bank((crop * 0.5).astype(np.uint8), points)
    ratio = dim.entries[0].picture.mean() / bank.entries[0].picture.mean()
    assert 0.4 < ratio < 0.6
    grey = draw_bank(np.repeat(crop.mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8), points)
    assert np.ptp(grey.entries[0].picture.astype(int), axis=-1).max() <= 1


def filled(inside: tuple[int, int, int], lips: tuple[int, int, int]) -> bool:
    """Whether a mouth full of a colour, between lips of another, is believed to show its inside."""
    _, points = zoomed(4)
    picture = painted(points, 800)
    for found, colour in ((INSIDE, inside), (LIP, lips)):
        picture[(picture == found).all(axis=-1)] = colour
    crop = cut(picture, crop_matrix(points))
    entry = make_entry(crop, points)
    assert entry.teeth_row >= entry.lower_row
    return shows_inside(entry, crop, points)


def test_a_lit_lip_between_missed_lips_is_no_inside() -> None:
    """A painted mouth: what the landmarks take for the gap is as bright as skin and as red as the lips."""
    lips = (215, 130, 120)
    assert not filled((220, 135, 120), lips)
    assert filled((225, 215, 195), lips)


def test_drawn_teeth_are_in_the_colour_of_the_light() -> None:
    points = opened(0.2)

    def teeth(skin: tuple[int, int, int]) -> NDArray[np.float64]:
        plain = np.broadcast_to(np.uint8(skin), (256, 256, 3)).copy()
        entry = draw_bank(plain, points).entries[0]
        return entry.picture[int(entry.upper_row) + 5, 118:138].mean(axis=0)

    white, yellow = teeth((200, 150, 125)), teeth((188, 145, 62))
    assert yellow[2] / yellow[0] < 0.8 * white[2] / white[0]
    assert np.ptp(teeth((150, 150, 150))) <= 1
