"""From picture to crop and back: upright, in place, with the source's light, and nothing outside the mask."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tasks.chain import Chain
from tasks.faces import points as layout
from tasks.lip_sync.face_frame import CHIN, CHIN_LIMITS, chin_of, crop_matrices, face_frames, in_frame
from tasks.lip_sync.wav2lip.draw import box_of_crop, box_of_mask, finer, match_light, paste, resized, sample_crop
from tasks.lip_sync.wav2lip.mask import box_edges, hull_edges, soft_masks
from tasks.lip_sync.wav2lip.network import Generator, way_of
from tasks.runtime.choice import Machine, Wish
from tasks.table import open_task, parse_task
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, portrait
from tests.tasks.lip_sync.generators import Loud, at_hand, copying_weights, random_weights, save

CPU = torch.device("cpu")
SIDE = 96


def moved(turn: float, scale: float, offset: tuple[float, float]) -> np.ndarray:
    """(2, 3) of a similarity."""
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[c, -s, offset[0]], [s, c, offset[1]]])


def crop_of(points: np.ndarray, chin: float = CHIN) -> np.ndarray:
    return crop_matrices(face_frames(points[None]), chin, SIDE)[0]


@pytest.mark.parametrize(("turn", "scale"), [(0.0, 1.0), (0.5, 2.0), (-1.0, 0.4)])
def test_a_tilted_face_is_upright_in_its_crop(turn: float, scale: float) -> None:
    """However a face is turned, moved and scaled, its points lie where they did in the crop."""
    by = moved(turn, scale, (300, -40))
    points = PORTRAIT_POINTS @ by[:, :2].T + by[:, 2]
    still, turned = (in_frame(crop_of(p)[None], p[None])[0] for p in (PORTRAIT_POINTS, points))
    np.testing.assert_allclose(turned, still, atol=1e-3)
    eyes, mouth = still[layout.EYE_CORNERS].mean(0), still[layout.LIPS].mean(0)
    assert eyes[0] == pytest.approx(47.5, abs=3)
    assert 33 < eyes[1] < 41, "where the faces of the training data have their eyes"
    assert 60 < mouth[1] < 75


def test_a_speaking_mouth_does_not_move_the_crop() -> None:
    speaking = PORTRAIT_POINTS.copy()
    speaking[layout.LIPS] += (3, 9)
    speaking[layout.JAW] += (0, 8)
    np.testing.assert_array_equal(face_frames(speaking[None]), face_frames(PORTRAIT_POINTS[None]))
    frames = face_frames(PORTRAIT_POINTS[None])
    wide = chin_of(np.stack([PORTRAIT_POINTS, speaking]), np.concatenate([frames, frames]))
    assert wide > chin_of(PORTRAIT_POINTS[None], frames), "the crop of a face has room for its widest vowel"
    assert chin_of(np.zeros((0, 51, 2)), frames[:0]) == CHIN_LIMITS[0], "nobody's chin"


def test_a_crop_goes_out_and_comes_back_in_place() -> None:
    """What is cut out and pasted back unchanged lies on itself: only fine detail may be lost."""
    picture = cv2.resize(portrait(), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    by = moved(0.3, 1.0, (100, -150))
    picture = cv2.warpAffine(picture, by, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    points = (PORTRAIT_POINTS * 3 + 1) @ by[:, :2].T + by[:, 2]
    matrix = crop_of(points)
    box = box_of_crop(matrix)
    rgb = torch.from_numpy(picture[box.y0 : box.y1, box.x0 : box.x1].copy()).permute(2, 0, 1)[None].float() / 255
    crop = sample_crop(rgb, box, matrix)
    masks = soft_masks(hull_edges(in_frame(matrix[None], points[None])), CPU)
    inside = box_of_mask(matrix, masks[0, 0], box)
    rows, columns = slice(inside.y0 - box.y0, inside.y1 - box.y0), slice(inside.x0 - box.x0, inside.x1 - box.x0)
    region = rgb[..., rows, columns]
    pasted, shown = paste(region, inside, matrix, crop, masks)
    assert float(shown.max()) > 0.99
    assert torch.equal(pasted[(shown == 0).expand_as(pasted)], region[(shown == 0).expand_as(pasted)])
    here = cv2.GaussianBlur(region[0].permute(1, 2, 0).numpy(), (0, 0), 4)
    error = {
        shift: np.abs(np.roll(here, shift, (0, 1)) - cv2.GaussianBlur(pasted[0].permute(1, 2, 0).numpy(), (0, 0), 4))
        for shift in ((0, 0), (0, 2), (0, -2), (2, 0), (-2, 0))
    }
    seen = shown[0, 0].numpy() > 0.9
    means = {shift: float(values[seen].mean()) for shift, values in error.items()}
    assert means[0, 0] < 0.01
    assert min(means, key=lambda shift: means[shift]) == (0, 0), "not even two pixels off"


def test_the_hull_holds_mouth_and_chin_and_leaves_eyes_and_ground() -> None:
    points = in_frame(crop_of(PORTRAIT_POINTS)[None], PORTRAIT_POINTS[None])
    mask = soft_masks(hull_edges(points), CPU)[0, 0].numpy()
    lips = np.rint(points[0, layout.OUTER_LIP]).astype(int)
    assert (mask[lips[:, 1], lips[:, 0]] > 0.6).all()
    assert (mask[: int(points[0, layout.NOSE_TIP, 1])] == 0).all()
    assert (mask[[0, -1]] == 0).all()
    assert (mask[:, [0, -1]] == 0).all()
    steps = np.abs(np.diff(mask, axis=1)).max(), np.abs(np.diff(mask, axis=0)).max()
    assert max(steps) < 0.4, "no hard edge anywhere"


def test_the_box_is_the_half_that_the_network_redraws() -> None:
    mask = soft_masks(box_edges(1), CPU)[0, 0]
    assert float(mask[48:88, 8:88].min()) == 1.0
    assert float(mask[:40].max()) == 0.0
    assert float(mask[-1].max()) == 0.0


def test_light_and_tint_of_the_source_are_taken_over() -> None:
    """A drawing that is darker on one side and bluer on the other joins on both."""
    points = in_frame(crop_of(PORTRAIT_POINTS)[None], PORTRAIT_POINTS[None])
    masks = soft_masks(hull_edges(points), CPU)
    source = torch.full((1, 3, SIDE, SIDE), 0.5)
    across, nowhere = torch.linspace(-0.1, 0.1, SIDE), torch.zeros(1, 1, 24, 24)
    drawn = source + across * torch.tensor([1.0, 0.5, -1.0])[:, None, None] - 0.05
    matched = match_light(source, drawn, masks, nowhere)
    weight = masks.expand_as(source)
    before, after = ((((x - source).abs() * weight).sum() / weight.sum()).item() for x in (drawn, matched))
    assert after < 0.25 * before
    torch.testing.assert_close(match_light(source, source, masks, nowhere), source)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generator]:
    path = save(tmp_path_factory.mktemp("w") / "random.pth", random_weights())
    made = Generator(at_hand(path), "cpu", precision="fp32")
    yield made
    made.release()


def test_a_face_is_drawn_alike_in_any_company(generator: Generator) -> None:
    """First, last, alone and among others: a batch always has one shape, so the bits are the same."""
    chance = torch.Generator().manual_seed(1)
    mel = torch.rand(7, 1, 80, 16, generator=chance) * 8 - 4
    faces = torch.rand(7, 3, SIDE, SIDE, generator=chance)
    together = generator.draw(mel, faces)
    for group in ([0], [6], [3, 1], [5, 6, 0]):
        assert torch.equal(generator.draw(mel[group], faces[group]), together[group])


def test_the_copying_checkpoint_copies(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the tests of everything around the network rest on; also that colours keep their order."""
    path = save(tmp_path_factory.mktemp("w") / "copy.pth", copying_weights())
    faces = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    copying = Generator(at_hand(path), "cpu", precision="fp32")
    drawn = copying.draw(torch.zeros(2, 1, 80, 16), faces)
    copying.release()
    assert float((drawn - faces).abs().max()) < 0.02


def test_bf16_stays_within_its_stated_tolerance(generator: Generator, tmp_path: Path) -> None:
    """0.02 of white at most; and it is another arithmetic."""
    rough = Generator(at_hand(save(tmp_path / "random.pth", random_weights())), "cpu", precision="bf16")
    mel, faces = torch.rand(2, 1, 80, 16) * 8 - 4, torch.rand(2, 3, SIDE, SIDE)
    assert rough.way.precision == "bf16"
    difference = (rough.draw(mel, faces) - generator.draw(mel, faces)).abs()
    assert 0 < float(difference.max()) <= 0.02


@pytest.mark.parametrize(
    ("asked", "device", "has", "chosen"),
    [
        ("auto", "cpu", {"avx512_bf16": True}, "bf16"),
        ("auto", "cpu", {"amx_bf16": True}, "bf16"),
        ("auto", "cpu", {"avx512_bf16": False, "avx2": True}, "fp32"),
        ("auto", "cpu", {}, "fp32"),
        ("auto", "cuda", {"avx512_bf16": True}, "fp32"),
        ("fp32", "cpu", {"avx512_bf16": True}, "fp32"),
        ("bf16", "cpu", {}, "bf16"),
    ],
)
def test_bf16_is_used_by_itself_where_the_processor_has_it(
    asked: str, device: str, has: dict[str, bool], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    like = Machine("cuda", "L4", ("fp16", "bf16")) if device == "cuda" else None
    assert way_of(Wish(precision=asked), "cpu", "wav2lip", like).precision == chosen


def test_frames_drawn_in_bf16_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    for has, words in (({"avx512_bf16": True}, "eager at bf16 (channels last"), ({}, "eager at fp32 (channels last")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=has: found)
        spec = replace(parse_task("lip-sync:model=wav2lip"), weights=(at_hand(tmp_path / "made.pth"),))
        chain = Chain([open_task(spec)], "cpu")
        chain.load()
        assert chain.arithmetic[0].startswith(f"drawn by loud, {words}")


@pytest.mark.parametrize("side", [192, 288, 384])
def test_a_finer_crop_shows_the_same_place(side: int) -> None:
    matrix = moved(0.3, 2.5, (40, 60)) * np.array([[1.0, 0.9, 1.0], [1.0, 0.9, 1.0]])
    corners = np.array([(-0.5, -0.5), (SIDE - 0.5, 20.0), (47.5, 47.5)])
    same = (corners + 0.5) * side / SIDE - 0.5
    other = finer(matrix, side)
    np.testing.assert_allclose(same @ other[:, :2].T + other[:, 2], corners @ matrix[:, :2].T + matrix[:, 2])
    np.testing.assert_array_equal(finer(matrix, SIDE), matrix)


def test_crops_are_made_smaller_by_their_means_and_larger_smoothly() -> None:
    crops = torch.from_numpy(np.random.default_rng(0).random((1, 2, 12, 12), np.float32))
    assert resized(crops, 12) is crops
    torch.testing.assert_close(resized(crops, 4)[0, 0, 0, 0], crops[0, 0, :3, :3].mean())
    torch.testing.assert_close(resized(torch.ones(1, 1, 4, 4), 12), torch.ones(1, 1, 12, 12))
