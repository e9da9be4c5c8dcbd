"""One video out of many parts: every frame once, at its time, no seam, nothing half-written."""

import dataclasses
import hashlib
import itertools
import shutil
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.carry import CarryPlan, plan_carry
from pipeline.encode import pts_digest
from pipeline.encoders import CONTAINERS, choose_encoding
from pipeline.hdr import parse_light, parse_mastering
from pipeline.job import EncodeRequest
from pipeline.matroska import write_aspect
from pipeline.part import EncodeSpec, Part
from pipeline.stamps import decode_stamps, rescaled
from pipeline.stitch import StitchRequest, stitch, verify
from pipeline.storage import Storage
from pipeline.storage_errors import AlreadyThere
from pipeline.timeline import Timeline
from tasks.errors import StitchError, StorageError
from tasks.picture import Colour, PictureFormat
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

NTSC = Fraction(30000, 1001)
TABLE = [(container, codec) for container, codecs in CONTAINERS.items() for codec in codecs]
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


def render(
    folder: Path,
    container: str,
    timeline: Timeline,
    borders: list[int],
    request: EncodeRequest | None = None,
    format: PictureFormat | None = None,
    options: dict[str, str] | None = None,
    **stitching: object,
) -> tuple[Path, list[Part], EncodeSpec]:
    format = format or picture_format()
    spec = choose_encoding(format, timeline, request or EncodeRequest(), container)
    if options:
        spec = dataclasses.replace(spec, options=tuple(sorted({**dict(spec.options), **options}.items())))
    parts = encode_all(format, timeline, spec, borders, folder)
    output = folder / "out" / f"film.{container}"
    carry = stitching.pop("carry", CarryPlan())
    stitch(Storage({}), parts, timeline, spec, StitchRequest(str(output), carry, **stitching), folder / "work")  # type: ignore[arg-type]
    return output, parts, spec


def check_packets(path: Path, timeline: Timeline) -> None:
    """Every planned pts once, dts rising and never above pts, and the planned end."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        time_base = stream.time_base  # A stream is not to be asked once its container is closed.
        assert time_base is not None
        packets = [p for p in container.demux(stream) if p.size]
        lasts = stream.duration
    pts = [p.pts for p in packets]
    assert sorted(pts) == rescaled(timeline.pts, timeline.time_base, time_base).tolist()
    dts = [p.dts for p in packets if p.dts is not None]
    assert all(a < b for a, b in itertools.pairwise(dts))
    assert all(p.dts is None or p.dts <= p.pts for p in packets)
    if path.suffix in (".mp4", ".mov"):
        assert lasts == timeline.end_pts - timeline.pts[0]
        assert time_base == timeline.time_base


def check_ffmpeg_is_silent(path: Path, frames: int) -> None:
    if shutil.which("ffmpeg") is None:
        return
    command = ["ffmpeg", "-v", "warning", "-nostdin", "-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert len([line for line in done.stdout.splitlines() if not line.startswith("#")]) == frames


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


def test_a_coarse_clock_is_named(tmp_path: Path) -> None:
    timeline, format = constant_timeline(10, NTSC), picture_format()
    for container, said in (("mkv", 1), ("mp4", 0)):
        spec = choose_encoding(format, timeline, EncodeRequest(), container)
        parts = encode_all(format, timeline, spec, [0, 10], tmp_path / container)
        request = StitchRequest(str(tmp_path / f"film.{container}"), CarryPlan())
        lines = stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work").lines
        assert len(lines) == said and all("times rounded to 1/1000 s" in line for line in lines)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_hdr10_and_its_mastering_data_reach_every_part(codec: str, tmp_path: Path) -> None:
    format = picture_format("yuv420p10le", colour=Colour(9, 9, 16, False))
    points = (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450)
    data = b"".join(struct.pack("=2i", v, 50000) for v in points)
    data += struct.pack("=6i", 50, 10000, 10000000, 10000, 1, 1)
    side = {"MASTERING_DISPLAY_METADATA": data, "CONTENT_LIGHT_LEVEL": struct.pack("=2I", 1000, 400)}
    timeline = constant_timeline(12)
    spec = choose_encoding(format, timeline, EncodeRequest(codec), "mp4", hdr=side)
    parts = encode_all(format, timeline, spec, [0, 5, 12], tmp_path)
    request = StitchRequest(str(tmp_path / "film.mp4"), CarryPlan())
    stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work")
    wanted = parse_mastering(data)
    for number in (0, 5):
        frame = decoded(tmp_path / "film.mp4")[number]
        assert (frame.color_trc, frame.color_primaries, frame.colorspace) == (16, 9, 9)
        found = parse_mastering(bytes(frame.side_data["MASTERING_DISPLAY_METADATA"]))
        assert parse_light(bytes(frame.side_data["CONTENT_LIGHT_LEVEL"])) == (1000, 400)
        assert found is not None and wanted is not None
        pairs = zip(
            (*found.red, *found.white, *found.luminance),
            (*wanted.red, *wanted.white, *wanted.luminance),
            strict=True,
        )
        assert all(abs(float(f) - float(w)) < 1e-3 for f, w in pairs)


def test_two_stitchers_racing_leave_one_whole_output(tmp_path: Path) -> None:
    timeline, spec, parts, request = _stitched(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(stitch, Storage({}), parts, timeline, spec, request, tmp_path / str(i)) for i in range(4)]
    errors = [r.exception() for r in runs]
    assert errors.count(None) == 1 and all(isinstance(e, AlreadyThere) for e in errors if e is not None)
    assert len(decoded(Path(request.output_uri))) == 20


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


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("rotation", [(90, False), (180, False), (-90, False), (0, True), (90, True)])
def test_rotation_and_flips_are_carried(container: str, rotation: tuple[int, bool], tmp_path: Path) -> None:
    unit = 1 << 16
    turns = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), -90: (0, 1, -1, 0)}
    a, b, c, d = (v * unit for v in turns[rotation[0]])
    a, c = (-a, -c) if rotation[1] else (a, c)
    matrix = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path, _, _ = render(tmp_path, container, constant_timeline(8), [0, 3, 8], carry=CarryPlan(display_matrix=matrix))
    if container == "mkv" and rotation == (90, True):
        pytest.skip("Matroska has no word for a turn and a flip at once")
    side = decoded(path)[0].side_data.get("DISPLAYMATRIX")
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


def _stitched(tmp_path: Path) -> tuple[Timeline, EncodeSpec, list[Part], StitchRequest]:
    timeline, format = constant_timeline(20), picture_format()
    spec = choose_encoding(format, timeline, EncodeRequest(), "mp4")
    parts = encode_all(format, timeline, spec, [0, 8, 20], tmp_path)
    return timeline, spec, parts, StitchRequest(str(tmp_path / "out" / "film.mp4"), CarryPlan())


def test_forged_headers_are_caught_before_the_output_is_written(tmp_path: Path) -> None:
    timeline, spec, parts, request = _stitched(tmp_path)
    other = dataclasses.replace(spec, options=tuple({**dict(spec.options), "x264-params": "cabac=0:ref=5"}.items()))
    forged = encode_all(picture_format(), timeline, other, [0, 8, 20], tmp_path / "other")[1]
    for second in (forged, dataclasses.replace(forged, extradata_sha256=parts[0].extradata_sha256)):
        with pytest.raises(StitchError, match="encoder headers differ"):
            stitch(Storage({}), [parts[0], second], timeline, spec, request, tmp_path / "work")
    assert not (tmp_path / "out").exists() and not list((tmp_path / "work").glob("output*"))


def test_missing_doubled_and_altered_parts_are_refused(tmp_path: Path) -> None:
    timeline, spec, parts, request = _stitched(tmp_path)
    work = tmp_path / "work"
    with pytest.raises(StitchError, match="parts end at frame 8, expected 20"):
        stitch(Storage({}), parts[:1], timeline, spec, request, work)
    with pytest.raises(StitchError, match="expected them from 0"):
        stitch(Storage({}), parts[1:], timeline, spec, request, work)
    with pytest.raises(StitchError, match="expected them from 8"):
        stitch(Storage({}), [parts[0], parts[0], parts[1]], timeline, spec, request, work)
    moved = constant_timeline(20, start=1)
    with pytest.raises(StitchError, match="not the plan's"):
        stitch(Storage({}), parts, moved, spec, request, work)
    data = bytearray(Path(parts[1].uri).read_bytes())
    data[len(data) // 2] ^= 255
    Path(parts[1].uri).write_bytes(data)
    with pytest.raises(StitchError, match="its bytes are not those"):
        stitch(Storage({}), parts, timeline, spec, request, work)
    assert not (tmp_path / "out").exists()


def test_parts_in_any_order_give_the_same_file(tmp_path: Path) -> None:
    timeline, spec, parts, request = _stitched(tmp_path)
    first = stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work")
    again = dataclasses.replace(request, overwrite=True)
    assert stitch(Storage({}), parts[::-1], timeline, spec, again, tmp_path / "work").sha256 == first.sha256


def test_an_output_is_never_overwritten_unasked(tmp_path: Path) -> None:
    timeline, spec, parts, request = _stitched(tmp_path)
    target = Path(request.output_uri)
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with pytest.raises(AlreadyThere):
        stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work")
    assert target.read_bytes() == b"mine"


def test_a_failing_write_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Storage):
        def put_file(self, path, uri, *, create_only=False) -> None:  # type: ignore[no-untyped-def]
            raise StorageError("injected")

    timeline, spec, parts, request = _stitched(tmp_path)
    with pytest.raises(StorageError):
        stitch(Broken({}), parts, timeline, spec, request, tmp_path / "work")
    assert not (tmp_path / "out").exists() and not list((tmp_path / "work").glob("output*"))
    assert stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work").frames == 20


def test_parts_in_an_object_store_are_fetched_one_at_a_time(tmp_path: Path) -> None:
    timeline, spec, parts, request = _stitched(tmp_path)
    remote = []
    for part in parts:
        uri = f"memory://parts/{Path(part.uri).name}"
        Storage({}).put_file(part.uri, uri)
        remote.append(dataclasses.replace(part, uri=uri))
    request = dataclasses.replace(request, output_uri="memory://out/film.mp4")
    done = stitch(Storage({}), remote, timeline, spec, request, tmp_path / "scratch")
    assert hashlib.sha256(Storage({}).read("memory://out/film.mp4")).hexdigest() == done.sha256
    assert not list((tmp_path / "scratch").iterdir())


def test_verify_sees_a_lost_frame(tmp_path: Path) -> None:
    timeline, spec, parts, request = _stitched(tmp_path)
    stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work")
    verify(Path(request.output_uri), timeline.pts, timeline.time_base)
    with pytest.raises(StitchError, match="the 20 frames found are not the 21 planned"):
        verify(Path(request.output_uri), constant_timeline(21).pts, timeline.time_base)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=60), st.integers(0, 16), st.randoms())
@settings(max_examples=200, deadline=None)
def test_decode_times_rise_and_stay_below_pts(gaps: list[int], depth: int, random: object) -> None:
    pts = np.cumsum(np.array(gaps, np.int64)) - 500
    ranks = list(range(len(gaps)))
    for start in range(0, len(ranks), depth + 1):
        window = ranks[start : start + depth + 1]
        random.shuffle(window)  # type: ignore[attr-defined]
        ranks[start : start + depth + 1] = window
    reorder = max(0, *(i - r for i, r in enumerate(ranks)), 0)
    dts = decode_stamps(pts, reorder)
    assert len(dts) == len(pts)
    assert np.all(np.diff(dts) > 0) and np.all(dts <= pts[ranks])


def test_rescaling_rounds_to_nearest_and_survives_large_numbers() -> None:
    assert rescaled(np.array([0, 1001, 2002, -1001]), Fraction(1, 30000), Fraction(1, 1000)).tolist() == [
        0,
        33,
        67,
        -33,
    ]
    assert rescaled(np.array([1, -1, 3]), Fraction(1, 2), Fraction(1)).tolist() == [1, -1, 2]
    big = 10**15
    assert rescaled(np.array([big]), Fraction(1, 10**9), Fraction(1, 90000)).tolist() == [round(big * 90000 / 10**9)]
