"""Every frame asked for comes out once, exact, however the video is cut."""

import hashlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode import Counts, decode_lease, decode_source_frames
from pipeline.index import SourceIndex
from pipeline.part import EncodeSpec
from pipeline.probe import probe
from pipeline.segments import Segment
from pipeline.storage import Storage
from pipeline.work import Lease, SegmentWork
from tasks.errors import SourceError
from tests.sources import KINDS, LINEAR_KINDS, Sources, number_in, sequential

_STORAGE = Storage()


def lease_of(index: SourceIndex, *stretches: "list[int]", batch_frames: int = 8, **values: object) -> Lease:
    """A lease whose works show these source frames, numbered on from 0."""
    works, at = [], 0
    for number, frames in enumerate(stretches):
        spec = EncodeSpec("ffv1", "yuv420p", 0, 0, Fraction(1, 25), Fraction(25), (), index.format.colour, Fraction(1))
        end = at + len(frames)
        works.append(
            SegmentWork(
                Segment(number, at, end),
                np.array(frames, np.int64),
                np.arange(at, end),
                end,
                (),
                spec,
                "key",
                "uri",
            )
        )
        at = end
    return Lease(tuple(works), batch_frames, **values)  # type: ignore[arg-type]


def digests(batches: "object") -> list[str]:
    """One digest a picture, over all its planes."""
    found = []
    for batch in batches:  # type: ignore[attr-defined]
        found += [hashlib.sha1(b"".join(p[i].tobytes() for p in batch.planes)).hexdigest() for i in range(len(batch))]
    return found


def plain_digests(path: Path, stream: int | None = None) -> list[str]:
    """The same from a plain decode of the whole file."""
    found = []
    for frame in sequential(path, stream):
        sha, size = hashlib.sha1(), max(1, (frame.format.components[0].bits + 7) // 8)
        for plane in frame.planes:
            rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
            sha.update(rows[: plane.height, : plane.width * size].tobytes())
        found.append(sha.hexdigest())
    return found


def cuts_of(index: SourceIndex) -> dict[str, list[int]]:
    """Borders at fixed steps, at keyframes, and around them."""
    keys = [int(k) for k in index.split_points if 0 < k < index.frames]
    around = sorted({k + d for k in keys[:40] for d in (-3, -2, -1, 0, 1) if 0 < k + d < index.frames})
    return {
        "37": list(range(37, index.frames, 37)),
        "key": keys[::8] if len(keys) > 40 else keys,
        "around": around,
    }


_EXACT_KINDS = [k for k in KINDS if k not in LINEAR_KINDS and k != "gif"]


@pytest.mark.parametrize("kind", _EXACT_KINDS)
def test_segments_decode_as_the_whole(kind: str, sources: Sources) -> None:
    path = sources.path(kind)
    index = probe(_STORAGE, str(path))
    whole = plain_digests(path)
    assert index.mode == "random"
    assert index.frame_pts.tolist() == [frame.pts for frame in sequential(path)]
    assert len(set(whole)) == len(whole) == index.frames
    for name, cuts in cuts_of(index).items():
        pieces = []
        for start, end in pairwise([0, *cuts, index.frames]):
            pieces += digests(decode_source_frames(_STORAGE, index, start, end, 16))
        assert pieces == whole, (
            f"cut at {name}: {[i for i, (a, b) in enumerate(zip(pieces, whole, strict=False)) if a != b][:5]}"
        )


@pytest.mark.parametrize("kind", LINEAR_KINDS)
def test_linear_sources_are_told_and_decode_as_the_whole(kind: str, sources: Sources) -> None:
    path = sources.path(kind)
    index = probe(_STORAGE, str(path))
    assert index.mode == "linear" and index.reason
    cuts = [0, 37, 50, 149, index.frames]
    lease = lease_of(index, *(list(range(a, b)) for a, b in pairwise(cuts)))
    assert digests(decode_lease(_STORAGE, index, lease)) == plain_digests(path)
    assert np.all(np.diff(index.frame_pts) > 0)


def test_a_short_clip_of_intra_refresh_is_split_and_exact(sources: Sources) -> None:
    """Its later keyframes start nothing exactly, so all decoding begins at its first: short enough to be cheap."""
    path = sources.path("short intra-refresh mp4")
    index = probe(Storage({}), str(path))
    assert index.mode == "random" and index.split_points.tolist() == [0]
    whole = plain_digests(path)
    for start in (1, 47, 48, 49, 95, 97, len(whole) - 1):
        assert digests(decode_source_frames(Storage({}), index, start, len(whole), 8)) == whole[start:]


def test_a_linear_lease_may_leave_out_parts_that_exist(sources: Sources) -> None:
    path = sources.path("duplicate-pts ts")
    index = probe(_STORAGE, str(path))
    lease = lease_of(index, list(range(30, 60)), list(range(200, 230)))
    whole = plain_digests(path)
    assert digests(decode_lease(_STORAGE, index, lease)) == whole[30:60] + whole[200:230]


def test_a_linear_source_is_not_run_backwards(sources: Sources) -> None:
    index = probe(_STORAGE, str(sources.path("single keyframe mp4")))
    with pytest.raises(ValueError, match="one pass"):
        list(decode_lease(_STORAGE, index, lease_of(index, [5, 4])))


@pytest.mark.parametrize("kind", ["open mp4", "open ts", "vfr mkv", "edit-list trim mp4"])
def test_frames_come_in_any_order_asked_for(kind: str, sources: Sources) -> None:
    path = sources.path(kind)
    index, whole = probe(_STORAGE, str(path)), plain_digests(path)
    n = index.frames
    asked = [
        [0, 0, 0, 1, 1, 5, 5, n - 1],
        list(range(n)) + list(range(n - 2, 0, -1)) + list(range(n)),
        list(range(n)) * 2,
        [n - 1, n - 1, 3, 2, 2, 50, 49, 0],
        list(range(0, n, 3)),
    ]
    batches = list(decode_lease(_STORAGE, index, lease_of(index, *asked, batch_frames=7)))
    flat = [f for frames in asked for f in frames]
    assert digests(batches) == [whole[f] for f in flat]
    assert np.concatenate([b.source_frames for b in batches]).tolist() == flat
    assert np.concatenate([b.pts for b in batches]).tolist() == list(range(len(flat)))
    borders = {b.first_frame for b in batches}
    assert all(sum(map(len, asked[:i])) in borders for i in range(len(asked)))
    assert max(map(len, batches)) == 7


def test_a_reversed_stretch_is_held_in_bounded_windows(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sources.path("open mp4")
    index = probe(_STORAGE, str(path))
    monkeypatch.setattr("pipeline.runs._REVERSED_BYTES", 10 * index.format.frame_bytes)
    backwards = list(range(index.frames - 1, -1, -1))
    assert digests(decode_lease(_STORAGE, index, lease_of(index, backwards))) == plain_digests(path)[::-1]


def test_batches_are_read_only(sources: Sources) -> None:
    index = probe(_STORAGE, str(sources.path("open mp4")))
    batch = next(decode_source_frames(_STORAGE, index, 0, 4, 4))
    with pytest.raises(ValueError, match="read-only"):
        batch.planes[0][0, 0, 0] = 1


def _hole(data: bytes) -> bytes:
    return data[: 200 * 188] + data[260 * 188 :]


_BROKEN = {
    "recorded from the middle, hevc": ("hevc ts", lambda data: data[100 * 188 :]),
    "recorded from the middle, mpeg2": ("mpeg2 ts", lambda data: data[100 * 188 :]),
    "recorded from the middle, interlaced": ("interlaced ts", lambda data: data[200 * 188 :]),
    "recorded from the middle, program stream": ("mpeg2 mpg", lambda data: data[40 * 2048 :]),
    "packets lost on the way": ("open ts", _hole),
    "broken off, mkv": ("open mkv", lambda data: data[: len(data) * 2 // 3]),
    "broken off, avi": ("mpeg4 avi", lambda data: data[: len(data) * 2 // 3]),
}


@pytest.mark.parametrize("name", list(_BROKEN))
def test_a_broken_recording_decodes_as_far_as_a_plain_decode(name: str, sources: Sources, tmp_path: Path) -> None:
    kind, breaking = _BROKEN[name]
    whole_file = sources.path(kind)
    path = tmp_path / f"broken{whole_file.suffix}"
    path.write_bytes(breaking(whole_file.read_bytes()))
    index, whole = probe(_STORAGE, str(path)), plain_digests(path)
    assert index.frames == len(whole) < 150
    assert ("which cannot be decoded" in " ".join(index.dropped)) == ("middle" in name)
    middle = index.frames // 2
    assert digests(decode_source_frames(_STORAGE, index, 0, middle, 16)) == whole[:middle]
    assert digests(decode_source_frames(_STORAGE, index, middle, index.frames, 16)) == whole[middle:]


def test_every_source_frame_shows_its_own_number(sources: Sources) -> None:
    index = probe(_STORAGE, str(sources.path("open mp4")))
    numbers = [
        number_in(luma) for b in decode_source_frames(_STORAGE, index, 0, index.frames, 16) for luma in b.planes[0]
    ]
    assert numbers == list(range(index.frames))


def test_thread_count_changes_no_pixel(sources: Sources) -> None:
    index = probe(_STORAGE, str(sources.path("open mp4")))
    one, two = (digests(decode_source_frames(_STORAGE, index, 20, 70, 16, thread_count=count)) for count in (1, 2))
    assert one == two


def _damaged_copy(sources: Sources, folder: Path, frame: int) -> "tuple[Path, SourceIndex]":
    """An open-GOP mp4 with the payload of one frame overwritten so that it does not decode."""
    source = sources.path("closed mp4")
    index = probe(_STORAGE, str(source))
    pos, size = (int(v) for v in index.packets[index.frame_packets[frame], 3:5])
    data = bytearray(source.read_bytes())
    data[pos : pos + size] = b"\xff" * size
    path = folder / "damaged.mp4"
    path.write_bytes(data)
    return path, probe(_STORAGE, str(path))


def test_a_damaged_frame_fails_and_is_named(sources: Sources, tmp_path: Path) -> None:
    _, index = _damaged_copy(sources, tmp_path, 60)
    with pytest.raises(SourceError, match=r"segment 1, source frame 60 \(pts \d+, 2\.400 s\).*--damaged repeat"):
        list(decode_lease(_STORAGE, index, lease_of(index, list(range(50)), list(range(50, 100)))))


@pytest.mark.parametrize("cuts", [[0, 150], [0, 60, 150], [0, 61, 150], [0, 30, 60, 61, 62, 150]])
def test_a_damaged_frame_repeats_the_one_before_wherever_it_is_cut(
    sources: Sources, tmp_path: Path, cuts: list[int]
) -> None:
    _, index = _damaged_copy(sources, tmp_path, 60)
    uncut = digests(decode_lease(_STORAGE, index, lease_of(index, list(range(index.frames)), damaged="repeat")))
    counts: Counts = {}
    got: list[str] = []
    for a, b in pairwise(cuts):
        lease = lease_of(index, list(range(a, b)), damaged="repeat")
        got += digests(decode_lease(_STORAGE, index, lease, counts=counts))
    assert sum(found.get("repeated", 0) for found in counts.values()) == 1
    assert got == uncut and got[60] == got[59] and len(got) == index.frames
    whole = plain_digests(sources.path("closed mp4"))
    assert got[:48] == whole[:48] and got[96:] == whole[96:]


def test_a_source_that_changed_is_refused(sources: Sources, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(sources.path("open mp4").read_bytes())
    index = probe(_STORAGE, str(path))
    path.write_bytes(sources.path("closed mp4").read_bytes())
    with pytest.raises(SourceError, match="changed since it was indexed"):
        list(decode_source_frames(_STORAGE, index, 0, 5, 4))
    path.unlink()
    with pytest.raises(SourceError, match="now is gone"):
        list(decode_source_frames(_STORAGE, index, 0, 5, 4))
