"""Pictures read and written whole, for tasks that give them another size: exact where flat, sited where not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from tasks.chroma import gathered, siting, spread
from tasks.device_batch import DeviceBatch
from tasks.picture import PictureFormat
from tasks.planes import DevicePlanes
from tests.tasks.pictures import BT709, LAYOUTS, ORIENTATIONS, batch_of, formats, picture_format, random_batch


def flat_batch(format: PictureFormat, codes: tuple[int, int, int]) -> DeviceBatch:
    planes = [
        np.full((2, *shape), code, format.layout.dtype) for shape, code in zip(format.plane_shapes, codes, strict=True)
    ]
    return DeviceBatch.from_frames(batch_of(format, planes), "cpu")


@settings(max_examples=60, deadline=None)
@given(formats())
def test_a_flat_picture_of_any_format_goes_through_whole_and_comes_back(format: PictureFormat) -> None:
    unit = 1 << (format.layout.depth - 8)
    batch = flat_batch(format, (90 * unit, 100 * unit, 160 * unit))
    same = batch.resized(format.width, format.height)
    same.write_whole([0, 1], batch.read_whole([0, 1]))
    for before, after in zip(batch.to_frames().planes, same.to_frames().planes, strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_luma_comes_back_exactly_whatever_the_chroma_and_the_turn(orientation: object) -> None:
    format = replace(picture_format("yuv420p10le", 21, 17), orientation=orientation)
    batch = DeviceBatch.from_frames(random_batch(format), "cpu")
    same = batch.resized(21, 17)
    same.write_whole([1, 0], batch.read_whole([1, 0]))
    np.testing.assert_array_equal(batch.to_frames().planes[0], same.to_frames().planes[0])
    assert batch.read_whole([0]).shape == (1, 3, *format.upright_size)


def test_a_resized_batch_shows_the_same_frames_and_leaves_its_source_alone() -> None:
    given_batch = random_batch(picture_format("yuv422p", 31, 9))
    batch = DeviceBatch.from_frames(given_batch, "cpu")
    larger = batch.resized(62, 18)
    frames = larger.to_frames()
    assert (frames.format.width, frames.format.height) == (62, 18)
    assert frames.first_frame == given_batch.first_frame
    assert frames.pts is given_batch.pts and frames.source_frames is given_batch.source_frames
    assert {int(plane.max()) for plane in frames.planes} == {0, 128}, "black until it is written"
    assert batch.to_frames() is given_batch


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p16le"])
def test_planes_on_a_device_take_whole_pictures_as_those_in_host_memory(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_batch = random_batch(picture_format(name, 20, 14))
    made = []
    for kind in ("host", "device"):
        if kind == "device":
            monkeypatch.setattr(
                "tasks.device_batch.open_planes", lambda arrays, device, owned: DevicePlanes.uploaded(arrays, device)
            )
            monkeypatch.setattr("tasks.device_batch.blank_planes", DevicePlanes.blank)
        batch = DeviceBatch.from_frames(given_batch, "cpu")
        larger = batch.resized(40, 28)
        larger.write_whole([0, 1], batch.read_whole([0, 1]).repeat_interleave(2, 2).repeat_interleave(2, 3))
        assert isinstance(larger._planes, DevicePlanes) == (kind == "device")
        made.append(larger.to_frames())
    for one, other in zip(made[0].planes, made[1].planes, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_pictures_of_another_size_are_refused() -> None:
    batch = DeviceBatch.from_frames(random_batch(picture_format()), "cpu")
    with pytest.raises(ValueError, match="expected"):
        batch.write_whole([0], torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name.endswith(("0p", "2p", "4p"))])
@pytest.mark.parametrize("location", range(7))
def test_a_ramp_of_chroma_stays_where_it_is(name: str, location: int) -> None:
    """What is linear across the picture is linear between samples: any shift of the siting would show."""
    format = picture_format(name, 24, 20, replace(BT709, chroma_location=location))
    where = siting(format)
    down, across = (
        torch.arange(length, dtype=torch.float32) * (1 << site.shift) + site.offset
        for length, site in zip(format.plane_shapes[1], where, strict=True)
    )
    full = spread(3 * down[:, None] + 2 * across, format.plane_shapes[0], where)
    wanted = 3 * torch.arange(20.0)[:, None] + 2 * torch.arange(24.0)
    inside = np.s_[3:-3, 3:-3]
    torch.testing.assert_close(full[inside], wanted[inside])
    again = gathered(wanted, where)
    torch.testing.assert_close(again[2:-2, 2:-2], (3 * down[:, None] + 2 * across)[2:-2, 2:-2])
