"""What sizes are made, and what is refused before any work, in words that say what would work."""

from fractions import Fraction

import pytest

from tasks.errors import JobError
from tasks.picture import Orientation
from tasks.table import formats_through, parse_task
from tests.tasks.pictures import picture_format

TURNED = Orientation(transpose=True, mirror_x=True)


@pytest.mark.parametrize(
    ("task", "size", "expected"),
    [
        ("upscale", (480, 270), (960, 540)),
        ("upscale:factor=3", (161, 121), (483, 363)),
        ("upscale:factor=4", (212, 120), (848, 480)),
        ("upscale:height=2160", (1920, 1080), (3840, 2160)),
        ("upscale:height=1080", (854, 480), (1922, 1080)),
        ("upscale:height=270", (480, 270), (480, 270)),
        ("upscale:height=2161", (640, 480), (2882, 2161)),
    ],
)
def test_sizes_that_are_made(task: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    made = formats_through([parse_task(task)], picture_format("yuv420p", *size))[-1]
    assert (made.width, made.height) == expected


def test_lines_are_counted_as_shown_and_the_stored_picture_is_what_grows() -> None:
    phone = picture_format("yuv420p", 1280, 720, orientation=TURNED, sample_aspect_ratio=Fraction(4, 3))
    made = formats_through([parse_task("upscale:height=2560")], phone)[-1]
    assert (made.width, made.height) == (2560, 1440)
    assert (made.orientation, made.sample_aspect_ratio) == (TURNED, Fraction(4, 3))


def test_tasks_after_another_size_get_that_size() -> None:
    chain = [parse_task("upscale:factor=3"), parse_task("identity"), parse_task("upscale")]
    sizes = [(one.width, one.height) for one in formats_through(chain, picture_format("yuv420p", 64, 48))]
    assert sizes == [(64, 48), (192, 144), (192, 144), (384, 288)]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("upscale:factor=5", "factor is '5', expected one of auto, 2, 3, 4"),
        ("upscale:height=240", "height=240 is less than the source's 270 lines as shown; expected 270 or more"),
        ("upscale:height=4320", "height=4320 is 16.0 times the source's 270 lines; expected at most 8 times"),
        ("upscale:factor=2,height=540", "found factor=2 and height=540, expected one of them"),
        ("upscale:height=tall", "height is 'tall', expected auto, or 16 to 16384 lines"),
        ("upscale:tile=16", "tile is '16', expected auto, or a side of 64 to 16384 pixels"),
        ("upscale:mix=a.pth", "found mix=a.pth without a model"),
        ("upscale:denoise=0.5", "found denoise=0.5 and no mix, expected the second network"),
        ("upscale:denoise=2", "denoise is '2', expected a share from 0 to 1"),
        ("upscale:scale=2", "has no option 'scale'"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(task: str, words: str) -> None:
    with pytest.raises(JobError) as refused:
        formats_through([parse_task(task)], picture_format("yuv420p", 480, 270))
    assert words in str(refused.value)


def test_a_side_that_no_encoder_takes_is_refused() -> None:
    with pytest.raises(JobError, match="would become 30720x17280; expected at most 16384"):
        formats_through([parse_task("upscale:factor=4")], picture_format("yuv420p", 7680, 4320))


def test_a_task_that_scans_stands_before_one_that_changes_the_size() -> None:
    format = picture_format("yuv420p", 480, 270)
    with pytest.raises(JobError, match="'lip-sync' looks at the source's pictures .480x270., .* 960x540: put it first"):
        formats_through([parse_task("upscale"), parse_task("lip-sync")], format)
    assert formats_through([parse_task("lip-sync"), parse_task("upscale")], format)[-1].width == 960
