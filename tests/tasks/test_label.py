"""The label is readable, upright, in its place, and nothing else changes."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from tasks.device_batch import Box, DeviceBatch
from tasks.errors import JobError
from tasks.label import LONGEST, LabelTask, checked_text
from tasks.picture import Colour, FrameBatch, Orientation, PictureFormat
from tasks.task import TaskInputs, TaskSpec
from tests.tasks.pictures import (
    HLG,
    LAYOUTS,
    ORIENTATIONS,
    PQ,
    batch_of,
    picture_format,
    random_batch,
)


def labelled(batch: FrameBatch, text: str = "AI-generated") -> FrameBatch:
    task = LabelTask(TaskSpec("label", (("text", text),)))
    device = DeviceBatch.from_frames(batch, "cpu")
    task.render(device, TaskInputs(0, len(batch), {}, {}))
    return device.to_frames()


def grey_batch(format: PictureFormat) -> FrameBatch:
    middle = 1 << (format.layout.depth - 1)
    return batch_of(format, [np.full((2, *s), middle, format.layout.dtype) for s in format.plane_shapes])


def upright(batch: FrameBatch) -> np.ndarray:
    """(3, H, W) of the first picture."""
    height, width = batch.format.upright_size
    return DeviceBatch.from_frames(batch, "cpu").read([0], [Box(0, 0, width, height)])[0].numpy()


def changed_box(before: FrameBatch, after: FrameBatch) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of what changed, upright."""
    ys, xs = np.nonzero((upright(before) != upright(after)).any(axis=0))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (180, 320), (97, 65)])
def test_the_label_lies_at_the_bottom_in_the_middle_and_nothing_else_changes(size: tuple[int, int]) -> None:
    batch = random_batch(picture_format("yuv420p", *size))
    x0, y0, x1, y1 = changed_box(batch, labelled(batch))
    width, height = size
    assert abs((x0 + x1) - width) <= 6
    assert y0 > height * 0.7
    assert height * 0.9 < y1 <= height - 1
    assert x0 > 0


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_label_stands_upright_whatever_the_orientation(orientation: Orientation) -> None:
    plain = picture_format("yuv444p", 320, 240)
    stored = (240, 320) if orientation.transpose else (320, 240)
    turned = picture_format("yuv444p", *stored, orientation=orientation)
    found, expected = (upright(labelled(grey_batch(f))) for f in (turned, plain))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("full_range", [False, True])
def test_letters_are_white_and_grey_stays_grey_in_every_layout(name: str, full_range: bool) -> None:
    format = picture_format(name, 321, 181, Colour(1, 1, 1, full_range))
    after = upright(labelled(grey_batch(format)))
    assert after.max() == pytest.approx(1.0, abs=0.02)
    assert after.min() < 0.3
    assert np.abs(after - after.mean(axis=0)).max() < 0.012


@pytest.mark.parametrize(("colour", "white"), [(PQ, 0.58), (HLG, 0.75)])
def test_hdr_letters_have_reference_white(colour: Colour, white: float) -> None:
    before = batch_of(
        picture_format("yuv420p10le", 320, 180, colour),
        [np.full((1, *s), v, np.uint16) for s, v in (((180, 320), 200), ((90, 160), 512), ((90, 160), 512))],
    )
    assert upright(labelled(before)).max() == pytest.approx(white, abs=0.01)


def test_letters_keep_their_shape_where_pixels_are_not_square() -> None:
    square = grey_batch(picture_format("yuv444p", 1024, 576))
    narrow = grey_batch(picture_format("yuv444p", 720, 576, sample_aspect_ratio=Fraction(64, 45)))
    a, b = changed_box(square, labelled(square)), changed_box(narrow, labelled(narrow))
    assert (b[2] - b[0]) * 64 / 45 == pytest.approx(a[2] - a[0], abs=4)
    assert b[3] - b[1] == a[3] - a[1]


def test_a_long_text_is_wrapped_inside_the_picture() -> None:
    text = "a demonstration made by a machine with a synthetic voice " * 2
    batch = grey_batch(picture_format("yuv420p", 320, 180))
    short, long = changed_box(batch, labelled(batch)), changed_box(batch, labelled(batch, text))
    assert long[3] - long[1] > 1.5 * (short[3] - short[1])
    assert 0 < long[0] < long[2] < 320


def test_every_frame_of_a_batch_has_the_same_label() -> None:
    after = labelled(grey_batch(picture_format()))
    assert np.array_equal(after.planes[0][0], after.planes[0][1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  ", "the label is empty"),
        ("x" * (LONGEST + 1), f"has {LONGEST + 1} characters, expected at most {LONGEST}"),
        ("日本 – ok", "cannot draw: – 日 本"),
    ],
)
def test_a_text_that_cannot_be_drawn_is_refused_at_once(text: str, words: str) -> None:
    with pytest.raises(JobError, match=words):
        checked_text(text)


def test_a_label_too_long_for_the_picture_is_refused() -> None:
    batch = grey_batch(picture_format("yuv420p", 32, 32))
    with pytest.raises(JobError, match="does not fit a picture of 32x32"):
        labelled(batch, "a long label on a small picture, four lines at least")


def test_the_label_is_the_same_on_both_kinds_of_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.planes import DevicePlanes

    batch = random_batch(picture_format("yuv420p10le", 161, 91))
    host = labelled(batch)
    monkeypatch.setattr(
        "tasks.device_batch.open_planes", lambda arrays, device, owned: DevicePlanes.uploaded(arrays, device)
    )
    for a, b in zip(host.planes, labelled(batch).planes, strict=True):
        assert np.array_equal(a, b)
    assert torch.get_default_dtype() == torch.float32
