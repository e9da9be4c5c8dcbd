"""Parts that do not fit are refused, racers and failing writes leave nothing half-written."""

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.stitch import stitch, verify
from pipeline.storage import Storage
from pipeline.storage_errors import AlreadyThere
from tasks.errors import StitchError, StorageError
from tests.pipeline.pictures import constant_timeline, decoded, encode_all, picture_format
from tests.pipeline.stitching import stitched


def test_two_stitchers_racing_leave_one_whole_output(tmp_path: Path) -> None:
    timeline, spec, parts, request = stitched(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(stitch, Storage({}), parts, timeline, spec, request, tmp_path / str(i)) for i in range(4)]
    errors = [r.exception() for r in runs]
    assert errors.count(None) == 1 and all(isinstance(e, AlreadyThere) for e in errors if e is not None)
    assert len(decoded(Path(request.output_uri))) == 20


def test_forged_headers_are_caught_before_the_output_is_written(tmp_path: Path) -> None:
    timeline, spec, parts, request = stitched(tmp_path)
    other = dataclasses.replace(spec, options=tuple({**dict(spec.options), "x264-params": "cabac=0:ref=5"}.items()))
    forged = encode_all(picture_format(), timeline, other, [0, 8, 20], tmp_path / "other")[1]
    for second in (forged, dataclasses.replace(forged, extradata_sha256=parts[0].extradata_sha256)):
        with pytest.raises(StitchError, match="encoder headers differ"):
            stitch(Storage({}), [parts[0], second], timeline, spec, request, tmp_path / "work")
    assert not (tmp_path / "out").exists() and not list((tmp_path / "work").glob("output*"))


def test_missing_doubled_and_altered_parts_are_refused(tmp_path: Path) -> None:
    timeline, spec, parts, request = stitched(tmp_path)
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
    timeline, spec, parts, request = stitched(tmp_path)
    first = stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work")
    again = dataclasses.replace(request, overwrite=True)
    assert stitch(Storage({}), parts[::-1], timeline, spec, again, tmp_path / "work").sha256 == first.sha256


def test_an_output_is_never_overwritten_unasked(tmp_path: Path) -> None:
    timeline, spec, parts, request = stitched(tmp_path)
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

    timeline, spec, parts, request = stitched(tmp_path)
    with pytest.raises(StorageError):
        stitch(Broken({}), parts, timeline, spec, request, tmp_path / "work")
    assert not (tmp_path / "out").exists() and not list((tmp_path / "work").glob("output*"))
    assert stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work").frames == 20


def test_parts_in_an_object_store_are_fetched_one_at_a_time(tmp_path: Path) -> None:
    timeline, spec, parts, request = stitched(tmp_path)
    remote = []
    for part in parts:
        uri = f"memory://parts/{Path(part.uri).name}"
        Storage({}).put_file(part.uri, uri)
        remote.append(dataclasses.replace(part, uri=uri))
    request = dataclasses.replace(request, output_uri="memory://out/film.mp4")
    done = stitch(Storage({}), remote, timeline, spec, request, tmp_path / "scratch")
    assert hashlib.sha256(Storage({}).read("memory://out/film.mp4")).hexdigest() == done.sha256
    assert [p.name for p in (tmp_path / "scratch").iterdir()] == [".held"]


def test_verify_sees_a_lost_frame(tmp_path: Path) -> None:
    timeline, spec, parts, request = stitched(tmp_path)
    stitch(Storage({}), parts, timeline, spec, request, tmp_path / "work")
    verify(Path(request.output_uri), timeline.pts, timeline.time_base)
    with pytest.raises(StitchError, match="the 20 frames found are not the 21 planned"):
        verify(Path(request.output_uri), constant_timeline(21).pts, timeline.time_base)
