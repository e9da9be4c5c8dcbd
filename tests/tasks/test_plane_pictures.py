"""Crops for scans against the exact regions of tasks.device_batch."""

import numpy as np
import pytest

from tasks.device_batch import Box, DeviceBatch
from tasks.errors import JobError
from tasks.picture import Colour, Orientation
from tasks.plane_pictures import PlanePictures
from tests.tasks.pictures import BT709, HLG, LAYOUTS, ORIENTATIONS, PQ, batch_of, picture_format, random_batch

BT601_FULL = Colour(6, 6, 6, full_range=True)


def smooth_batch(name: str, width: int, height: int, colour: Colour, orientation: Orientation) -> object:
    """Slow waves in every plane: the way chroma is filtered hardly matters."""
    format = picture_format(name, width, height, colour, orientation)
    planes = []
    for plane, (h, w) in enumerate(format.plane_shapes):
        y, x = np.mgrid[0:h, 0:w] / (h, w)[0]
        wave = 0.5 + 0.2 * np.sin(3 * x + plane) * np.cos(2 * y + plane)
        planes.append((wave * (1 << format.layout.depth)).astype(format.layout.dtype)[None])
    return batch_of(format, planes)


def moved(x: float, y: float, scale: float = 1.0) -> np.ndarray:
    return np.array([[scale, 0, x], [0, scale, y]])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10le"])
def test_a_crop_on_the_grid_is_the_region_itself(name: str, orientation: Orientation) -> None:
    batch = random_batch(picture_format(name, 61, 47, BT601_FULL, orientation))
    exact = DeviceBatch.from_frames(batch, "cpu").read([1], [Box(5, -4, 37, 28)])[0].numpy().transpose(1, 2, 0)
    pictures = PlanePictures(batch)
    np.testing.assert_allclose(pictures.crop_float(1, moved(5, -4), 32), exact, atol=1e-4)
    shown = (exact.clip(0, 1) * 255).round()
    assert np.abs(pictures.crop(1, moved(5, -4), 32).astype(float) - shown).max() <= 1


@pytest.mark.parametrize("name", LAYOUTS)
def test_smooth_pictures_come_out_close_in_every_layout(name: str) -> None:
    orientation = ORIENTATIONS[LAYOUTS.index(name) % 8]
    batch = smooth_batch(name, 80, 66, BT709, orientation)
    exact = DeviceBatch.from_frames(batch, "cpu").read([0], [Box(11, 7, 51, 47)])[0].numpy().transpose(1, 2, 0)
    found = PlanePictures(batch).crop_float(0, moved(11, 7), 40)
    assert np.abs(found - exact).max() < 0.05
    assert np.abs(found - exact).mean() < 0.006


def test_a_crop_between_pixels_is_between_their_values() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 2 + 40, (64, 1))[None]
    grey = np.full((1, 64, 64), 128, np.uint8)
    pictures = PlanePictures(batch_of(picture_format("yuv444p", 64, 64, BT601_FULL), [ramp, grey.copy(), grey]))
    found = pictures.crop_float(0, moved(10.5, 20), 16)[0, :, 0] * 255
    np.testing.assert_allclose(found, np.arange(16) * 2 + 61, atol=0.6)


def test_a_rotated_crop_looks_where_its_matrix_points() -> None:
    luma = np.zeros((1, 100, 100), np.uint8)
    luma[0, 58:63, 28:33] = 255
    grey = np.full((1, 100, 100), 128, np.uint8)
    pictures = PlanePictures(batch_of(picture_format("yuv444p", 100, 100, BT601_FULL), [luma, grey.copy(), grey]))
    turn = np.array([[0.0, -1.0, 60.0], [1.0, 0.0, 40.0]])  # crop (x, y) -> picture (60 - y, 40 + x)
    ys, xs = np.nonzero(pictures.crop(0, turn, 48)[..., 0] > 128)
    assert (xs.mean(), ys.mean()) == (20, 30)


@pytest.mark.parametrize("scale", [2.0, 2.7, 3.3, 5.0, 8.0])
def test_a_coarse_crop_averages_what_it_covers(scale: float) -> None:
    y, x = np.mgrid[0:400, 0:400]
    luma = (((x // 1 + y // 1) % 2) * 200 + 20).astype(np.uint8)[None]
    grey = np.full((1, 400, 400), 128, np.uint8)
    pictures = PlanePictures(batch_of(picture_format("yuv444p", 400, 400, BT601_FULL), [luma, grey.copy(), grey]))
    crop = pictures.crop(0, moved(7.3, 11.9, scale), 40)
    assert np.abs(crop.astype(int) - 120).max() <= 2


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0, 4.5, 9.0])
@pytest.mark.parametrize("orientation", [ORIENTATIONS[0], ORIENTATIONS[5]])
def test_a_coarse_crop_does_not_move_the_picture(scale: float, orientation: Orientation) -> None:
    format = picture_format("yuv420p", 640, 480, BT601_FULL, orientation)
    height, width = format.upright_size
    y, x = np.mgrid[0:480, 0:640]
    luma = (x // 4 + y // 8 + 20).astype(np.uint8)[None]
    grey = np.full((1, 240, 320), 128, np.uint8)
    batch = batch_of(format, [luma, grey.copy(), grey])
    crop = PlanePictures(batch).crop_float(0, moved(30.0, 25.0, scale), 40)[..., 0]
    whole = DeviceBatch.from_frames(batch, "cpu").read([0], [Box(0, 0, width, height)])[0, 0].numpy()
    xs, ys = (
        (30 + scale * np.arange(40)).round().astype(int),
        (25 + scale * np.arange(40)).round().astype(int),
    )
    assert np.abs(crop - whole[np.ix_(ys, xs)]).max() < 3.1 / 255


def test_outside_the_picture_its_edge_repeats() -> None:
    batch = random_batch(picture_format("yuv420p", 64, 48))
    for scale in (1.0, 3.0):
        crop = PlanePictures(batch).crop(0, moved(-500, -500, scale), 24)
        assert (crop == crop[0, 0]).all()
    far = PlanePictures(batch).crop(0, moved(5000, 20, 2.0), 24)
    assert (far == far[:, :1]).all()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_luma_is_upright_and_8_bit_at_every_depth(orientation: Orientation) -> None:
    deep = random_batch(picture_format("yuv420p10le", 40, 30, orientation=orientation))
    expected = DeviceBatch.from_frames(deep, "cpu")
    height, width = deep.format.upright_size
    rgb = expected.read([0], [Box(0, 0, width, height)])[0].double().numpy()
    luma = np.einsum("i,ihw->hw", [0.2126, 0.7152, 0.0722], rgb) * 219 + 16
    found = PlanePictures(deep).luma(0)
    assert found.shape == (height, width)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert np.abs(found - luma.clip(0, 255)).max() <= 0.51


def test_upright_8_bit_luma_is_the_plane_itself() -> None:
    batch = random_batch(picture_format())
    assert np.shares_memory(PlanePictures(batch).luma(1), batch.planes[0])


@pytest.mark.parametrize("colour", [PQ, HLG])
def test_hdr_greys_look_as_networks_see_them(colour: Colour) -> None:
    luma = np.repeat(np.linspace(64, 940, 64).round().astype(np.uint16), 8).reshape(1, 1, -1).repeat(8, 1)
    grey = np.full((1, 8, 512), 512, np.uint16)
    batch = batch_of(picture_format("yuv444p10le", 512, 8, colour), [luma, grey.copy(), grey])
    exact = DeviceBatch.from_frames(batch, "cpu").read([0], [Box(0, 0, 512, 8)], tone_mapped=True)[0, 0, 0].numpy()
    pictures = PlanePictures(batch)
    found = np.concatenate([pictures.crop_float(0, moved(x, 0), 8)[0, :, 0] for x in range(0, 512, 8)])
    assert np.abs(found - exact.clip(0, 1)).max() < 0.01
    seen = (pictures.luma(0)[0].astype(float) - 16) / 219
    assert np.abs(seen - exact.clip(0, 1)).max() < 0.03


def test_an_odd_angle_is_refused() -> None:
    with pytest.raises(JobError, match="odd angle"):
        PlanePictures(random_batch(picture_format(orientation=None)))
