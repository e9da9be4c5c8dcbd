"""Parts: the right frames, once, the same bytes each time, committed sidecar last."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.encode import PartEncoder, encode_lease
from pipeline.encoder_frames import converted
from pipeline.encoders import choose_encoding
from pipeline.job import EncodeRequest
from pipeline.part import Part, PartDetails, read_sidecar, sidecar_uri, write_sidecar
from pipeline.storage import Storage
from pipeline.work import SegmentWork
from tasks.errors import StitchError, StorageError
from tasks.picture import pixel_layout
from tests.pipeline.pictures import (
    batches,
    constant_timeline,
    decoded,
    encode_all,
    make_lease,
    number_of,
    numbered,
    picture_format,
    planes_of,
)

TIMELINE = constant_timeline(30, Fraction(30000, 1001))
LOSSLESS = [
    ("h264", "yuv420p"),
    ("h264", "yuv422p10le"),
    ("hevc", "yuv444p12le"),
    ("vp9", "yuv420p"),
    ("ffv1", "yuv440p"),
    ("ffv1", "yuv444p16le"),
]


@pytest.mark.parametrize(("codec", "name"), LOSSLESS)
def test_lossless_parts_hold_every_sample(codec: str, name: str, tmp_path: Path) -> None:
    format = picture_format(name, 160, 96)
    spec = choose_encoding(format, TIMELINE, EncodeRequest(codec, qp=0), "mkv")
    [part] = encode_all(format, TIMELINE, spec, [0, 30], tmp_path)
    expected = numbered(format, np.arange(30))
    frames = decoded(Path(part.uri))
    assert len(frames) == 30
    for i, frame in enumerate(frames):
        assert all(np.array_equal(f, e[i]) for f, e in zip(planes_of(frame), expected, strict=True))


@pytest.mark.parametrize(("codec", "size"), [("vp9", (161, 91)), ("ffv1", (161, 91))])
def test_odd_sizes_survive(codec: str, size: tuple[int, int], tmp_path: Path) -> None:
    format = picture_format("yuv420p", *size)
    spec = choose_encoding(format, TIMELINE, EncodeRequest(codec, qp=0), "mkv")
    [part] = encode_all(format, TIMELINE, spec, [0, 30], tmp_path)
    expected = numbered(format, np.arange(30))
    for i, frame in enumerate(decoded(Path(part.uri))):
        assert all(np.array_equal(f, e[i]) for f, e in zip(planes_of(frame), expected, strict=True))


def test_padding_repeats_the_last_line(tmp_path: Path) -> None:
    format = picture_format("yuv420p", 161, 91)
    spec = choose_encoding(format, TIMELINE, EncodeRequest("h264", qp=0), "mkv")
    [part] = encode_all(format, TIMELINE, spec, [0, 30], tmp_path)
    luma = planes_of(decoded(Path(part.uri))[7])[0]
    source = numbered(format, np.array([7]))[0][0]
    assert np.array_equal(luma[:91, :161], source)
    assert np.array_equal(luma[91, :161], source[-1]) and np.array_equal(luma[:91, 161], source[:, -1])


def test_depth_and_chroma_change_by_the_stated_rules() -> None:
    layouts = {n: pixel_layout(n) for n in ("yuv420p", "yuv444p", "yuv420p10le", "yuv420p12le")}
    deep = tuple(np.full((1, h, w), v, np.uint16) for (h, w), v in (((2, 2), 4095), ((1, 1), 2), ((1, 1), 1)))
    ten = converted(deep, layouts["yuv420p12le"], layouts["yuv420p10le"])  # type: ignore[arg-type]
    assert [int(p.flat[0]) for p in ten] == [1023, 1, 0]
    chroma = np.array([[[10, 13], [20, 21]]], np.uint8)
    full = (np.zeros((1, 2, 2), np.uint8), chroma, chroma)
    half = converted(full, layouts["yuv444p"], layouts["yuv420p"])  # type: ignore[arg-type]
    assert half[1].tolist() == [[[16]]]
    back = converted(half, layouts["yuv420p"], layouts["yuv444p"])  # type: ignore[arg-type]
    assert back[1].shape == (1, 2, 2) and set(back[1].flat) == {16}


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "prores", "ffv1"])
def test_same_spec_gives_same_bytes_whatever_the_batches(codec: str, tmp_path: Path) -> None:
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(codec), "mkv")
    parts = [
        encode_all(format, TIMELINE, spec, [0, 30], tmp_path / str(k), size)[0] for k, size in enumerate((8, 30, 1))
    ]
    assert len({p.sha256 for p in parts}) == 1


def test_a_batch_may_cross_a_border(tmp_path: Path) -> None:
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(), "mp4")
    parts = encode_all(format, TIMELINE, spec, [0, 3, 4, 17, 30], tmp_path, size=11)
    numbers = [[number_of(f) for f in decoded(Path(p.uri))] for p in parts]
    assert numbers == [list(range(a, b)) for a, b in ((0, 3), (3, 4), (4, 17), (17, 30))]


def test_missing_or_displaced_frames_commit_nothing(tmp_path: Path) -> None:
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(), "mp4")
    lease = make_lease(TIMELINE, spec, [0, 10, 30], str(tmp_path / "work"))
    found: list[Part] = []
    with pytest.raises(StitchError, match="segment 1: 5 of 20 frames are missing"):
        found.extend(encode_lease(Storage({}), lease, batches(format, TIMELINE, stop=25), tmp_path))
    assert not (tmp_path / "work" / "part-1.mp4.json").exists()
    late = constant_timeline(30, Fraction(30000, 1001), start=1)
    with pytest.raises(StitchError, match="expected frame 0 at pts 0"):
        list(encode_lease(Storage({}), lease, batches(format, late), tmp_path))
    with pytest.raises(StitchError, match="more pictures came"):
        lease = make_lease(TIMELINE, spec, [0, 10], str(tmp_path / "other"))
        list(encode_lease(Storage({}), lease, batches(format, TIMELINE, stop=16), tmp_path))
    assert not list(tmp_path.glob("key*"))


def test_a_sidecar_tells_the_whole_part(tmp_path: Path) -> None:
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(), "mp4")
    [part] = encode_all(format, TIMELINE, spec, [0, 30], tmp_path)
    data = Storage({}).read(sidecar_uri(str(tmp_path / "work" / "part-0.mp4")))
    assert read_sidecar(data) == part and len(write_sidecar(part)) < 2000
    with pytest.raises(ValueError, match="not a part's sidecar"):
        read_sidecar(b'{"segment": 1, "colour": 2}')


def test_a_part_tells_what_others_know_of_it(tmp_path: Path) -> None:
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(), "mp4")
    lease = make_lease(TIMELINE, spec, [0, 10, 30], str(tmp_path / "work"))
    asked: list[int] = []

    def details(work: SegmentWork) -> PartDetails:
        asked.append(work.segment.number)
        return PartDetails({"repeated": work.segment.number}, {"decode": 0.5}, "here")

    parts = list(encode_lease(Storage({}), lease, batches(format, TIMELINE), tmp_path, details=details))
    assert asked == [0, 1] and [p.counts for p in parts] == [{"repeated": 0}, {"repeated": 1}]
    assert all(p.seconds["decode"] == 0.5 and p.seconds["encode"] > 0 and p.worker == "here" for p in parts)


class Failing(Storage):
    """Storage whose n-th write fails, before or after the bytes arrive."""

    def __init__(self, nth: int, after: bool) -> None:
        super().__init__({})
        object.__setattr__(self, "left", [nth])
        object.__setattr__(self, "after", after)

    def _fault(self) -> bool:
        self.left[0] -= 1  # type: ignore[attr-defined]
        return self.left[0] == 0  # type: ignore[attr-defined]

    def put_file(self, path, uri, *, create_only=False) -> None:  # type: ignore[no-untyped-def]
        fault = self._fault()
        if not fault or self.after:  # type: ignore[attr-defined]
            super().put_file(path, uri, create_only=create_only)
        if fault:
            raise StorageError("injected")

    def put_bytes(self, data, uri, *, create_only=False) -> None:  # type: ignore[no-untyped-def]
        fault = self._fault()
        if not fault or self.after:  # type: ignore[attr-defined]
            super().put_bytes(data, uri, create_only=create_only)
        if fault:
            raise StorageError("injected")


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_write_leaves_only_whole_parts(nth: int, after: bool, tmp_path: Path) -> None:
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(), "mp4")
    lease = make_lease(TIMELINE, spec, [0, 10, 30], str(tmp_path / "work"))
    done: list[Part] = []
    with pytest.raises(StorageError):
        done.extend(encode_lease(Failing(nth, after), lease, batches(format, TIMELINE), tmp_path))
    assert len(done) == (nth - 1) // 2
    sidecars = list((tmp_path / "work").glob("*.json"))
    assert len(sidecars) == math.floor((nth - (0 if after else 1)) / 2)
    for sidecar in sidecars:
        part = read_sidecar(sidecar.read_bytes())
        assert len(decoded(Path(part.uri))) == part.end - part.start
    again = list(encode_lease(Storage({}), lease, batches(format, TIMELINE), tmp_path))
    assert [p.end for p in again] == [10, 30] and again[: len(done)] == done
    assert not list(tmp_path.glob("key*"))


def test_two_drivers_agree_on_one_part(tmp_path: Path) -> None:
    """The loser of a race over a key answers with the winner's part, and its own bytes do not stay."""
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(), "mp4")
    other = choose_encoding(format, TIMELINE, EncodeRequest(crf=30), "mp4")
    first = encode_all(format, TIMELINE, spec, [0, 30], tmp_path)
    second = encode_all(format, TIMELINE, other, [0, 30], tmp_path)
    assert first == second
    assert len(list((tmp_path / "work").glob("part-0-*.mp4"))) == 1


@pytest.mark.parametrize("fault", ["part gone", "sidecar of another version"])
def test_a_sidecar_without_its_part_is_written_anew(fault: str, tmp_path: Path) -> None:
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(), "mp4")
    [first] = encode_all(format, TIMELINE, spec, [0, 30], tmp_path)
    sidecar = Path(sidecar_uri(str(tmp_path / "work" / "part-0.mp4")))
    if fault == "part gone":
        Path(first.uri).unlink()
    else:
        sidecar.write_bytes(b'{"unknown": 1}')
    other = choose_encoding(format, TIMELINE, EncodeRequest(crf=30), "mp4")
    [second] = encode_all(format, TIMELINE, other, [0, 30], tmp_path)
    assert second.uri != first.uri and read_sidecar(sidecar.read_bytes()) == second
    assert len(decoded(Path(second.uri))) == 30


def test_abort_leaves_no_file(tmp_path: Path) -> None:
    format = picture_format()
    spec = choose_encoding(format, TIMELINE, EncodeRequest(), "mp4")
    encoder = PartEncoder(spec, tmp_path / "part.mp4")
    encoder.write(next(batches(format, TIMELINE)))
    encoder.abort()
    assert not list(tmp_path.iterdir())


def test_pictures_of_another_size_than_planned_are_refused(tmp_path: Path) -> None:
    """Padding is for odd sizes: a frame that is too small must not be filled up in silence."""
    planned, came = picture_format("yuv420p", 320, 192), picture_format("yuv420p", 160, 96)
    spec = choose_encoding(planned, TIMELINE, EncodeRequest("h264"), "mp4")
    with pytest.raises(StitchError, match="pictures of 160x96 came to be encoded, expected 320x192"):
        encode_all(came, TIMELINE, spec, [0, 30], tmp_path)
