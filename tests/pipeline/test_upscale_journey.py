"""Pictures made larger, whole: every frame there in its time, the same from any segmentation, told before and after."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from pipeline.facts import plan_facts
from pipeline.job import EncodeRequest, RenderJob
from pipeline.prepare import check_request, check_scratch, prepare
from pipeline.render import leases, render_in_process, segment_works
from pipeline.storage import Storage
from tasks import side_by_side
from tasks.errors import JobError, ResourceShortage, SegmentError, StorageError, WeightsError
from tasks.nets.detail_net import DetailNet
from tasks.picture import BATCH_BYTES
from tasks.residency import residents
from tasks.table import parse_task
from tasks.task import TaskPlan
from tests.pipeline.test_journey import frames_of
from tests.sources import HEIGHT, WIDTH, Sources, encode, number_in

FRAMES = 26
_SIZE = Storage.size


def _job(source: Path, output: Path, task: str = "upscale", **more: object) -> RenderJob:
    job = RenderJob(
        str(source), str(output), tasks=(parse_task(task),), trim=(None, Fraction(FRAMES, 25)),
        encode=EncodeRequest(qp=0, preset="ultrafast"),
    )  # fmt: skip
    return replace(job, **more)  # type: ignore[arg-type]


def _numbers(path: Path, factor: int) -> list[int]:
    """The frame numbers drawn in pictures that are `factor` times as large."""
    with av.open(str(path)) as container:
        lumas = [np.asarray(frame.to_ndarray())[: frame.height] for frame in container.decode(video=0)]
    return [number_in(luma[factor // 2 :: factor, factor // 2 :: factor]) for luma in lumas]


def _size(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        return container.streams.video[0].width, container.streams.video[0].height


@pytest.mark.parametrize("task", ["upscale", "upscale:factor=3"])
def test_one_segment_and_many_draw_alike(task: str, sources: Sources, tmp_path: Path) -> None:
    source, seen, cuts = sources.path("no-B mp4"), [], []
    for seconds in (0.3, 60.0):
        output = tmp_path / f"{seconds}.mp4"
        report = render_in_process(_job(source, output, task, segment_seconds=seconds, trim=(None, Fraction(54, 25))))
        seen.append(frames_of(output))
        cuts.append(report.counts["segments"])
    assert cuts[0] > 1 == cuts[1]
    assert seen[0] == seen[1]
    assert len(seen[0]) == 54


@pytest.mark.parametrize(
    "kind", ["open mp4", "vfr mp4", "10-bit mkv", "prores mov", "negative cts mp4", "intra-refresh mp4"]
)
def test_every_frame_is_there_in_its_time(kind: str, sources: Sources, tmp_path: Path) -> None:
    source, output = sources.path(kind), tmp_path / "out.mkv"
    plain = tmp_path / "plain.mkv"
    render_in_process(_job(source, output, segment_seconds=0.5))
    render_in_process(_job(source, plain, "identity"))
    assert [time for time, _ in frames_of(output)] == [time for time, _ in frames_of(plain)]
    assert _size(output) == (2 * WIDTH, 2 * HEIGHT)
    with av.open(str(output)) as container, av.open(str(plain)) as before:
        formats = [c.streams.video[0].codec_context.pix_fmt for c in (container, before)]
    assert formats[0] == formats[1], "depth and chroma are the source's"
    if "yuv420p" in formats:
        assert _numbers(output, 2) == _numbers(plain, 1)


def _still(path: Path, width: int, height: int, pixel_format: str) -> Path:
    """Three frames of a gradient in any size and format."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for number in range(3):
            ramp = np.indices((height, width)).sum(0) * 2 % 200 + 20
            rgb = np.stack([ramp, ramp[::-1], np.full_like(ramp, 90 + number)], -1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pixel_format)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("size", "pixel_format", "expected"),
    [((161, 121), "yuv420p", (483, 363)), ((67, 41), "yuv444p10le", (201, 123)), ((66, 41), "yuv422p", (198, 123))],
)
def test_odd_sizes_and_other_chroma_are_exactly_three_times_as_large(
    size: tuple[int, int], pixel_format: str, expected: tuple[int, int], tmp_path: Path
) -> None:
    source = _still(tmp_path / "in.mkv", *size, pixel_format)
    job = _job(source, tmp_path / "out.mkv", "upscale:factor=3", trim=(None, None), encode=EncodeRequest("ffv1"))
    report = render_in_process(job)
    assert _size(tmp_path / "out.mkv") == expected
    assert not any("padded" in note for note in report.notes)


def test_a_turned_source_grows_as_it_is_stored_and_stays_turned(tmp_path: Path) -> None:
    straight = encode(tmp_path / "straight.mp4", "libx264", frames=range(8), audio=None)
    turned = tmp_path / "turned.mp4"
    with av.open(str(straight)) as before, av.open(str(turned), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0], opaque=True)
        stream.set_display_rotation(90)
        for packet in before.demux(video=0):
            if packet.size:
                packet.stream = stream
                after.mux(packet)
    kept, baked = tmp_path / "kept.mp4", tmp_path / "baked.mp4"
    job = _job(turned, kept, f"upscale:height={2 * WIDTH}", trim=(None, None), label="a test")
    render_in_process(job)
    render_in_process(replace(job, output=str(baked), bake_rotation=True))
    assert (_size(kept), _size(baked)) == ((2 * WIDTH, 2 * HEIGHT), (2 * HEIGHT, 2 * WIDTH))
    with av.open(str(kept)) as container:
        assert abs(next(container.decode(video=0)).rotation) == 90
    assert _numbers(kept, 2) == list(range(8))


def test_the_label_is_drawn_at_the_new_size(sources: Sources, tmp_path: Path) -> None:
    source = sources.path("closed mp4")
    plain, labelled = tmp_path / "plain.mp4", tmp_path / "labelled.mp4"
    job = _job(source, plain, trim=(None, Fraction(4, 25)))
    render_in_process(job)
    render_in_process(replace(job, output=str(labelled), label="a test"))

    def first(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            return np.asarray(next(container.decode(video=0)).to_ndarray())[: 2 * HEIGHT]

    rows, columns = np.nonzero(first(plain) != first(labelled))
    assert rows.min() > HEIGHT and rows.max() < 2 * HEIGHT
    assert 3 < columns.max() - columns.min() < 2 * WIDTH
    middle = (columns.max() + columns.min()) / 2
    assert abs(middle - WIDTH) < 3, "in the middle of the larger picture"


def test_the_plan_and_the_report_tell_the_new_size(sources: Sources, tmp_path: Path) -> None:
    job = _job(sources.path("closed mp4"), tmp_path / "out.mp4", "upscale:height=336")
    plan = prepare(Storage(), job, cached=False)
    facts = plan_facts(plan)
    assert (facts["width"], facts["height"]) == (3 * WIDTH, 336)
    told = f"size {WIDTH}x{HEIGHT} becomes {3 * WIDTH}x336: every pixel is drawn anew, none is the source's"
    assert told in plan.notes
    report = render_in_process(job)
    assert told in report.notes
    assert (report.encode["width"], report.encode["height"]) == (3 * WIDTH, 336)
    assert (report.source_facts["width"], report.source_facts["height"]) == (WIDTH, HEIGHT)


def test_batches_and_scratch_are_counted_by_the_larger_pictures(sources: Sources, tmp_path: Path) -> None:
    job = _job(sources.path("closed mp4"), tmp_path / "out.mp4", "upscale:height=896", encode=EncodeRequest(qp=0))
    plan = prepare(Storage(), job, cached=False)
    works = segment_works(plan, [TaskPlan()], "cpu-fp32")
    frame_bytes = 8 * WIDTH * 8 * HEIGHT * 3 // 2
    assert leases(plan, works)[0].batch_frames == BATCH_BYTES // frame_bytes
    few = type("Usage", (), {"free": int(0.5 * FRAMES * frame_bytes)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: few)
        with pytest.raises(ResourceShortage, match="about 0.0 GB needed|free, about"):
            check_scratch(plan, tmp_path)


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        ("upscale:height=64", JobError, "height=64 is less than the source's 112 lines as shown"),
        ("upscale:factor=2,height=224", JobError, "found factor=2 and height=224, expected one of them"),
        ("upscale:model=realesrgan-x5", JobError, "realesrgan-x5"),
        ("upscale:model=wav2lip", JobError, "model=wav2lip is wav2lip-96, for lip sync; expected one of embedded"),
        ("upscale:model=/nowhere/net.pth", WeightsError, "/nowhere/net.pth: no such file of weights"),
    ],
)
def test_what_cannot_be_made_is_refused_before_any_work(
    task: str, error: type[Exception], words: str, sources: Sources, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(error) as refused:
        render_in_process(_job(sources.path("closed mp4"), output, task))
    assert words in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_weights_that_cannot_be_had_are_told_before_any_work(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Storage, "size", _no_network)
    job = _job(sources.path("closed mp4"), tmp_path / "out.mp4", "upscale:model=realesr-animevideov3")
    check_request(Storage(), job)
    with pytest.raises(WeightsError, match="realesr-animevideov3: could not be fetched.*reelyard models fetch"):
        render_in_process(job)
    assert not (tmp_path / "out.mp4").exists()


def _no_network(self: Storage, uri: str) -> int:
    if uri.startswith("https:"):
        raise StorageError(f"{uri}: no route to host")
    return _SIZE(self, uri)


@pytest.fixture
def fresh_ladder() -> object:
    residents._open.clear()
    yield
    residents._open.clear()


@pytest.mark.usefixtures("fresh_ladder")
def test_want_of_memory_in_a_render_is_answered_and_told_in_the_report(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = DetailNet.forward
    source, narrow, wide = sources.path("closed mp4"), tmp_path / "narrow.mp4", tmp_path / "wide.mp4"
    monkeypatch.setattr(side_by_side, "_processors", lambda: 2)
    render_in_process(_job(source, wide))

    def forward(network: DetailNet, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] * x.shape[3] > 100 * 100:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")
        return plain(network, x)

    monkeypatch.setattr(DetailNet, "forward", forward)
    report = render_in_process(_job(source, narrow, segment_seconds=0.5))
    steps = {name: times for name, times in report.counts.items() if name.startswith("upscale")}
    of = f"upscale embedded of {WIDTH}x{HEIGHT}"
    assert any(name.startswith("frames enlarged by embedded, eager at fp32 (") for name in report.counts)
    assert steps == {f"{of}: halve: batch 2 → 1": 1, f"{of}: tile: tile whole frame → 96": 1}
    assert _numbers(narrow, 2) == _numbers(wide, 2), "no picture is lost on the way"


@pytest.mark.usefixtures("fresh_ladder")
def test_where_nothing_fits_the_segment_fails_for_another_device(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(network: DetailNet, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(DetailNet, "forward", forward)
    with pytest.raises(SegmentError) as failed:
        render_in_process(_job(sources.path("closed mp4"), tmp_path / "out.mp4"))
    assert failed.value.kind == "OutOfVram"
