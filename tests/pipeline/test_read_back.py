"""What a container cannot hold is named in the report, never lost in silence."""

from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.carry import CarriedStream, CarryPlan
from pipeline.read_back import not_kept
from tests.pipeline.pictures import constant_timeline
from tests.pipeline.rich_sources import Rich, index_of, make_source
from tests.pipeline.stitching import render
from tests.pipeline.test_carry import render as render_carried

_METADATA = {"title": "A film", "comment": "by hand", "make": "Canon", "com.android.version": "14"}


def _plan(**values: object) -> CarryPlan:
    return CarryPlan(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("container", "lost"),
    [("mp4", "make, com.android.version"), ("mov", "com.android.version"), ("mkv", ""), ("webm", "")],
)
def test_metadata_that_a_container_cannot_hold_is_named(container: str, lost: str, tmp_path: Path) -> None:
    carry = _plan(metadata=tuple(_METADATA.items()))
    path, _, _ = render(tmp_path, container, constant_timeline(8), [0, 3, 8], carry=carry)
    said = f"metadata dropped, a .{container} file holds no such entries: {lost}"
    assert not_kept(path, carry) == ((said,) if lost else ())


def test_a_title_and_a_matrix_that_are_gone_are_named(tmp_path: Path) -> None:
    path, _, _ = render(tmp_path, "mp4", constant_timeline(8), [0, 3, 8])
    turned = (0, -(1 << 16), 0, 1 << 16, 0, 0, 0, 0, 1 << 30)
    asked = _plan(picture=CarriedStream(0, "video", "h264", title="Main"), display_matrix=turned)
    assert not_kept(path, asked) == (
        "title 'Main' of a stream dropped",
        "the display matrix could not be kept as it is: players may turn the pictures another way",
    )


def test_the_report_tells_what_was_not_kept(tmp_path: Path) -> None:
    index = index_of(make_source(tmp_path / "in.mkv", Rich(frames=20, metadata=_METADATA)))
    done, _, _ = render_carried(index, tmp_path / "out" / "film.mp4")
    assert any("make" in line.lower() and "dropped" in line for line in done.lines)
    done, _, _ = render_carried(index, tmp_path / "out" / "film.mkv")
    assert not any("metadata" in line for line in done.lines)


def test_an_angle_rounded_by_matroska_is_no_loss(tmp_path: Path) -> None:
    turned = round((1 << 16) * Fraction(70710678, 10**8))
    matrix = (turned, -turned, 0, turned, turned, 0, 0, 0, 1 << 30)
    carry = _plan(display_matrix=matrix)
    path, _, _ = render(tmp_path, "mkv", constant_timeline(8), [0, 3, 8], carry=carry)
    assert not_kept(path, carry) == ()
