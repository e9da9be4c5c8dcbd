"""Regions of a batch against a second, float64 meaning of them that shares no code."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.device_batch import Box, DeviceBatch
from tasks.errors import JobError
from tasks.picture import Colour, FrameBatch, PictureFormat
from tasks.planes import DevicePlanes
from tests.tasks.pictures import (
    BT709,
    HLG,
    LAYOUTS,
    ORIENTATIONS,
    PQ,
    batch_of,
    formats,
    picture_format,
    random_batch,
)

# As in production; more threads than cores make small regions slow.
torch.set_num_threads(1)

LUMA = {
    1: (0.2126, 0.0722),
    4: (0.3, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}


def ycc_from_rgb(colour: Colour, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """(3, 3) and (3,): code values of Y, Cb, Cr = matrix @ rgb + offset."""
    kr, kb = LUMA[colour.matrix]
    y = np.array([kr, 1 - kr - kb, kb])
    cb, cr = (np.array([0, 0, 1]) - y) / (2 - 2 * kb), (np.array([1, 0, 0]) - y) / (2 - 2 * kr)
    if colour.full_range:
        spans, foot = [2**depth - 1] * 3, 0
    else:
        spans, foot = [219 * 2 ** (depth - 8)] + [224 * 2 ** (depth - 8)] * 2, 16 * 2 ** (depth - 8)
    return np.stack([y, cb, cr]) * np.array(spans)[:, None], np.array([foot, 2 ** (depth - 1), 2 ** (depth - 1)])


def turned_upright(picture: np.ndarray, format: PictureFormat) -> np.ndarray:
    turn = format.orientation
    picture = picture.transpose(0, 2, 1) if turn.transpose else picture
    picture = picture[:, :, ::-1] if turn.mirror_x else picture
    return picture[:, ::-1] if turn.mirror_y else picture


def turned_back(picture: np.ndarray, format: PictureFormat) -> np.ndarray:
    turn = format.orientation
    picture = picture[:, ::-1] if turn.mirror_y else picture
    picture = picture[:, :, ::-1] if turn.mirror_x else picture
    return picture.transpose(0, 2, 1) if turn.transpose else picture


def upright_rgb(batch: FrameBatch, frame: int) -> np.ndarray:
    """(3, H, W) float64 of a whole picture."""
    format = batch.format
    up = [np.asarray(batch.planes[0][frame], float)]
    for plane in batch.planes[1:]:
        big = plane[frame].repeat(1 << format.layout.chroma_shift_y, 0).repeat(1 << format.layout.chroma_shift_x, 1)
        up.append(big[: format.height, : format.width].astype(float))
    matrix, offset = ycc_from_rgb(format.colour, format.layout.depth)
    stored = np.einsum("ij,jhw->ihw", np.linalg.inv(matrix), np.stack(up) - offset[:, None, None])
    return turned_upright(stored, format)


def expected_planes(batch: FrameBatch, frame: int, rgb: np.ndarray, touched: np.ndarray) -> list[np.ndarray]:
    """Unrounded code values of each plane after the touched pixels of an upright picture became `rgb`."""
    format = batch.format
    matrix, offset = ycc_from_rgb(format.colour, format.layout.depth)
    new = np.where(touched, rgb, upright_rgb(batch, frame))
    ycc = np.einsum("ij,jhw->ihw", matrix, turned_back(new, format)) + offset[:, None, None]
    planes = [ycc[0]]
    for plane, (height, width) in zip(ycc[1:], format.plane_shapes[1:], strict=True):
        sx, sy = format.layout.chroma_shift_x, format.layout.chroma_shift_y
        cells = [
            [plane[y << sy : (y + 1) << sy, x << sx : (x + 1) << sx].mean() for x in range(width)]
            for y in range(height)
        ]
        planes.append(np.array(cells))
    return [plane.clip(0, 2**format.layout.depth - 1) for plane in planes]


@st.composite
def boxes(draw: st.DrawFn, format: PictureFormat) -> Box:
    height, width = format.upright_size
    x0, y0 = draw(st.integers(-6, width + 3)), draw(st.integers(-6, height + 3))
    return Box(x0, y0, x0 + draw(st.integers(1, width + 6)), y0 + draw(st.integers(1, height + 6)))


def inside(box: Box, format: PictureFormat) -> np.ndarray:
    """(H, W) True under the box."""
    found = np.zeros(format.upright_size, bool)
    found[max(box.y0, 0) : max(box.y1, 0), max(box.x0, 0) : max(box.x1, 0)] = True
    return found


@pytest.fixture(params=["host", "device"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both kinds of planes; the device's are tried on the CPU, as torch's code is the same."""
    if request.param == "device":
        monkeypatch.setattr(
            "tasks.device_batch.open_planes", lambda arrays, device, owned: DevicePlanes.uploaded(arrays, device)
        )
    return request.param


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_reading_and_writing_back_changes_no_bit(data: st.DataObject) -> None:
    format = data.draw(formats())
    batch = random_batch(format, 2, data.draw(st.integers(0, 99)))
    box = data.draw(boxes(format))
    masked = data.draw(st.booleans())
    device = DeviceBatch.from_frames(batch, "cpu")
    rgb = device.read([1, 0], [box, box])
    mask = torch.rand(2, 1, box.height, box.width) - 0.5 if masked else None
    device.write([1, 0], [box, box], rgb, mask)
    for new, old in zip(device.to_frames().planes, batch.planes, strict=True):
        assert np.array_equal(new, old)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_region_is_what_float64_arithmetic_says(data: st.DataObject) -> None:
    format = data.draw(formats())
    batch = random_batch(format, 1, data.draw(st.integers(0, 99)))
    box = data.draw(boxes(format))
    whole = upright_rgb(batch, 0)
    height, width = format.upright_size
    rows, columns = (
        np.arange(box.y0, box.y1).clip(0, height - 1),
        np.arange(box.x0, box.x1).clip(0, width - 1),
    )
    found = DeviceBatch.from_frames(batch, "cpu").read([0], [box])[0].numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, whole[:, rows][:, :, columns], atol=2e-6)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_masked_write_touches_exactly_what_it_should(data: st.DataObject) -> None:
    format = data.draw(formats())
    batch = random_batch(format, 2, data.draw(st.integers(0, 99)))
    box = data.draw(boxes(format))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    region = random.uniform(-0.2, 1.2, (1, 3, box.height, box.width)).astype(np.float32)
    mask = random.random((1, box.height, box.width)).astype(np.float32) * (random.random(region[0, 0].shape) < 0.4)
    device = DeviceBatch.from_frames(batch, "cpu")
    device.write([1], [box], torch.from_numpy(region), torch.from_numpy(mask[:, None]))
    found = device.to_frames().planes

    height, width = format.upright_size
    rgb, touched = np.zeros((3, height, width)), np.zeros((height, width), bool)
    for y in range(max(box.y0, 0), min(box.y1, height)):
        for x in range(max(box.x0, 0), min(box.x1, width)):
            rgb[:, y, x] = region[0, :, y - box.y0, x - box.x0]
            touched[y, x] = mask[0, y - box.y0, x - box.x0] > 0
    stored = turned_back(touched[None], format)[0]
    for plane, (new, old, exact) in enumerate(
        zip(found, batch.planes, expected_planes(batch, 1, rgb, touched), strict=True)
    ):
        shift = (format.layout.chroma_shift_y, format.layout.chroma_shift_x) if plane else (0, 0)
        under = np.zeros(old.shape[1:], bool)
        for y, x in np.argwhere(stored):
            under[y >> shift[0], x >> shift[1]] = True
        assert np.array_equal(new[0], old[0]), "another picture changed"
        assert np.array_equal(new[1][~under], old[1][~under]), "an untouched sample changed"
        assert np.abs(new[1] - exact).max() <= 0.5 + 2e-6 * (1 << format.layout.depth)


@pytest.mark.parametrize("name", LAYOUTS)
def test_both_kinds_of_planes_hold_the_round_trip(store: str, name: str) -> None:
    orientation = ORIENTATIONS[LAYOUTS.index(name) % 8]
    format = picture_format(name, 33, 21, Colour(9, 9, 1, True), orientation)
    batch = random_batch(format, 2)
    device = DeviceBatch.from_frames(batch, "cpu")
    box = Box(3, -2, 18, 25)
    rgb = device.read([0, 1], [box, box])
    device.write([0, 1], [box, box], rgb)
    assert all(np.array_equal(a, b) for a, b in zip(device.to_frames().planes, batch.planes, strict=True))
    device.write([1], [box], rgb[1:] + 0.1)
    changed = device.to_frames()
    assert not np.array_equal(changed.planes[0][1], batch.planes[0][1])
    assert np.array_equal(changed.planes[0][0], batch.planes[0][0])
    assert changed.planes[0].dtype == batch.planes[0].dtype


def test_what_no_one_wrote_comes_back_as_the_same_object(store: str) -> None:
    batch = random_batch(picture_format())
    device = DeviceBatch.from_frames(batch, "cpu")
    device.read([0], [Box(0, 0, 10, 10)])
    assert device.to_frames() is batch


def test_planes_given_up_are_written_in_place_and_others_never() -> None:
    format = picture_format()
    for owned in (False, True):
        given = random_batch(format)
        for plane in given.planes:
            plane.flags.writeable = True
        before = [plane.copy() for plane in given.planes]
        device = DeviceBatch.from_frames(given, "cpu", owned=owned)
        device.write([0], [Box(0, 0, 8, 8)], torch.ones(1, 3, 8, 8))
        assert (device.to_frames().planes[0] is given.planes[0]) is owned
        assert np.array_equal(given.planes[0], before[0]) is not owned


def test_read_only_planes_are_copied_though_owned() -> None:
    given = random_batch(picture_format())
    before = given.planes[0].copy()
    device = DeviceBatch.from_frames(given, "cpu", owned=True)
    device.write([0], [Box(0, 0, 8, 8)], torch.ones(1, 3, 8, 8))
    assert np.array_equal(given.planes[0], before)
    assert device.to_frames().planes[0][0, :8, :8].min() == 235


def test_a_later_write_of_the_same_picture_sees_the_earlier_one() -> None:
    batch = random_batch(picture_format())
    device = DeviceBatch.from_frames(batch, "cpu")
    device.write([0, 0], [Box(0, 0, 8, 8), Box(4, 4, 12, 12)], torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)]))
    luma = device.to_frames().planes[0][0]
    assert luma[2, 2] == 16
    assert luma[6, 6] == 235


def test_an_odd_angle_is_refused_with_its_remedy() -> None:
    device = DeviceBatch.from_frames(random_batch(picture_format(orientation=None)), "cpu")
    with pytest.raises(JobError, match=r"odd angle.*tasks are refused"):
        device.read([0], [Box(0, 0, 8, 8)])


def test_an_unknown_matrix_is_refused_with_its_code() -> None:
    with pytest.raises(JobError, match=r"colour matrix has code 8 .*BT.709"):
        DeviceBatch.from_frames(random_batch(picture_format(colour=Colour(8, 1, 1, False))), "cpu")


def test_boxes_of_two_sizes_are_refused() -> None:
    device = DeviceBatch.from_frames(random_batch(picture_format()), "cpu")
    with pytest.raises(ValueError, match="one size"):
        device.read([0, 1], [Box(0, 0, 8, 8), Box(0, 0, 9, 8)])


@pytest.mark.parametrize("colour", [PQ, HLG])
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv420p12le", "yuv444p16le"])
def test_an_unchanged_view_of_hdr_leaves_every_bit(colour: Colour, name: str) -> None:
    batch = random_batch(picture_format(name, 32, 24, colour))
    device = DeviceBatch.from_frames(batch, "cpu")
    box = Box(-3, 1, 29, 30)
    view = device.read([0, 1], [box, box], tone_mapped=True)
    assert torch.isfinite(view).all()
    device.write([0, 1], [box, box], view, tone_mapped=True)
    assert all(np.array_equal(a, b) for a, b in zip(device.to_frames().planes, batch.planes, strict=True))


@pytest.mark.parametrize("colour", [PQ, HLG])
def test_a_changed_view_of_hdr_reads_back_as_written(colour: Colour) -> None:
    format = picture_format("yuv444p16le", 32, 24, colour)
    planes = [
        np.random.default_rng(0).integers(low << 8, high << 8, (1, 24, 32)).astype(np.uint16)
        for low, high in ((40, 180), (120, 136), (120, 136))
    ]
    device = DeviceBatch.from_frames(batch_of(format, planes), "cpu")
    grey = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    device.write([0], [Box(4, 4, 20, 20)], grey, tone_mapped=True)
    seen = device.read([0], [Box(4, 4, 20, 20)], tone_mapped=True)
    wrong = (seen - grey).abs()
    assert wrong.max() < 5e-3  # one channel near black beside a bright one: float32 through PQ
    assert wrong.mean() < 1e-4


@pytest.mark.parametrize("colour", [BT709, PQ, HLG])
def test_a_region_does_not_depend_on_what_is_read_and_written_with_it(colour: Colour) -> None:
    batch = random_batch(picture_format("yuv420p10le", 160, 90, colour), 5)
    box = Box(31, -3, 128, 61)  # an odd number of samples: the end of a vector is not its middle
    together, alone = (DeviceBatch.from_frames(batch, "cpu") for _ in range(2))
    rgb = together.read(range(5), [box] * 5, tone_mapped=True)
    mask = torch.rand(5, 1, 64, 97, generator=torch.Generator().manual_seed(0)) - 0.5
    together.write(range(5), [box] * 5, rgb * 0.8, mask, tone_mapped=True)
    for i in range(5):
        single = alone.read([i], [box], tone_mapped=True)
        assert torch.equal(single[0], rgb[i])
        alone.write([i], [box], single * 0.8, mask[i : i + 1], tone_mapped=True)
    for a, b in zip(together.to_frames().planes, alone.to_frames().planes, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("colour", [BT709, PQ, HLG])
def test_a_pixel_does_not_depend_on_the_box_that_holds_it(colour: Colour) -> None:
    batch = random_batch(picture_format("yuv420p10le", 160, 90, colour), 1)
    whole, halves = (DeviceBatch.from_frames(batch, "cpu") for _ in range(2))
    rgb = whole.read([0], [Box(0, 0, 160, 90)], tone_mapped=True)
    whole.write([0], [Box(0, 0, 160, 90)], rgb * 0.9, tone_mapped=True)
    for box in (Box(0, 0, 54, 90), Box(54, 0, 160, 38), Box(54, 38, 160, 90)):
        part = halves.read([0], [box], tone_mapped=True)
        assert torch.equal(part, rgb[:, :, box.y0 : box.y1, box.x0 : box.x1])
        halves.write([0], [box], part * 0.9, tone_mapped=True)
    for a, b in zip(whole.to_frames().planes, halves.to_frames().planes, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: its CPU twin is `store`")
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_gpu_holds_the_round_trip_and_agrees_with_the_cpu(name: str) -> None:
    orientation = ORIENTATIONS[LAYOUTS.index(name) % 8]
    batch = random_batch(picture_format(name, 67, 45, Colour(9, 9, 1, False), orientation))
    boxes_of_both = [Box(3, -2, 40, 30), Box(8, 11, 45, 43)]
    mask = torch.rand(2, 1, 32, 37) - 0.5
    after = []
    for device in ("cpu", "cuda"):
        pictures = DeviceBatch.from_frames(batch, device)
        rgb = pictures.read([0, 1], boxes_of_both)
        pictures.write([0, 1], boxes_of_both, rgb)
        assert all(np.array_equal(a, b) for a, b in zip(pictures.to_frames().planes, batch.planes, strict=True))
        pictures.write([0, 1], boxes_of_both, 1 - rgb, mask.to(pictures.device))
        after.append(pictures.to_frames().planes)
    for cpu, gpu in zip(*after, strict=True):
        assert np.abs(cpu.astype(int) - gpu.astype(int)).max() <= 1
