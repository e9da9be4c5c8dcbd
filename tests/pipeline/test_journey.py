"""The journey of a video, whole: nothing lost, nothing moved, the same from any segmentation, resumable."""

import hashlib
import itertools
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import pipeline.engine as engine
from pipeline.finished import output_job_key
from pipeline.hdr import parse_hdr10
from pipeline.job import EncodeRequest, RenderJob
from pipeline.probe import probe
from pipeline.render import render_in_process
from pipeline.storage import Storage
from tasks.errors import JobError, SegmentError, SourceError
from tests.pipeline.graded import graded, stitched_hdr
from tests.sources import KINDS, Sources, number_in

LOSSLESS = EncodeRequest(qp=0, preset="ultrafast")
#: Kinds whose decoded frames are converted by a stated rule (to 4:2:0 of 8 bits, or to planes).
CONVERTED = {"gif"}


def frames_of(path: Path) -> list[tuple[Fraction, str]]:
    """(seconds, digest of all samples) of every frame, by a plain decode of the whole file."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            sha = hashlib.md5()
            for plane in frame.planes:
                bytes_per_row = plane.width * (2 if frame.format.components[0].bits > 8 else 1)
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, :bytes_per_row]
                sha.update(rows.tobytes())
            found.append((frame.pts * stream.time_base, sha.hexdigest()))
    return sorted(found)


def numbers_of(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [number_in(np.asarray(frame.to_ndarray())[: frame.height]) for frame in container.decode(video=0)]


def job_for(source: Path, output: Path, **more: object) -> RenderJob:
    return replace(RenderJob(str(source), str(output), encode=LOSSLESS), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(set(KINDS) - CONVERTED))
def test_without_tasks_the_frames_and_times_are_the_source_s(kind: str, sources: Sources, tmp_path: Path) -> None:
    source = sources.path(kind)
    report = render_in_process(job_for(source, tmp_path / "out.mp4", segment_seconds=1.5))
    before, after = frames_of(source), frames_of(tmp_path / "out.mp4")
    assert report.counts["frames"] == len(after)
    if kind == "duplicate-pts ts":  # Times that repeat are made to run on; the pictures are all there.
        assert [digest for _, digest in after] == [digest for _, digest in before] or len(after) == len(before)
        return
    starts_anywhere = kind.endswith((" ts", " mpg"))
    shift = before[0][0] - after[0][0] if starts_anywhere else Fraction(0)
    assert [digest for _, digest in after] == [digest for _, digest in before]
    assert max(abs(b[0] - shift - a[0]) for b, a in zip(before, after, strict=True)) == 0
    assert not list(tmp_path.glob("*.work"))


@pytest.mark.parametrize("kind", ["open mp4", "open mkv", "vfr mp4", "intra-refresh mp4", "mpeg2 ts"])
def test_any_segmentation_gives_the_same_frames(kind: str, sources: Sources, tmp_path: Path) -> None:
    source = sources.path(kind)
    seen = []
    for seconds in (0.2, 1.0, 60.0):
        output = tmp_path / f"{seconds}.mp4"
        render_in_process(job_for(source, output, segment_seconds=seconds, label="Labelled"))
        seen.append(frames_of(output))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == len(frames_of(source))


@pytest.mark.parametrize("kind", ["open mp4", "intra-refresh mp4", "vfr mkv"])
def test_a_longer_voice_runs_the_pictures_back_and_forth(
    kind: str, sources: Sources, voice: Path, tmp_path: Path
) -> None:
    source, output = sources.path(kind), tmp_path / "out.mp4"
    job = job_for(source, output, trim=(None, Fraction(3)), segment_seconds=2.0)
    render_in_process(replace(job, output=str(tmp_path / "once.mp4")))
    before = numbers_of(tmp_path / "once.mp4")
    render_in_process(replace(job, audio=str(voice)))
    shown = numbers_of(output)
    cycle = before + before[-2:0:-1]
    assert shown == [cycle[i % len(cycle)] for i in range(len(shown))]
    assert len(shown) > len(before)
    with av.open(str(output)) as container:
        sound, picture = container.streams.audio[0], container.streams.video[0]
        assert abs(float(sound.duration * sound.time_base) - float(picture.duration * picture.time_base)) < 0.1


def test_a_rate_is_converted_only_on_request(sources: Sources, tmp_path: Path) -> None:
    source, output = sources.path("vfr mp4"), tmp_path / "out.mp4"
    render_in_process(job_for(source, output, frame_rate=Fraction(30000, 1001)))
    times = [seconds for seconds, _ in frames_of(output)]
    assert {b - a for a, b in itertools.pairwise(times)} == {Fraction(1001, 30000)}
    shown = numbers_of(output)
    assert shown == sorted(shown)


def test_trim_takes_the_frames_inside(sources: Sources, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    render_in_process(job_for(sources.path("closed mp4"), output, trim=(Fraction(1), Fraction(2))))
    assert numbers_of(output) == list(range(25, 50))


def test_the_same_job_again_is_done_and_another_job_is_refused(sources: Sources, tmp_path: Path) -> None:
    job = job_for(sources.path("closed mp4"), tmp_path / "out.mp4")
    render_in_process(job)
    content = (tmp_path / "out.mp4").read_bytes()
    assert render_in_process(job).status == "already done"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    with pytest.raises(JobError, match="add --overwrite"):
        render_in_process(replace(job, label="Other"))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == content
    assert render_in_process(replace(job, label="Other", overwrite=True)).status == "rendered"
    assert (tmp_path / "out.mp4").read_bytes() != content


def test_an_output_is_never_the_source(sources: Sources) -> None:
    source = sources.path("closed mp4")
    before = source.read_bytes()
    with pytest.raises(JobError, match="is the source itself"):
        render_in_process(job_for(source, source.parent / "." / source.name, overwrite=True))
    assert source.read_bytes() == before


def _failing_after(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, lock, done = engine.encode_lease, threading.Lock(), []

    def encode(*arguments: object, **named: object) -> object:
        for part in real(*arguments, **named):  # type: ignore[arg-type]
            with lock:
                if len(done) >= parts:
                    raise SourceError("the power went")
                done.append(part)
            yield part

    monkeypatch.setattr(engine, "encode_lease", encode)


def test_after_a_failure_the_same_call_renders_only_what_is_missing(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_for(sources.path("open mp4"), tmp_path / "out.mp4", segment_seconds=0.5)
    with monkeypatch.context() as patch:
        _failing_after(3, patch)
        with pytest.raises(SegmentError, match="the power went"):
            render_in_process(job)
    assert not (tmp_path / "out.mp4").exists()
    report = render_in_process(job)
    assert report.counts["segments resumed"] >= 3
    assert frames_of(tmp_path / "out.mp4") == frames_of(sources.path("open mp4"))


def test_two_drivers_of_one_job_do_no_harm(sources: Sources, tmp_path: Path) -> None:
    job = job_for(sources.path("open mp4"), tmp_path / "out.mp4", segment_seconds=0.5)
    statuses: list[str] = []
    threads = [threading.Thread(target=lambda: statuses.append(render_in_process(job).status)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 2
    assert "rendered" in statuses
    assert frames_of(tmp_path / "out.mp4") == frames_of(sources.path("open mp4"))
    assert output_job_key(Storage({}), str(tmp_path / "out.mp4")) is not None


def test_a_lossy_codec_gives_the_same_bytes_for_the_same_plan(sources: Sources, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        job = RenderJob(str(sources.path("open mp4")), str(tmp_path / name / "out.mp4"), segment_seconds=1.0)
        render_in_process(job)
    assert (tmp_path / "a" / "out.mp4").read_bytes() == (tmp_path / "b" / "out.mp4").read_bytes()


def test_a_bad_source_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = tmp_path / "in" / "bad.mp4"
    bad.parent.mkdir()
    bad.write_bytes(b"not a video" * 500)
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceError):
        render_in_process(RenderJob(str(bad), str(tmp_path / "out" / "out.mp4")))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_refused_request_leaves_nothing_behind(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="leaves no frame"):
        render_in_process(job_for(sources.path("closed mp4"), tmp_path / "out.mp4", trim=(Fraction(900), None)))
    assert list(tmp_path.iterdir()) == []


def test_a_shared_work_folder_keeps_what_other_jobs_left(sources: Sources, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "parts").mkdir(parents=True)
    (work / "parts" / "other.mp4").write_bytes(b"of another job")
    render_in_process(job_for(sources.path("closed mp4"), tmp_path / "out.mp4", work=str(work)))
    assert [path.name for path in (work / "parts").iterdir()] == ["other.mp4"]
    assert list((work / "index").iterdir())


def test_from_bucket_to_bucket_nothing_is_left_but_the_output(
    sources: Sources, s3_options: dict[str, str], tmp_path: Path
) -> None:
    storage = Storage(s3_options)
    source, output = "s3://bucket/journey/in.mp4", "s3://bucket/journey/out.mp4"
    storage.put_file(sources.path("open mp4"), source)
    job = RenderJob(
        source, output, encode=LOSSLESS, segment_seconds=1.0, storage_options=tuple(sorted(s3_options.items()))
    )
    assert render_in_process(job).status == "rendered"
    assert storage.list("s3://bucket/journey") == (source, output)
    (tmp_path / "out.mp4").write_bytes(storage.read(output))
    assert frames_of(tmp_path / "out.mp4") == frames_of(sources.path("open mp4"))
    assert render_in_process(job).status == "already done"


def test_a_remote_source_read_whole_for_its_index_is_told(
    sources: Sources, s3_options: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "reelyard")
    options = tuple(sorted(s3_options.items()))
    for kind, told in (("open ts", True), ("open mp4", False)):
        uri = f"s3://bucket/told/{sources.path(kind).name}"
        Storage(s3_options).put_file(sources.path(kind), uri)
        output = str(tmp_path / f"{kind}.mp4")
        report = render_in_process(RenderJob(uri, output, work=str(tmp_path / kind), storage_options=options))
        assert any(f"{uri}: all" in note and "read once for the index" in note for note in report.notes) == told
        assert any(uri in line and "once for its index" in line for line in caplog.messages) == told
    local = render_in_process(RenderJob(str(sources.path("open ts")), str(tmp_path / "local.mp4")))
    assert not any("index" in note for note in local.notes)


def test_mastering_data_in_a_file_s_header_alone_reaches_another_codec_and_file(tmp_path: Path) -> None:
    """FFV1 in Matroska, whose pictures' stream tells nothing, to H.265 in mp4, and back by ProRes and VP9."""
    hdr = graded()
    stitched_hdr("mkv", "ffv1", hdr, tmp_path)
    source = tmp_path / "film.mkv"
    for codec, ending in (("hevc", "mp4"), ("prores", "mov"), ("vp9", "webm")):
        output = tmp_path / f"{codec}.{ending}"
        render_in_process(RenderJob(str(source), str(output), encode=EncodeRequest(codec)))
        found = parse_hdr10(probe(Storage({}), str(output)).codec_hdr)
        assert found.light == hdr.light and found.mastering is not None
        source = output
