"""What a stitched file tells beside its frames: colour, HDR10, rotation, aspect, fields."""

import json
import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.carry import CarryPlan
from pipeline.encoders import choose_encoding
from pipeline.first_look import side_data
from pipeline.hdr import Hdr10, Mastering, parse_hdr10
from pipeline.job import EncodeRequest
from pipeline.matroska import write_aspect
from pipeline.read_back import not_kept
from pipeline.stitch import StitchRequest, stitch
from pipeline.storage import Storage
from pipeline.template import with_boxes
from tests.pipeline.graded import graded, stitched_hdr
from tests.pipeline.pictures import constant_timeline, decoded, encode_all, picture_format
from tests.pipeline.stitching import NTSC, TABLE, check_ffmpeg_is_silent, render


def test_a_coarse_clock_is_named(tmp_path: Path) -> None:
    timeline, format = constant_timeline(10, NTSC), picture_format()
    for container, said in (("mkv", 1), ("mp4", 0)):
        spec = choose_encoding(format, timeline, EncodeRequest(), container)
        parts = encode_all(format, timeline, spec, [0, 10], tmp_path / container)
        request = StitchRequest(str(tmp_path / f"film.{container}"), CarryPlan())
        lines = stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work").lines
        assert len(lines) == said and all("times rounded to 1/1000 s" in line for line in lines)


@pytest.mark.parametrize(("container", "codec"), TABLE)
def test_hdr10_and_its_mastering_data_reach_every_part(container: str, codec: str, tmp_path: Path) -> None:
    wanted = graded()
    lines = stitched_hdr(container, codec, wanted, tmp_path).lines
    assert not any("HDR10" in line for line in lines)
    frames = decoded(tmp_path / f"film.{container}")
    for number in (0, 5):
        frame = frames[number]
        assert (frame.color_trc, frame.color_primaries, frame.colorspace) == (16, 9, 9)
        found = parse_hdr10(dict(side_data(frame, codec)))
        assert found.light == (1000, 400)
        assert found.mastering is not None and wanted.mastering is not None
        pairs = zip(_numbers(found.mastering), _numbers(wanted.mastering), strict=True)
        assert all(abs(float(f) - float(w)) < 1e-3 for f, w in pairs)


@pytest.mark.parametrize(("container", "codec"), TABLE)
def test_the_file_itself_tells_the_mastering_data(container: str, codec: str, tmp_path: Path) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not on this machine; it reads a header without its pictures' stream")
    stitched_hdr(container, codec, graded(), tmp_path)
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(tmp_path / f"film.{container}")]
    (stream,) = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)["streams"]
    told = {data["side_data_type"]: data for data in stream["side_data_list"]}
    light, display = told["Content light level metadata"], told["Mastering display metadata"]
    assert (light["max_content"], light["max_average"]) == (1000, 400)
    assert Fraction(display["green_y"]) == Fraction(34500, 50000)
    assert abs(float(Fraction(display["max_luminance"])) - 1000) < 1e-3


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_source_that_tells_no_mastering_data_gets_none(container: str, tmp_path: Path) -> None:
    assert stitched_hdr(container, "hevc", Hdr10(), tmp_path)
    assert not parse_hdr10(dict(side_data(decoded(tmp_path / f"film.{container}")[0], "hevc")))


def test_mastering_data_that_a_file_does_not_tell_again_is_named(tmp_path: Path) -> None:
    stitched_hdr("mp4", "ffv1", Hdr10(), tmp_path)
    (line,) = not_kept(tmp_path / "film.mp4", CarryPlan(hdr=graded()))
    assert line == "HDR10 mastering display and content light level dropped: the .mp4 file does not tell it again"


def test_only_a_light_level_is_told_without_a_display(tmp_path: Path) -> None:
    stitched_hdr("mkv", "ffv1", Hdr10(light=(700, 90)), tmp_path)
    found = parse_hdr10(dict(side_data(decoded(tmp_path / "film.mkv")[0], "ffv1")))
    assert found == Hdr10(light=(700, 90))


def test_a_movie_of_another_make_is_left_alone() -> None:
    for movie in (
        b"",
        bytes(8),
        struct.pack(">I4sI4s", 16, b"moov", 8, b"trak"),
        struct.pack(">I4sI4s", 16, b"moov", 99, b"trak"),
    ):
        assert with_boxes(movie, b"0000clli") == movie


def _numbers(display: Mastering) -> tuple[Fraction, ...]:
    return (*display.red, *display.white, *display.luminance)


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize("turn", [0, 90, 180, -90])
@pytest.mark.parametrize("flipped", [False, True])
def test_rotation_and_flips_are_carried(container: str, turn: int, flipped: bool, tmp_path: Path) -> None:
    unit = 1 << 16
    turns = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -90: (0, 1, -1, 0)}
    a, b, c, d = (v * unit for v in turns[turn])
    a, c = (-a, -c) if flipped else (a, c)
    matrix = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path, _, _ = render(tmp_path, container, constant_timeline(8), [0, 3, 8], carry=CarryPlan(display_matrix=matrix))
    side = decoded(path)[0].side_data.get("DISPLAYMATRIX")
    if not turn and not flipped:
        assert side is None  # Nothing to tell.
        return
    assert side is not None
    assert np.frombuffer(memoryview(side), "<i4").tolist()[:5] == [a, b, 0, c, d]


@pytest.mark.parametrize(("container", "codec"), TABLE)
def test_sample_aspect_ratio_is_kept(container: str, codec: str, tmp_path: Path) -> None:
    format = picture_format("yuv420p", sample_aspect_ratio=Fraction(4, 3))
    path, _, _ = render(tmp_path, container, constant_timeline(8), [0, 3, 8], EncodeRequest(codec), format)
    with av.open(str(path)) as found:
        assert found.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        found.seek(200_000)
        assert next(found.decode(video=0)).width == 160
    check_ffmpeg_is_silent(path, 8)


def test_a_header_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    for data in (b"", b"\x1a\x45\xdf\xa3\x80", bytes(2000), bytes(range(256)) * 8):
        path = tmp_path / "file.mkv"
        path.write_bytes(data)
        assert not write_aspect(path, Fraction(4, 3)) and path.read_bytes() == data


@pytest.mark.parametrize("field_order", ["tff", "bff"])
def test_fields_and_their_order_are_kept(field_order: str, tmp_path: Path) -> None:
    format = picture_format("yuv420p", field_order=field_order)
    path, _, _ = render(tmp_path, "mp4", constant_timeline(8), [0, 3, 8], format=format)
    assert all(f.interlaced_frame for f in decoded(path))
    with av.open(str(path)) as found:
        list(found.decode(video=0))
        assert found.streams.video[0].codec_context.field_order in ({"tff": (2, 4), "bff": (3, 5)}[field_order])
