"""One video out of many parts: every frame once, at its time, no seam, nothing half-written."""

import dataclasses
import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.carry import plan_carry
from pipeline.encode import pts_digest
from pipeline.encoders import choose_encoding
from pipeline.job import EncodeRequest
from pipeline.stitch import StitchRequest, stitch
from pipeline.storage import Storage
from tests.pipeline.pictures import (
    constant_timeline,
    decoded,
    encode_all,
    every,
    make_timeline,
    number_of,
    picture_format,
    planes_of,
)
from tests.pipeline.rich_sources import Rich, Sound, index_of, make_source
from tests.pipeline.stitching import NTSC, TABLE, check_ffmpeg_is_silent, check_packets, render

#: Variants of encoders whose parts must join without a seam.
VARIANTS = [
    ("h264", {}),
    ("h264", {"preset": "medium", "bf": "3", "b-pyramid": "normal"}),
    ("h264", {"x264-params": "stitchable=1:open-gop=1:keyint=12:scenecut=0:bframes=3"}),
    ("h264", {"bf": "0"}),
    ("hevc", {}),
    (
        "hevc",
        {"x265-params": "log-level=none:pools=none:frame-threads=1:open-gop=1:keyint=12:bframes=4:info=0"},
    ),
    ("av1", {}),
    ("vp9", {"lag-in-frames": "16"}),
    ("prores", {}),
    ("ffv1", {}),
]


@pytest.mark.parametrize(("container", "codec"), TABLE)
def test_every_codec_of_every_container_plays(container: str, codec: str, tmp_path: Path) -> None:
    timeline = constant_timeline(31, NTSC)
    path, _, _spec = render(tmp_path, container, timeline, [0, 12, 13, 31], EncodeRequest(codec))
    check_packets(path, timeline)
    check_ffmpeg_is_silent(path, 31)
    frames = decoded(path)
    assert [number_of(f) for f in frames] == list(range(31))
    assert frames[0].colorspace == 1 and frames[0].color_range == 1
    assert (frames[0].color_primaries, frames[0].color_trc) == (1, 1)
    with av.open(str(path)) as found:
        tag = found.streams.video[0].codec_context.codec_tag
    assert codec != "hevc" or container == "mkv" or tag == "hvc1"


@pytest.mark.parametrize(("codec", "options"), VARIANTS)
def test_joined_frames_equal_each_part_alone(codec: str, options: dict[str, str], tmp_path: Path) -> None:
    timeline = constant_timeline(120, NTSC)
    path, parts, _ = render(
        tmp_path,
        "mov" if codec == "prores" else "mp4",
        timeline,
        [0, 30, 60, 61, 90, 120],
        EncodeRequest(codec),
        options=options,
    )
    check_packets(path, timeline)
    check_ffmpeg_is_silent(path, 120)
    alone = [
        hashlib.md5(b"".join(p.tobytes() for p in planes_of(f))).digest()
        for part in parts
        for f in decoded(Path(part.uri))
    ]
    joined = [hashlib.md5(b"".join(p.tobytes() for p in planes_of(f))).digest() for f in decoded(path)]
    assert joined == alone


def test_lossless_output_is_the_same_for_any_segments(tmp_path: Path) -> None:
    timeline = constant_timeline(60, NTSC)
    outputs = []
    for i, borders in enumerate(([0, 60], every(7, 60), [0, 1, 59, 60])):
        path, _, _ = render(tmp_path / str(i), "mp4", timeline, borders, EncodeRequest(qp=0))
        outputs.append([b"".join(p.tobytes() for p in planes_of(f)) for f in decoded(path)])
    assert outputs[0] == outputs[1] == outputs[2] and len(outputs[0]) == 60


def test_joins_after_every_frame_of_a_minute_keep_every_time(tmp_path: Path) -> None:
    """1,799 joins beside copied sound: no tick of drift.  Sixty parts are used thirty times each."""
    timeline, unit = constant_timeline(1800, NTSC), constant_timeline(60, NTSC)
    source = make_source(tmp_path / "in.mp4", Rich(frames=1800, sounds=(Sound(),), chapters=()))
    carry = plan_carry(index_of(source), timeline, "mp4", new_audio=False)
    format = picture_format("yuv420p", 128, 32)
    spec = choose_encoding(format, timeline, EncodeRequest(preset="ultrafast"), "mp4")
    sixty = encode_all(format, unit, spec, every(1, 60), tmp_path)
    parts = [
        dataclasses.replace(
            sixty[i % 60], segment=i, start=i, end=i + 1, pts_sha256=pts_digest(timeline.pts[i : i + 1])
        )
        for i in range(1800)
    ]
    path = tmp_path / "film.mp4"
    stitch(Storage({}), parts, timeline, spec, StitchRequest(str(path), carry), tmp_path / "work")
    check_packets(path, timeline)
    assert [number_of(f) for f in decoded(path)] == [i % 60 for i in range(1800)]
    ends = []
    for file in (source, path):
        with av.open(str(file)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            ends.append((video.duration * video.time_base, audio.duration * audio.time_base))
    assert ends[0] == ends[1] and ends[1][0] == 1800 / NTSC


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize("start", [0, 1300, -1300])
def test_variable_times_and_any_start_survive(container: str, start: int, tmp_path: Path) -> None:
    gaps = np.random.default_rng(5).integers(1, 6, 70)
    pts = (np.concatenate([[0], np.cumsum(gaps)]) * 512 + start).tolist()
    timeline = make_timeline(pts[:-1], pts[-1], Fraction(1, 12800), None)
    path, _, _ = render(tmp_path, container, timeline, [0, 9, 41, 70])
    shown = (
        timeline
        if start >= 0
        else make_timeline([p - start for p in pts[:-1]], pts[-1] - start, Fraction(1, 12800), None)
    )
    check_packets(path, shown)
    check_ffmpeg_is_silent(path, 70)
    assert [number_of(f) for f in decoded(path)] == list(range(70))
    # Matroska's default duration of a frame (element 23 E3 83) would promise a constant rate.
    assert container not in ("mkv", "webm") or b"\x23\xe3\x83" not in path.read_bytes()[:1000]


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 1000), Fraction(1, 10**9)]
)
def test_any_time_base_is_kept_or_refined(time_base: Fraction, tmp_path: Path) -> None:
    step = max(1, round(Fraction(1, 25) / time_base))
    timeline = make_timeline([i * step for i in range(40)], 40 * step, time_base, Fraction(25))
    path, _, _ = render(tmp_path, "mp4", timeline, [0, 13, 40])
    with av.open(str(path)) as container:
        times = sorted(p.pts * p.time_base for p in container.demux(video=0) if p.size)
    assert times == [i * step * time_base for i in range(40)]


def test_segments_of_one_frame_alone_make_a_video(tmp_path: Path) -> None:
    timeline = constant_timeline(1)
    path, _, _ = render(tmp_path, "mp4", timeline, [0, 1])
    check_packets(path, timeline)
    assert len(decoded(path)) == 1


def test_same_plan_gives_the_same_file(tmp_path: Path) -> None:
    for container in ("mp4", "mkv"):
        files = [render(tmp_path / container / str(i), container, constant_timeline(20), [0, 8, 20])[0] for i in (0, 1)]
        assert files[0].read_bytes() == files[1].read_bytes()
