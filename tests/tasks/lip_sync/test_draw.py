"""Drawing a mouth: what changes, what must not, and that the mouth opens as far as it was asked to."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.faces import points as layout
from tasks.lip_sync import sampling
from tasks.lip_sync.bank import MouthBank, crop_matrix, draw_bank, make_bank, make_entry
from tasks.lip_sync.draw import LoadedBank, draw_mouths, load_bank, plan_drawing
from tasks.lip_sync.draw import draw as draw_regions
from tasks.lip_sync.grid import margin
from tasks.lip_sync.shape import evaluate, measure_eye_distance, measure_gap, measure_shape
from tasks.turning import Box
from tests.tasks.lip_sync.faces import INSIDE, PORTRAIT_POINTS, closed_points, cut, painted, portrait, zoomed

SIZE = 800
BLUE = (0, 0, 255)


def box_of(points: NDArray[np.float32]) -> Box:
    one = np.ones(1)
    bank = draw_bank(np.zeros((256, 256, 3), np.uint8), points)
    return Box(*plan_drawing(points[None], 20 * one, one, one, bank).boxes[0].tolist())


def as_rgb(picture: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def draw(
    picture: Tensor,
    points: NDArray[np.float32],
    gap: float,
    bank: LoadedBank,
    *,
    weight: float = 1,
    width: float = 1,
) -> tuple[Tensor, Tensor]:
    n = len(picture)
    values = (np.full(n, v) for v in (gap, width, weight))
    return draw_mouths(picture, np.stack([points] * n), *values, bank)


@pytest.fixture(scope="module")
def smile() -> tuple[Tensor, NDArray[np.float32], LoadedBank]:
    picture, points = zoomed(4)
    bank = make_bank((make_entry(cut(picture, crop_matrix(points)), points),), points[None])
    return as_rgb(picture), points, load_bank(bank, "cpu")


@pytest.fixture(scope="module")
def blue_bank() -> LoadedBank:
    """A bank whose inside is blue all over, to be found again in drawings."""
    _, points = zoomed(4)
    bank = draw_bank(cut(painted(points, SIZE), crop_matrix(points)), points)
    plain = np.full_like(bank.entries[0].picture, BLUE)
    return load_bank(replace(bank, entries=(replace(bank.entries[0], picture=plain, dark=(0, 0, 1)),)), "cpu")


def blue_rows(drawn: Tensor, column: int) -> float:
    line = drawn[0, :, :, column]
    return float(((line[2] - line[0]) > 0.2).sum())


@pytest.mark.parametrize("gap", [-3.0, 0.0, 12.0, 45.0])
def test_pixels_outside_the_mask_are_bit_identical(gap: float, smile: tuple) -> None:
    _, points, bank = smile
    noise = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 3
    drawn, mask = draw(noise, points, gap, bank)
    assert torch.equal(drawn[(mask == 0).expand_as(drawn)], noise[(mask == 0).expand_as(noise)])
    assert 0 < (mask > 0).float().mean() < 0.3
    assert (drawn != noise).any()


def test_a_weight_of_zero_changes_nothing(smile: tuple) -> None:
    picture, points, bank = smile
    drawn, mask = draw(picture, points, 40.0, bank, weight=0)
    assert torch.equal(drawn, picture)
    assert not mask.any()


def test_what_is_given_is_left_as_it_is(smile: tuple) -> None:
    picture, points, bank = smile
    before = picture.clone()
    draw(picture, points, 40.0, bank)
    assert torch.equal(picture, before)


def test_regions_lie_on_the_chroma_grid_and_their_mask_ends_within(smile: tuple) -> None:
    picture, points, bank = smile
    box = box_of(points)
    assert not any(v % 2 for v in (box.x0, box.y0, box.x1, box.y1))
    _, mask = draw(picture, points, 40.0, bank)
    rows, columns = np.nonzero(mask[0, 0].numpy())
    assert box.y0 <= rows.min() <= rows.max() < box.y1
    assert box.x0 <= columns.min() <= columns.max() < box.x1
    inside = mask[0, 0, box.y0 : box.y1, box.x0 : box.x1]
    assert max(float(edge.max()) for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1])) < 0.05


def test_a_region_goes_with_a_face_over_the_border() -> None:
    _, points = zoomed(1)
    box, moved = box_of(points), box_of(points + np.float32([500, -100]))
    assert (moved.x0 - 500, moved.y0 + 100, moved.width) == (box.x0, box.y0, box.width)


def test_a_batch_draws_what_single_pictures_draw(smile: tuple) -> None:
    picture, points, bank = smile
    moved = [points, points + np.float32([3.3, -2.1]), points + np.float32([-7.7, 5.9])]
    gaps, widths, weights = (
        np.array([5.0, 30.0, -2.0]),
        np.array([1.0, 0.93, 1.05]),
        np.array([1.0, 0.4, 0.9]),
    )
    batch, masks = draw_mouths(picture.repeat(3, 1, 1, 1), np.stack(moved), gaps, widths, weights, bank)
    for i in range(3):
        one = slice(i, i + 1)
        single, mask = draw_mouths(picture, moved[i][None], gaps[one], widths[one], weights[one], bank)
        assert torch.equal(batch[one], single)
        assert torch.equal(masks[one], mask)


def test_drawing_many_at_once_as_on_a_gpu_is_the_same_but_for_rounding(smile: tuple) -> None:
    picture, points, bank = smile
    moved = np.stack([points, points + np.float32([3.3, -2.1]), points + np.float32([-40, 25])])
    values = np.array([5.0, 40.0, -2.0]), np.array([1.0, 0.93, 1.05]), np.array([1.0, 0.4, 0.9])
    drawing = plan_drawing(moved, *values, bank.bank, together=True)
    assert len({(right - left, bottom - top) for left, top, right, bottom in drawing.boxes.tolist()}) == 1
    regions = [picture[:, :, top:bottom, left:right] for left, top, right, bottom in drawing.boxes.tolist()]
    together, _ = draw_regions(torch.cat(regions), drawing, bank)
    single, _ = draw_mouths(picture.repeat(3, 1, 1, 1), moved, *values, bank)
    for i, (left, top, right, bottom) in enumerate(drawing.boxes.tolist()):
        assert (together[i] - single[i, :, top:bottom, left:right]).abs().mean() < 0.1 / 255


def test_a_processor_spreads_nodes_as_a_gpu_does() -> None:
    nodes = torch.randn(1, 2, 7, 9, generator=torch.Generator().manual_seed(1)) * 6
    down, across = margin(60, 7), margin(80, 9)
    size = (60 + 2 * down, 80 + 2 * across)
    spread = F.interpolate(nodes, size=size, mode="bilinear", align_corners=False)
    expected = spread[..., down : down + 60, across : across + 80]
    assert torch.allclose(sampling.enlarged(nodes, 60, 80), expected, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_draws_what_the_processor_draws(smile: tuple) -> None:
    picture, points, bank = smile
    expected, _ = draw(picture, points, 40.0, bank)
    drawn, _ = draw(picture.cuda(), points, 40.0, load_bank(bank.bank, "cuda"))
    assert (drawn.cpu() - expected).abs().max() < 1e-3


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("gap", [12.0, 24.0, 48.0])
def test_the_mouth_opens_as_far_as_asked(gap: float, opened: bool, blue_bank: LoadedBank) -> None:
    _, points = zoomed(4)
    points = points if opened else closed_points(points)
    drawn, _ = draw(as_rgb(painted(points, SIZE)), points, gap, blue_bank)
    s = measure_shape(points[None])
    places = np.stack([s.gap_places, np.zeros_like(s.gap_places)], axis=-1)
    columns, _ = s.to_pixels(places)
    measured = np.mean([blue_rows(drawn, round(c)) for c in columns[0]])
    assert measured == pytest.approx(gap, abs=1.5)


def test_closed_lips_show_nothing_of_an_open_mouth(blue_bank: LoadedBank) -> None:
    _, points = zoomed(4)
    picture = as_rgb(painted(points, SIZE))
    green = picture[:, 1] - picture[:, 0]
    assert (green > 0.2).sum() > 1000
    drawn, _ = draw(picture, points, -0.05 * float(measure_gap(points)), blue_bank)
    assert ((drawn[:, 1] - drawn[:, 0]) > 0.2).sum() < 25
    assert ((drawn[:, 2] - drawn[:, 0]) > 0.2).sum() < 25


def test_no_tooth_shows_between_closed_lips_whose_corners_were_missed(blue_bank: LoadedBank) -> None:
    _, points = zoomed(4)
    picture = painted(points, SIZE)
    picture[(picture == INSIDE).all(axis=-1)] = (240, 235, 225)
    inner = points[layout.INNER_LIP]
    missed = points.copy()
    missed[layout.INNER_LIP] = inner.mean(axis=0) + (inner - inner.mean(axis=0)) * (0.93, 0.93)
    drawn, _ = draw(as_rgb(picture), missed, 0.0, blue_bank)
    s = measure_shape(missed[None])
    columns, rows = s.to_pixels(np.array([[(x, 0.0) for x in np.linspace(-0.9, 0.9, 7)]]))
    for column, row in zip(columns[0].round().astype(int), rows[0].round().astype(int), strict=True):
        assert drawn[0, 2, row - 25 : row + 40, column].max() < 0.6  # skin is 0.51, a tooth 0.88


def test_no_dark_dot_stays_at_the_corners_of_a_smile_that_is_closed(blue_bank: LoadedBank) -> None:
    """A broad smile ends in dark wedges above the points of its corners: closed lips hide them as they hide teeth."""
    _, points = zoomed(4)
    picture = painted(points, SIZE)
    s = measure_shape(points[None])
    wedges = [[(1.05 * side, -0.16), (0.85 * side, -0.02), (0.80 * side, -0.12)] for side in (-1, 1)]
    for wedge in wedges:
        columns, rows = s.to_pixels(np.asarray([wedge]))
        cv2.fillPoly(picture, [np.stack([columns[0], rows[0]], axis=-1).round().astype(np.int32)], (25, 10, 10))
    rgb = as_rgb(picture)
    drawn, _ = draw(rgb, points, 0.0, blue_bank)
    places = np.asarray([[(side * x, y) for side in (-1, 1) for x in (0.85, 0.92, 1.0) for y in (-0.12, -0.08)]])
    columns, rows = (v.round().astype(int) for v in s.to_pixels(places))
    assert rgb[0, :, rows[0], columns[0]].amin() < 0.1
    assert drawn[0, 0, rows[0], columns[0]].min() > 0.45
    opened, _ = draw(rgb, points, float(measure_gap(points)), blue_bank)
    assert opened[0, 0, rows[0], columns[0]].min() < 0.2  # an open smile keeps them


def test_the_chin_goes_down_with_the_jaw_and_the_neck_stays(smile: tuple) -> None:
    _, points, bank = smile
    chin = points[layout.CHIN]
    row, column = int(chin[1]), int(chin[0])
    picture = torch.full((1, 3, SIZE, SIZE), 0.7)
    picture[:, :, row : row + 2] = 0.0
    gap = float(measure_gap(points)) + 30
    drawn, mask = draw(picture, points, gap, bank)
    line = drawn[0, 0, row - 30 : row + 60, column]
    moved = int(line.argmin()) - 30
    assert 8 <= moved <= 22
    bottom = int(np.nonzero(mask[0, 0, :, column].numpy())[0].max())
    assert torch.equal(drawn[0, :, bottom + 1 :, column], picture[0, :, bottom + 1 :, column])


def test_the_lower_lip_does_most_of_an_opening(blue_bank: LoadedBank) -> None:
    _, points = zoomed(4)
    points = closed_points(points)
    drawn, _ = draw(as_rgb(painted(points, SIZE)), points, 40.0, blue_bank)
    column, line = int(points[layout.UPPER_INNER_MIDDLE, 0]), float(points[layout.UPPER_INNER_MIDDLE, 1])
    inside = np.flatnonzero((drawn[0, 2, :, column] - drawn[0, 0, :, column]) > 0.2)
    assert line - inside[0] < 0.2 * len(inside)


def test_the_lower_lip_keeps_its_inner_rim(blue_bank: LoadedBank) -> None:
    """There lips are reddest: an open mouth whose lower lip went without it looked pale and thin."""
    _, points = zoomed(4)
    picture = painted(points, SIZE)
    s = measure_shape(points[None])
    x = np.linspace(-0.8, 0.8, 17)
    edge = evaluate(s.lower, x)[0]
    strip = np.concatenate([np.stack([x, edge], -1), np.stack([x, edge + 0.06], -1)[::-1]])
    columns, rows = s.to_pixels(strip[None])
    cv2.fillPoly(picture, [np.stack([columns[0], rows[0]], -1).round().astype(np.int32)], (255, 255, 0))
    column = round(float(s.to_pixels(np.zeros((1, 1, 2)))[0][0, 0]))
    for share in (0.5, 1.3):
        drawn, _ = draw(as_rgb(picture), points, share * float(measure_gap(points)), blue_bank)
        line = drawn[0, :, :, column]
        assert ((line[0] > 0.6) & (line[1] > 0.6) & (line[2] < 0.3)).sum() >= 0.03 * s.half_width[0]


def test_teeth_are_not_stretched(blue_bank: LoadedBank) -> None:
    """Stripes of the inside keep their distance whatever the opening."""
    _, points = zoomed(4)
    entry = blue_bank.bank.entries[0]
    striped = entry.picture.copy()
    striped[int(entry.upper_row) + 4 : int(entry.upper_row) + 8] = (255, 255, 0)
    bank = load_bank(MouthBank((replace(entry, picture=striped),), blue_bank.bank.profile, 0.2), "cpu")
    picture, column = as_rgb(painted(points, SIZE)), int(points[layout.UPPER_INNER_MIDDLE, 0])
    heights = []
    for gap in (30.0, 40.0, 50.0):
        drawn, _ = draw(picture, points, gap, bank)
        line = drawn[0, :, :, column]
        heights.append(float(((line[0] > 0.5) & (line[1] > 0.5) & (line[2] < 0.3)).sum()))
    assert min(heights) >= 3
    assert max(heights) - min(heights) <= 1


def test_the_inside_follows_the_light_of_the_face(smile: tuple) -> None:
    picture, points, bank = smile
    x, y = (round(float(v)) for v in (points[layout.UPPER_INNER_MIDDLE] + points[layout.LOWER_INNER_MIDDLE]) / 2)
    bright, _ = draw(picture, points, 30.0, bank)
    dim, _ = draw(picture * 0.4, points, 30.0, bank)
    assert dim[0, 1, y, x] == pytest.approx(0.4 * float(bright[0, 1, y, x]), rel=0.05)


def test_a_moved_picture_gives_the_moved_drawing(smile: tuple) -> None:
    """No shimmer: with the same request the drawing goes with the face, exactly as the source does."""
    picture, points, bank = smile
    drawn, _ = draw(picture, points, 25.0, bank)
    moved = torch.roll(picture, (5, 9), dims=(2, 3))
    again, _ = draw(moved, points + np.float32([9, 5]), 25.0, bank)
    inner = slice(60, -60)
    assert (torch.roll(again, (-5, -9), dims=(2, 3)) - drawn)[:, :, inner, inner].abs().max() < 0.5 / 255


def test_a_weight_near_zero_is_near_the_source(smile: tuple) -> None:
    picture, points, bank = smile
    changes = [float((draw(picture, points, 0.0, bank, weight=w)[0] - picture).abs().mean()) for w in (0.05, 0.3, 1)]
    assert changes[0] < 0.15 * changes[2]
    assert changes[0] < changes[1] < changes[2]


def test_a_portrait_without_enlargement_is_drawn_too() -> None:
    picture, points = portrait(), PORTRAIT_POINTS
    bank = load_bank(make_bank((make_entry(cut(picture, crop_matrix(points)), points),), points[None]), "cpu")
    drawn, mask = draw(as_rgb(picture), points, 0.1 * float(measure_eye_distance(points)), bank)
    assert torch.isfinite(drawn).all()
    assert (mask > 0).any()
