"""Colours of what was drawn: a planted cast is taken out, a mouth is not levelled, nothing inverts or blows up."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.lip_sync.face_frame import CHIN, crop_matrices, face_frames, in_frame
from tasks.lip_sync.wav2lip.colour import FARTHEST, STRONGEST, match_colour
from tasks.lip_sync.wav2lip.draw import match_light
from tasks.lip_sync.wav2lip.mask import hull_edges, mouth_cells, soft_masks
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, cut, portrait

CPU = torch.device("cpu")
SIDE = 96
MATRIX = crop_matrices(face_frames(PORTRAIT_POINTS[None]), CHIN, SIDE)[0]
POINTS = in_frame(MATRIX[None], PORTRAIT_POINTS[None])
#: Warm, cold, pale, dark and strong: gains of red, green and blue, contrast, lift.
CASTS = [((1.15, 1.0, 0.85), 1.0, 0.0), ((0.85, 0.97, 1.15), 1.0, 0.0), ((1.0, 1.0, 1.0), 0.7, 0.12),
         ((0.8, 0.8, 0.8), 1.0, 0.0), ((1.0, 0.95, 1.05), 1.3, -0.1)]  # fmt: skip


@pytest.fixture(scope="module")
def face() -> Tensor:
    picture = cut(portrait(), MATRIX.astype(np.float32), SIDE)
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def masks() -> Tensor:
    return soft_masks(hull_edges(POINTS), CPU)


def cast(face: Tensor, gains: tuple[float, ...], contrast: float, lift: float) -> Tensor:
    return ((face - 0.5) * contrast + 0.5) * torch.tensor(gains)[:, None, None] + lift


def settled(face: Tensor, drawn: Tensor) -> Tensor:
    """What was drawn, as it is shown."""
    cells = mouth_cells(POINTS, CPU).repeat(len(face), 1, 1, 1)
    shown = masks().repeat(len(face), 1, 1, 1)
    return match_light(face, match_colour(face, drawn, shown, cells), shown, cells)


def apart(one: Tensor, other: Tensor, weights: Tensor) -> float:
    """Mean difference in Lab (CIE 1976) where a mask shows it."""
    labs = [cv2.cvtColor(x[0].permute(1, 2, 0).clamp(0, 1).numpy(), cv2.COLOR_RGB2LAB) for x in (one, other)]
    weight = weights[0, 0].numpy()
    return float((np.linalg.norm(labs[0] - labs[1], axis=2) * weight).sum() / weight.sum())


@pytest.mark.parametrize("planted", CASTS)
def test_a_planted_cast_is_taken_out(face: Tensor, planted: tuple[tuple[float, ...], float, float]) -> None:
    drawn, shown = cast(face, *planted), masks()
    before = match_light(face, drawn, shown, mouth_cells(POINTS, CPU))
    after = settled(face, drawn)
    assert apart(after, face, shown) < 0.5 * apart(before, face, shown), "the light of the edge alone leaves it"
    assert apart(after, face, shown) < 1.0, "a difference that nobody sees lies below 1 to 2.3"


def test_what_needs_nothing_stays_as_it_is(face: Tensor) -> None:
    same = match_colour(face, face, masks(), mouth_cells(POINTS, CPU))
    assert float((same - face).abs().max()) < 1e-5


def test_the_mouth_may_differ_and_pulls_nothing(face: Tensor) -> None:
    """An open, dark mouth drawn into a face that smiles leaves the skin around it alone."""
    drawn = face.clone()
    lips = POINTS[0, :32]
    (left, top), (right, bottom) = lips.min(0).astype(int), lips.max(0).astype(int) + 1
    drawn[..., top:bottom, left:right] = 0.1
    matched = match_colour(face, drawn, masks(), mouth_cells(POINTS, CPU))
    skin = masks().clone()
    skin[..., top - 8 : bottom + 8, left - 8 : right + 8] = 0
    assert apart(matched, face, skin) < 0.5


def test_nothing_is_inverted_or_blown_up(face: Tensor) -> None:
    """Of a face without contrast, of noise and of a negative colours come back within limits and in their order."""
    noise = torch.rand(face.shape, generator=torch.Generator().manual_seed(0))
    for drawn in (torch.full_like(face, 0.5), 1 - face, noise, face * 0.02):
        matched = match_colour(face, drawn, masks(), mouth_cells(POINTS, CPU))
        assert bool(torch.isfinite(matched).all())
        spread = (drawn - drawn.mean((2, 3), keepdim=True)).norm()
        stretched = (matched - matched.mean((2, 3), keepdim=True)).norm()
        assert float(stretched) <= STRONGEST * float(spread) + 1e-3
        assert float((drawn * (matched - matched.mean((2, 3), keepdim=True))).sum()) >= 0, "bright stays bright"
        assert float((matched.mean((2, 3)) - drawn.mean((2, 3))).abs().max()) < FARTHEST + STRONGEST * 0.5


def test_a_face_is_matched_alike_in_any_company_and_not_at_all_where_it_is_hidden(face: Tensor) -> None:
    drawn, shown, cells = cast(face, *CASTS[0]), masks(), mouth_cells(POINTS, CPU)
    alone = match_colour(face, drawn, shown, cells)
    other = [torch.cat([x, y]) for x, y in ((face.flip(-1), face), (face * 0.4, drawn), (shown, shown), (cells, cells))]
    assert torch.equal(match_colour(*other)[1:], alone)
    assert torch.equal(match_colour(face, drawn, torch.zeros_like(shown), cells), drawn)


def flicker(frames: Tensor, source: Tensor) -> float:
    """Mean change from frame to frame of the skin that is shown, apart from the source's own, in 255ths of white."""
    mouth = torch.nn.functional.interpolate(mouth_cells(POINTS, CPU), scale_factor=4)
    away = torch.nn.functional.max_pool2d(torch.nn.functional.avg_pool2d(mouth, 8), 3, 1, 1) == 0
    weight = torch.nn.functional.avg_pool2d(masks(), 8) * away
    cells = torch.nn.functional.avg_pool2d(frames - source, 8)
    return float(((cells[1:] - cells[:-1]).abs() * weight).sum() / (weight.sum() * 3 * (len(frames) - 1)) * 255)


def test_casts_that_come_and_go_leave_no_flicker(face: Tensor) -> None:
    """Each frame is matched by what both show in it: there is nothing left to be smoothed over time."""
    frames = face.repeat(12, 1, 1, 1)
    drawn = torch.cat([cast(face, *CASTS[number % len(CASTS)]) for number in range(12)])
    assert flicker(drawn, frames) > 15
    assert flicker(settled(frames, drawn), frames) < 0.5


def test_a_mouth_that_opens_and_closes_does_not_darken_the_cheeks(face: Tensor) -> None:
    """Its darkness lies near the edge of the mask, whose light is carried inwards."""
    frames = face.repeat(8, 1, 1, 1)
    drawn = frames.clone()
    (left, top), (right, bottom) = POINTS[0, :32].min(0).astype(int), POINTS[0, :32].max(0).astype(int) + 1
    drawn[::2, :, top:bottom, left:right] *= 0.2
    assert flicker(drawn, frames) == 0
    assert flicker(settled(frames, drawn), frames) < 0.1
