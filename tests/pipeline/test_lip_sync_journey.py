"""A voice and a moving face, whole: the same frames from any segmentation, every frame there, the rest untouched."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cluster.leftovers import leftovers
from pipeline.job import EncodeRequest, RenderJob
from pipeline.render import render_in_process
from pipeline.storage import Storage
from tasks.errors import SourceError
from tasks.lip_sync.task import LipSyncTask
from tasks.residency import residents
from tasks.residency.pool import Pool
from tasks.table import parse_task
from tests.pipeline.test_journey import frames_of
from tests.tasks.lip_sync.generators import Loud, random_weights, save

DEMO = Path(__file__).parents[2] / "tasks" / "data" / "demo"
FRAMES = 60


@pytest.fixture(scope="module")
def moving_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's portrait drifting and turning a little, 25 frames/s, a keyframe every 12 frames."""
    path = tmp_path_factory.mktemp("face") / "face.mp4"
    portrait = cv2.imread(str(DEMO / "portrait.jpg"))
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "16", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 480, 480, "yuv420p"
        stream.codec_context.gop_size = 12
        for number in range(FRAMES):
            turn = cv2.getRotationMatrix2D((224, 120), 4 * np.sin(number / 9), 1 + 0.05 * np.sin(number / 20))
            turn[:, 2] += (10 * np.sin(number / 15), 6 * np.cos(number / 11))
            picture = cv2.warpAffine(portrait, turn, (480, 480), borderMode=cv2.BORDER_REPLICATE)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        output.mux(stream.encode(None))
    return path


def _job(source: Path, output: Path, task: str = "lip-sync", **more: object) -> RenderJob:
    job = RenderJob(
        str(source), str(output), tasks=(parse_task(task),), audio=str(DEMO / "voice.wav"), fit="video",
        encode=EncodeRequest(qp=0, preset="ultrafast"),
    )  # fmt: skip
    return replace(job, **more)  # type: ignore[arg-type]


def test_one_segment_and_many_speak_alike(moving_face: Path, tmp_path: Path, task: str) -> None:
    seen = []
    for seconds in (0.4, 1.0, 60.0):
        output = tmp_path / f"{seconds}.mp4"
        report = render_in_process(_job(moving_face, output, task, segment_seconds=seconds))
        assert report.tasks[0]["kept"] == {}
        seen.append(frames_of(output))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == FRAMES


def _planes(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray()[:480] for frame in container.decode(video=0)])


def test_only_the_mouth_is_touched(moving_face: Path, tmp_path: Path, task: str) -> None:
    output = tmp_path / "out.mp4"
    render_in_process(_job(moving_face, output, task))
    changed = _planes(moving_face) != _planes(output)
    rows, columns = np.nonzero(changed.any(axis=0))
    assert changed.any(axis=(1, 2)).mean() > 0.8, "the mouth should move in nearly every frame"
    assert rows.min() > 100, "above the nose nothing moves"
    assert columns.max() - columns.min() < 170
    assert rows.max() < 260


def test_a_longer_voice_is_spoken_to_its_end(moving_face: Path, tmp_path: Path, task: str) -> None:
    output = tmp_path / "out.mp4"
    report = render_in_process(_job(moving_face, output, task, fit="audio:ping-pong", segment_seconds=3.0))
    assert report.counts["frames"] == len(frames_of(output)) == 249
    with av.open(str(output)) as container:
        sound = container.streams.audio[0]
        assert abs(sound.duration * sound.time_base - Fraction(995, 100)) < Fraction(5, 100)


def test_a_source_without_a_face_keeps_its_frames_or_fails_on_request(sources, tmp_path: Path, task: str) -> None:
    source = sources.path("closed mp4")
    report = render_in_process(_job(source, tmp_path / "kept.mp4", task))
    assert sum(report.tasks[0]["kept"].values()) == len(frames_of(source))  # type: ignore[attr-defined]
    assert frames_of(tmp_path / "kept.mp4") == frames_of(source)
    refused = f"{task}{',' if ':' in task else ':'}no_face=fail"
    strict = _job(source, tmp_path / "strict.mp4", refused)
    with pytest.raises(SourceError, match="face"):
        render_in_process(strict)
    assert not (tmp_path / "strict.mp4").exists()


def test_a_checkpoint_s_own_network_gives_one_result_however_the_video_is_cut(
    moving_face: Path, tmp_path: Path
) -> None:
    """The real network, of random weights, over batches that come out short at every border."""
    checkpoint = save(tmp_path / "random.pth", random_weights())
    seen = []
    for seconds in (0.2, 60.0):
        output = tmp_path / f"{seconds}.mp4"
        job = _job(moving_face, output, f"lip-sync:model={checkpoint}", segment_seconds=seconds)
        report = render_in_process(replace(job, trim=(None, Fraction(4, 5))))
        seen.append((report.counts["segments"], frames_of(output)))
    assert seen[0][0] > 1 == seen[1][0]
    assert seen[0][1] == seen[1][1]


def test_a_chain_with_room_for_one_network_at_a_time_gives_the_same_bits(
    moving_face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator and an enlarging network, by turns on a device that holds either, two leases in flight."""
    checkpoint = save(tmp_path / "random.pth", random_weights())
    sizes: dict[str, int] = {}
    plain = Pool.add

    def noted(pool: Pool, name: str, size_bytes: int, *, pinned: bool = False) -> None:
        sizes[name] = size_bytes
        plain(pool, name, size_bytes, pinned=pinned)

    monkeypatch.setattr(Pool, "add", noted)
    task = f"lip-sync:model={checkpoint},precision=fp32"
    outputs, moves = [], []
    for name in ("all", "one"):
        here = residents.with_budget("cpu", 1 << 40 if name == "all" else max(sizes.values()))
        output = tmp_path / f"{name}.mp4"
        job = _job(moving_face, output, task, segment_seconds=0.2, trim=(None, Fraction(2, 5)))
        report = render_in_process(replace(job, tasks=(*job.tasks, parse_task("upscale"))))
        assert any(name.startswith("frames drawn by random, eager at fp32") for name in report.counts)
        outputs.append(_planes(output))
        moves.append(here.pool.moves)
        residents._open.clear()
    assert len(sizes) == 2 and sum(sizes.values()) > max(sizes.values())
    assert outputs[0].shape[0] == 10
    assert np.array_equal(*outputs)
    assert moves[0].evictions == 0
    assert moves[1].evictions >= 3 and moves[1].failed_loads == 0
    assert moves[1].loads + moves[1].prefetches <= 2 * 2, "no more than networks by batches"


def test_another_voice_for_a_scanned_video_looks_at_no_picture_again(
    moving_face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another voice, another model, another place in the same folder: none of them measures again."""
    render_in_process(_job(moving_face, tmp_path / "first.mp4"))
    monkeypatch.setattr(LipSyncTask, "measure", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    (tmp_path / "made.pth").write_bytes(b"never read")
    other = _job(moving_face, tmp_path / "second.mp4", f"lip-sync:model={tmp_path / 'made.pth'},sync_offset=80")
    report = render_in_process(other)
    assert report.tasks[0]["kept"] == {}
    assert _planes(tmp_path / "first.mp4").shape == _planes(tmp_path / "second.mp4").shape
    assert not (tmp_path / "second.mp4.work").exists()
    assert leftovers(Storage(), str(tmp_path / ".reelyard"))[1], "`reelyard clean` finds what is kept"


def _with_sound(pictures: Path, voice: Path, target: Path) -> None:
    """The pictures and the voice in one file, neither decoded."""
    with av.open(str(target), "w") as made, av.open(str(pictures)) as shown, av.open(str(voice)) as heard:
        both = [(one, made.add_stream_from_template(one.streams[0])) for one in (shown, heard)]
        for one, stream in both:
            for packet in one.demux(one.streams[0]):
                if packet.dts is not None and packet.pts * packet.time_base < Fraction(FRAMES, 25):
                    packet.stream = stream
                    made.mux(packet)


def test_the_source_s_own_sound_offset_is_told_unasked(moving_face: Path, tmp_path: Path) -> None:
    """A portrait that never speaks says nothing sure of its sound, and that is what is said."""
    silent = render_in_process(_job(moving_face, tmp_path / "silent.mp4"))
    assert silent.tasks[0]["sound offset"] == "the source's sound offset is not known: no sound of its own was heard"
    assert not any("offset" in note for note in silent.notes), "a source without sound is no news"
    _with_sound(moving_face, DEMO / "voice.wav", tmp_path / "talk.mov")
    report = render_in_process(_job(tmp_path / "talk.mov", tmp_path / "out.mp4", "lip-sync:sync_offset=auto"))
    assert "sound offset" in report.tasks[0]
    assert "sync_offset=auto: 0 ms, as the source's own offset is not sure" in report.notes


def test_a_scan_in_work_storage_stays_there(moving_face: Path, tmp_path: Path) -> None:
    render_in_process(_job(moving_face, tmp_path / "out" / "first.mp4", work=str(tmp_path / "work")))
    assert list((tmp_path / "work" / "scan").glob("*.npz"))
    assert not (tmp_path / "out" / ".reelyard").exists()
