"""An index tells every packet and frame as a full demux does, at a small part of the bytes."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.decode import decode_source_frames
from pipeline.index import DISCARD, FLAGS, INDEX_VERSION, KEYFRAME, NO_VALUE, POS, SIZE, SourceIndex
from pipeline.index_cache import dump_index, parse_index
from pipeline.probe import probe
from pipeline.storage import Storage
from tasks.errors import SourceError
from tasks.picture import Orientation
from tests.pipeline.test_decode import digests, plain_digests
from tests.sources import FRAMES, KINDS, Sources, encode, frame_of, remux
from tests.stores import CountingStorage, http_server

_STORAGE = Storage()


def _demuxed(path: Path) -> "np.ndarray":
    """(P, 6) rows of a plain demux of the whole file."""
    with av.open(str(path)) as container:
        return np.array(
            [
                (
                    p.pts if p.pts is not None else NO_VALUE,
                    p.dts if p.dts is not None else NO_VALUE,
                    p.duration or 0,
                    p.pos if p.pos is not None else NO_VALUE,
                    p.size,
                    KEYFRAME * p.is_keyframe | DISCARD * p.is_discard,
                )
                for p in container.demux(container.streams.video[0])
                if p.size
            ]
        )


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_index_equals_a_full_demux(kind: str, sources: Sources) -> None:
    path = sources.path(kind)
    index, plain = probe(_STORAGE, str(path)), _demuxed(path)
    assert np.array_equal(index.packets[:, :5], plain[:, :5])
    kept = index.packets[:, FLAGS] & (KEYFRAME | DISCARD)
    assert np.all(kept & ~plain[:, FLAGS] == 0), "flags must be a subset of the demuxer's"
    assert np.array_equal(kept & DISCARD, plain[:, FLAGS] & DISCARD)


@pytest.mark.parametrize("kind", [kind for kind, (name, _) in KINDS.items() if name.endswith((".mp4", ".mov"))])
def test_the_payload_is_not_needed_for_an_index(kind: str, sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources here are shorter than the part of the payload that is read; so without even that."""
    path = sources.path(kind)
    usual = probe(_STORAGE, str(path))
    monkeypatch.setattr("pipeline.boxes._REAL_PAYLOAD_BYTES", 0)
    bare = probe(_STORAGE, str(path))
    assert np.array_equal(bare.packets[:, :5], usual.packets[:, :5])
    assert np.array_equal(bare.frame_pts, usual.frame_pts) and bare.format == usual.format
    assert set(bare.split_points.tolist()) <= set(usual.split_points.tolist())
    assert (bare.mode, bare.average_rate, bare.ranged) == (usual.mode, usual.average_rate, usual.ranged)


@pytest.mark.parametrize("kind", ["open mp4", "open ts", "duplicate-pts ts", "gif", "prores mov", "trim mkv"])
def test_an_index_comes_back_from_its_bytes(kind: str, sources: Sources) -> None:
    index = probe(_STORAGE, str(sources.path(kind)))
    again = parse_index(dump_index(index), "elsewhere")
    for name, value in vars(index).items():
        expected = "elsewhere" if name == "uri" else value
        assert (
            np.array_equal(getattr(again, name), expected)
            if isinstance(value, np.ndarray)
            else (getattr(again, name) == expected)
        ), name


def test_a_cached_index_is_read_instead_of_the_source(sources: Sources, tmp_path: Path) -> None:
    path = sources.path("open mkv")
    storage = CountingStorage()
    first = probe(storage, str(path), cache_prefix=f"{tmp_path}/index")
    assert [p.name for p in (tmp_path / "index").iterdir()] == [f"{first.identity.key}-{INDEX_VERSION}.npz"]
    second = probe(_STORAGE, str(path), cache_prefix=f"{tmp_path}/index")
    assert np.array_equal(first.packets, second.packets) and first.format == second.format
    cached = tmp_path / "index" / f"{first.identity.key}-{INDEX_VERSION}.npz"
    cached.write_bytes(b"not an index")
    third = probe(_STORAGE, str(path), cache_prefix=f"{tmp_path}/index")
    assert np.array_equal(first.packets, third.packets)


@pytest.fixture(scope="module")
def hour(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of H.264 and AAC at 25 frames a second, by looping packets: 90,000 of them, moov at the end."""
    base = encode(
        tmp_path_factory.mktemp("hour") / "base.mp4",
        "libx264",
        options={
            "preset": "ultrafast",
            "crf": "30",
            "x264-params": "keyint=48:bframes=3:open-gop=0:scenecut=0",
        },
        frames=range(1500),
    )
    return remux(base, base.with_name("hour.mp4"), repeat=60)


def test_an_hour_of_mp4_is_indexed_by_a_few_megabytes(hour: Path, s3_options: dict[str, str]) -> None:
    storage = CountingStorage(s3_options)
    storage.put_file(hour, "s3://bucket/hour.mp4")
    index = probe(storage, "s3://bucket/hour.mp4")
    with av.open(str(hour)) as container:
        expected = sum(1 for p in container.demux(container.streams.video[0]) if p.size)
    size = hour.stat().st_size
    print(f"{size} bytes; read {storage.bytes} in {len(storage.reads)} requests for {expected} packets")
    assert index.frames == expected > 89_000 and index.mode == "random" and index.ranged
    assert storage.bytes <= 5_000_000 < size and len(storage.reads) <= 60
    storage.reads.clear()
    low, high = (int(index.split_points[k]) for k in (900, 910))
    batches = list(decode_source_frames(storage, index, low, high, 16))
    rows = index.packets[low:high]
    assert sum(map(len, batches)) == high - low and len(storage.reads) == 1
    assert storage.bytes == (rows[:, POS] + rows[:, SIZE]).max() - rows[:, POS].min()


@pytest.mark.parametrize("kind", ["open mp4", "fragmented mp4", "open ts", "open mkv"])
def test_a_remote_source_decodes_as_a_local_one(kind: str, sources: Sources, s3_options: dict[str, str]) -> None:
    path = sources.path(kind)
    storage = CountingStorage(s3_options)
    uri = f"s3://bucket/{path.name}"
    storage.put_file(path, uri)
    index = probe(storage, uri)
    local = probe(_STORAGE, str(path))
    assert np.array_equal(index.packets, local.packets) and np.array_equal(index.split_points, local.split_points)
    assert digests(decode_source_frames(storage, index, 40, 100, 16)) == plain_digests(path)[40:100]
    storage.put_file(sources.path("closed mp4"), uri)
    with pytest.raises(SourceError, match="changed since it was indexed"):
        list(decode_source_frames(storage, index, 40, 100, 16))


def test_a_source_behind_http_is_read_by_ranges(sources: Sources) -> None:
    path = sources.path("open mp4")
    with http_server(path.parent) as (url, traffic):
        index = probe(_STORAGE, f"{url}/{path.name}")
        traffic.answers.clear()
        assert digests(decode_source_frames(_STORAGE, index, 48, 90, 16)) == plain_digests(path)[48:90]
        assert len(traffic.answers) == 1
        with pytest.raises(SourceError, match="no such file"):
            probe(_STORAGE, f"{url}/nothing.mp4")


def test_memory_is_a_store_like_others(sources: Sources) -> None:
    path = sources.path("open ts")
    _STORAGE.put_bytes(path.read_bytes(), "memory://sources/open.ts")
    index = probe(_STORAGE, "memory://sources/open.ts")
    assert digests(decode_source_frames(_STORAGE, index, 30, 60, 16)) == plain_digests(path)[30:60]


def test_clocks_that_start_anywhere_are_brought_to_zero(sources: Sources) -> None:
    wrapped, plain = (probe(_STORAGE, str(sources.path(kind))) for kind in ("wrap ts", "delayed mp4"))
    assert wrapped.origin_seconds < 0 and plain.origin_seconds == 0
    first = wrapped.frame_pts[0] * wrapped.stream.time_base - wrapped.origin_seconds
    assert 0 <= first < Fraction(1, 4)
    assert plain.frame_pts[0] * plain.stream.time_base == Fraction(3, 2)


def test_rates_are_told_from_the_times(sources: Sources) -> None:
    rates = {kind: probe(_STORAGE, str(sources.path(kind))) for kind in ("ntsc mp4", "open mkv", "open ts", "vfr mp4")}
    assert rates["ntsc mp4"].average_rate == Fraction(30000, 1001)
    assert rates["open mkv"].average_rate == rates["open ts"].average_rate == 25
    assert [i.variable_rate for i in rates.values()] == [False, False, False, True]
    assert rates["ntsc mp4"].end_pts - rates["ntsc mp4"].frame_pts[0] == FRAMES * 1001


def _rich(path: Path) -> Path:
    """Two videos, two sounds, chapters, languages, titles, a turned picture and a 4:3 pixel."""
    with av.open(str(path), "w") as out:
        small = out.add_stream("libx264", rate=25)
        small.width, small.height, small.disposition = 96, 56, av.stream.Disposition(0)
        large = out.add_stream("libx264", rate=25)
        large.width, large.height = 192, 112
        large.codec_context.sample_aspect_ratio = Fraction(4, 3)
        large.codec_context.color_primaries = large.codec_context.color_trc = large.codec_context.colorspace = 9
        large.disposition = av.stream.Disposition.default
        large.set_display_rotation(90)
        sounds = [out.add_stream("aac", rate=48000, layout="mono") for _ in range(2)]
        for stream, language in zip(sounds, ("fra", "eng"), strict=True):
            stream.metadata["language"] = language
        sounds[1].metadata["title"] = "Kommentar"
        out.metadata["title"] = "A title"
        out.set_chapters(
            [
                {"id": i, "start": i * 500, "end": i * 500 + 500, "time_base": Fraction(1, 1000),
                 "metadata": {"title": f"Part {i + 1}"}}
                for i in range(2)
            ]
        )  # fmt: skip
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 48000
        for number in range(25):
            frame = frame_of(number)
            frame.pict_type = 0
            frame.pts = number
            out.mux(large.encode(frame))
            shrunk = frame.reformat(96, 56, threads=1)
            shrunk.pts = number
            out.mux(small.encode(shrunk))
            for stream in sounds:
                silence.pts = number * 1024
                out.mux(stream.encode(silence))
        for stream in (large, small, *sounds):
            out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_everything_beside_the_pictures_is_listed(ending: str, tmp_path: Path) -> None:
    index = probe(_STORAGE, str(_rich(tmp_path / f"rich.{ending}")))
    assert (index.format.width, index.format.height) == (192, 112) and index.stream.number == 1
    assert [s.kind for s in index.streams][:4] == ["video", "video", "audio", "audio"]
    assert [s.language for s in index.streams if s.kind == "audio"] == ["fra", "eng"]
    if ending == "mkv":
        assert index.streams[3].title == "Kommentar"
    assert [(c.start_seconds, c.end_seconds, c.title) for c in index.chapters] == [
        (0, Fraction(1, 2), "Part 1"),
        (Fraction(1, 2), 1, "Part 2"),
    ]
    assert dict(index.metadata).get("title", dict(index.metadata).get("TITLE")) == "A title"
    assert index.format.sample_aspect_ratio == Fraction(4, 3)
    assert (index.format.colour.matrix, index.format.colour.primaries, index.format.colour.transfer) == (
        9,
        9,
        9,
    )
    assert not index.format.colour.guessed
    assert index.format.orientation == Orientation(True, False, True) and index.display_matrix is not None


def test_chapter_titles_of_a_text_track_are_read_from_the_payload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QuickTime keeps titles as samples in the payload, which the index does without."""
    monkeypatch.setattr("pipeline.boxes._REAL_PAYLOAD_BYTES", 0)
    path = _rich(tmp_path / "rich.mov")
    data = bytearray(path.read_bytes())
    while (at := data.find(b"chpl")) >= 0:
        data[at : at + 4] = b"free"
    path.write_bytes(data)
    assert [c.title for c in probe(_STORAGE, str(path)).chapters] == ["Part 1", "Part 2"]


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_turned_videos_stand_as_their_matrix_says(degrees: int, hflip: bool, tmp_path: Path) -> None:
    """The picture turned by our rule equals the picture turned by FFmpeg's own filters."""
    with av.open(str(tmp_path / "turned.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height = 192, 112
        stream.set_display_rotation(degrees, hflip=hflip)
        out.mux(stream.encode(frame_of(5)))
        out.mux(stream.encode(None))
    index = probe(_STORAGE, str(tmp_path / "turned.mp4"))
    matrix = index.display_matrix or (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    a, b, c, d = (v // 65536 for v in (matrix[0], matrix[1], matrix[3], matrix[4]))
    stored = next(decode_source_frames(_STORAGE, index, 0, 1, 1)).planes[0][0]
    orientation = index.format.orientation
    assert orientation is not None
    shown = stored.T if orientation.transpose else stored
    shown = shown[:, ::-1] if orientation.mirror_x else shown
    shown = shown[::-1] if orientation.mirror_y else shown
    # By the matrix itself: stored (p, q) is shown at (a p + c q, b p + d q), moved into view.
    q, p = np.mgrid[0 : stored.shape[0], 0 : stored.shape[1]]
    x, y = a * p + c * q, b * p + d * q
    expected = np.zeros_like(shown)
    expected[y - y.min(), x - x.min()] = stored
    assert np.array_equal(shown, expected)


def _bad(sources: Sources, name: str) -> bytes:
    good = sources.path("open mp4").read_bytes()
    fast = sources.path("faststart mp4").read_bytes()
    return {
        "empty": b"",
        "text": b"Hello, this is no video at all.\n" * 20,
        "cut before moov": good[: len(good) // 2],
        "cut after moov": fast[: len(fast) // 2],
        "zeros": bytes(5000),
        "header only": good[:32],
        "payload overwritten": fast[: fast.index(b"mdat") + 4] + bytes(len(fast) - fast.index(b"mdat") - 4),
    }[name]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty", "found 0 bytes"),
        ("text", "found text"),
        ("cut before moov", "index .moov. is missing"),
        ("cut after moov", "promises 150 pictures, the file holds"),
        ("zeros", "of no format that is read here"),
        ("header only", "missing or damaged"),
        ("payload overwritten", "none of its first .* pictures decodes"),
    ],
)
def test_what_is_no_whole_video_is_refused_in_one_sentence(
    name: str, words: str, sources: Sources, tmp_path: Path
) -> None:
    path = tmp_path / "source.mp4"
    path.write_bytes(_bad(sources, name))
    with pytest.raises(SourceError, match=words) as caught:
        probe(_STORAGE, str(path))
    assert str(path) in str(caught.value)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.m4a"), "w") as out:
        stream = out.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"found no video \(audio aac\)"):
        probe(_STORAGE, str(tmp_path / "sound.m4a"))


def test_a_hidden_reference_picture_is_no_frame(sources: Sources) -> None:
    index = probe(_STORAGE, str(sources.path("vp8 webm")))
    assert index.frames == FRAMES and index.mode == "random"


def _indexes(sources: Sources) -> Iterator[SourceIndex]:
    for kind in ("open mp4", "open ts", "edit-list trim mp4", "vfr mkv"):
        yield probe(_STORAGE, str(sources.path(kind)))


def test_indexes_hold_together(sources: Sources) -> None:
    for index in _indexes(sources):
        assert np.all(np.diff(index.frame_pts) > 0) and index.end_pts > index.frame_pts[-1]
        assert index.split_points[0] == 0 and np.all(np.diff(index.split_points) > 0)
        assert len(index.frame_packets) == index.frames and len(set(index.frame_packets.tolist())) == index.frames
        assert struct.calcsize("q") == index.packets.dtype.itemsize


def test_hdr10_is_carried_in_the_index(tmp_path: Path) -> None:
    """Mastering display and light level of H.265, and the tags of PQ."""
    parameters = (
        "log-level=none:pools=1:frame-threads=1:hdr10=1:repeat-headers=1:colorprim=9:transfer=16:colormatrix=9:"
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    )
    path = encode(
        tmp_path / "hdr.mp4",
        "libx265",
        options={"preset": "ultrafast", "x265-params": parameters},
        frames=range(5),
        pixel_format="yuv420p10le",
        audio=None,
        tag="hvc1",
    )
    index = probe(_STORAGE, str(path))
    assert index.format.colour.is_hdr and index.format.colour.matrix == 9 and not index.format.colour.guessed
    assert set(index.codec_hdr) == {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}
    assert struct.unpack("<2I", index.codec_hdr["CONTENT_LIGHT_LEVEL"][:8]) == (1000, 400)
    assert parse_index(dump_index(index), "x").codec_hdr == index.codec_hdr


@pytest.mark.parametrize(("size", "matrix"), [((320, 180), 6), ((1280, 534), 1), ((960, 720), 1), ((720, 576), 6)])
def test_what_is_not_tagged_is_guessed_by_size_and_said(size: tuple[int, int], matrix: int, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "plain.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height = size
        frame = av.VideoFrame(*size, "yuv420p")
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    colour = probe(_STORAGE, str(tmp_path / "plain.mp4")).format.colour
    assert colour.guessed and not colour.full_range
    assert (colour.matrix, colour.primaries, colour.transfer) == (matrix, matrix, matrix)
