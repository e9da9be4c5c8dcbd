"""Two people, two voices, a photo: chosen before work, alike from any segmentation, told in the report."""

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import tasks
from pipeline.engine import InProcessPool
from pipeline.job import EncodeRequest, RenderJob
from pipeline.mix import CEILING
from pipeline.people import find_people, scan_job
from pipeline.prepare import prepare
from pipeline.render import no_progress, render_in_process, scratch_folder
from pipeline.speakers import Speaker
from pipeline.storage import Storage
from tasks.errors import JobError
from tasks.lip_sync.task import LipSyncTask
from tasks.table import parse_task
from tests.pipeline.test_journey import frames_of
from tests.tasks.faces.made import empty, portrait, stranger

SIDE, FRAMES, CUT = 360, 50, 30
#: Their numbers: the stranger is a little larger.
ANN, BOB = 1, 0


def _pair(left: np.ndarray, right: np.ndarray, shift: int, *, near: bool = False) -> np.ndarray:
    """Both side by side; `near`: larger and darker, as another camera would see them."""
    halves = [np.roll(one, shift, axis=1)[:SIDE, 60 : 60 + SIDE] for one in (left, right)]
    if near:
        closer = [cv2.resize(np.ascontiguousarray(half[20:270, 40:290]), (SIDE, SIDE)) for half in halves]
        halves = [(half * np.linspace(0.9, 0.3, SIDE)[:, None, None]).astype(np.uint8) for half in closer]
    return np.hstack(halves)


def _film(path: Path) -> Path:
    """The portrait left of the stranger; after a cut they have changed places."""
    ann, bob = portrait(), np.roll(stranger(), -60, axis=1)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 2 * SIDE, SIDE, "yuv420p"
        stream.codec_context.gop_size = 10
        for number in range(FRAMES):
            shift = round(6 * np.sin(number / 5))
            shown = _pair(ann, bob, shift) if number < CUT else _pair(bob, ann, shift, near=True)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(shown[..., ::-1]), "bgr24")))
        output.mux(stream.encode(None))
    return path


def _tone(path: Path, hertz: float, seconds: float = 2.0, level: float = 0.8) -> Path:
    """A tone that comes and goes three times a second."""
    at = np.arange(round(seconds * 16_000)) / 16_000
    samples = level * np.sin(2 * np.pi * hertz * at) * (np.sin(6 * np.pi * at) > 0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with film.mp4, ann.wav, bob.wav, ann.png and nobody.png."""
    folder = tmp_path_factory.mktemp("people")
    _film(folder / "film.mp4")
    _tone(folder / "ann.wav", 440)
    _tone(folder / "bob.wav", 900)
    for name, picture in (("ann", portrait()), ("bob", stranger()), ("nobody", empty())):
        cv2.imwrite(str(folder / f"{name}.png"), picture[..., ::-1])
    return folder


def _job(place: Path, output: Path, task: str = "lip-sync", *speakers: Speaker, **more: object) -> RenderJob:
    job = RenderJob(
        str(place / "film.mp4"), str(output), (parse_task(task),), str(place / "ann.wav"), "video",
        encode=EncodeRequest(qp=0, preset="ultrafast"), speakers=speakers,
    )  # fmt: skip
    return replace(job, **more)  # type: ignore[arg-type]


def _changed(source: Path, output: Path) -> np.ndarray:
    """(n, 2) whether a pixel of the left and of the right half of each frame changed."""
    planes = []
    for path in (source, output):
        with av.open(str(path)) as container:
            planes.append(np.stack([frame.to_ndarray()[:SIDE] for frame in container.decode(video=0)]))
    differ = planes[0] != planes[1]
    return np.stack([differ[:, :, :SIDE].any((1, 2)), differ[:, :, SIDE:].any((1, 2))], 1)


def test_people_keep_their_numbers_when_they_change_places(place: Path, tmp_path: Path) -> None:
    report = render_in_process(_job(place, tmp_path / "out.mp4", f"lip-sync:face=track:{ANN}"))
    assert report.tasks[0]["faces found"] == 2
    changed = _changed(place / "film.mp4", tmp_path / "out.mp4")
    first, second = changed[:CUT].mean(0), changed[CUT:].mean(0)
    assert first[0] > 0.5 > first[1] == 0, "the portrait, on the left"
    assert second[1] > 0.5 > second[0] == 0, "the portrait, on the right"


def test_each_speaks_its_own_voice_however_the_video_is_cut(place: Path, tmp_path: Path, model: str) -> None:
    speaker = Speaker("track:1", str(place / "bob.wav"))
    seen = []
    for seconds in (0.4, 60.0):
        job = _job(place, tmp_path / f"{seconds}.mp4", f"lip-sync:model={model},face=track:0", speaker)
        report = render_in_process(replace(job, segment_seconds=seconds))
        assert report.tasks[0]["faces drawn"] == 2
        assert report.tasks[0]["speakers"] == {"track:1": str(place / "bob.wav")}
        seen.append((report.counts["segments"], frames_of(tmp_path / f"{seconds}.mp4")))
    assert seen[0][0] > 1 == seen[1][0]
    assert seen[0][1] == seen[1][1]
    changed = _changed(place / "film.mp4", tmp_path / "60.0.mp4")
    assert (changed.mean(0) > 0.5).all()
    alone = _job(place, tmp_path / "alone.mp4", f"lip-sync:model={model},face=track:0")
    render_in_process(alone)
    assert frames_of(tmp_path / "alone.mp4") != seen[0][1]


def test_whoever_has_a_voice_does_not_speak_the_main_one(place: Path, tmp_path: Path) -> None:
    silence = _tone(tmp_path / "silence.wav", 440, level=0.0)
    speech = str(Path(tasks.__file__).parent / "data" / "demo" / "voice.wav")
    alone = _job(place, tmp_path / "loud.mp4", "lip-sync:face=all", audio=speech)
    render_in_process(alone)
    silenced = replace(alone, output=str(tmp_path / "out.mp4"), speakers=(Speaker("left", str(silence)),))
    render_in_process(silenced)
    silent = _changed(tmp_path / "out.mp4", tmp_path / "loud.mp4")
    assert silent[:, 0].mean() > 0.3, "left mouths follow another voice"
    assert not silent[:, 1].any(), "right mouths follow the main voice as before"


def _sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=16_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _loudness(sound: np.ndarray, hertz: float) -> float:
    spectrum = np.abs(np.fft.rfft(sound)) / len(sound)
    at = np.fft.rfftfreq(len(sound), 1 / 16_000)
    return float(spectrum[np.abs(at - hertz) < 15].max())


@pytest.mark.parametrize("asked", ["mix", "main"])
def test_the_voices_are_heard_together_or_the_main_one_alone(place: Path, tmp_path: Path, asked: str) -> None:
    job = _job(place, tmp_path / "out.mkv", "lip-sync", Speaker("right", str(place / "bob.wav")), sound=asked)
    report = render_in_process(job)
    sound = _sound(tmp_path / "out.mkv")
    assert abs(len(sound) / 16_000 - FRAMES / 25) < 0.05
    assert _loudness(sound, 440) > 0.05
    assert (_loudness(sound, 900) > 0.05) == (asked == "mix")
    assert any("turned down by" in note for note in report.notes) == (asked == "mix")
    assert np.abs(sound).max() <= CEILING + 0.02


def test_the_longest_voice_decides_the_length(place: Path, tmp_path: Path) -> None:
    long = _tone(tmp_path / "long.wav", 900, seconds=3.0)
    job = _job(place, tmp_path / "out.mp4", "lip-sync", Speaker("right", str(long)), fit="audio:ping-pong")
    assert render_in_process(job).counts["frames"] == 75


def test_a_voice_is_known_by_its_content_in_the_job_s_key(place: Path, tmp_path: Path) -> None:
    storage = Storage()
    voice = tmp_path / "voice.wav"
    voice.write_bytes((place / "bob.wav").read_bytes())
    job = _job(place, tmp_path / "out.mp4", "lip-sync", Speaker("right", str(voice)))
    keys = {prepare(storage, job).key, prepare(storage, replace(job, sound="main")).key}
    keys.add(prepare(storage, replace(job, speakers=(Speaker("left", str(voice)),))).key)
    keys.add(prepare(storage, replace(job, speakers=())).key)
    _tone(voice, 901)
    keys.add(prepare(storage, job).key)
    assert len(keys) == 5


def test_the_same_command_again_is_done_already(place: Path, tmp_path: Path) -> None:
    job = _job(
        place, tmp_path / "out.mp4", f"lip-sync:face=like:{place}/ann.png", Speaker("track:1", f"{place}/bob.wav")
    )
    assert render_in_process(job).status == "rendered"
    assert render_in_process(job).status == "already done"


@pytest.mark.parametrize(("who", "number", "side"), [("ann", ANN, 0), ("bob", BOB, 1)])
def test_the_person_of_a_photo_speaks(place: Path, tmp_path: Path, who: str, number: int, side: int) -> None:
    report = render_in_process(_job(place, tmp_path / "out.mp4", f"lip-sync:face=like:{place}/{who}.png"))
    assert report.tasks[0]["face chosen by"] == f"like:{place}/{who}.png, who is track:{number}"
    changed = _changed(place / "film.mp4", tmp_path / "out.mp4")[:CUT].mean(0)
    assert changed[side] > 0.5 > changed[1 - side] == 0


@pytest.mark.parametrize(
    ("task", "speakers", "told"),
    [
        ("lip-sync:face=like:{place}/nobody.png", (), "found no clear face in the photo"),
        ("lip-sync:face=like:{place}/none.png", (), "like: .*none.png: no such file"),
        ("lip-sync:face=track:7", (), "face track:7: found tracks 0, 1, expected one of them; `reelyard scan"),
        ("lip-sync", (("track:7", "bob.wav"),), "face track:7: found tracks 0, 1"),
        ("lip-sync", (("left", "none.wav"),), "--speaker left .*none.wav: no such file"),
        ("lip-sync", (("left", "bob.wav"), ("left", "ann.wav")), "left has a voice already"),
        ("identity", (("left", "bob.wav"),), "none of the tasks moves a mouth; add --task lip-sync"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_rendered(
    place: Path, tmp_path: Path, task: str, speakers: tuple[tuple[str, str], ...], told: str
) -> None:
    voices = [Speaker(who, str(place / name)) for who, name in speakers]
    with pytest.raises(JobError, match=told):
        render_in_process(_job(place, tmp_path / "out.mp4", task.format(place=place), *voices))
    assert not (tmp_path / "out.mp4").exists()
    assert not list(tmp_path.glob("out.mp4.work/parts/*"))


def test_a_speaker_without_a_main_voice_is_refused(place: Path, tmp_path: Path) -> None:
    job = _job(place, tmp_path / "out.mp4", "lip-sync", Speaker("left", str(place / "bob.wav")), audio=None)
    with pytest.raises(JobError, match="--speaker left=.*: found no main voice; give one with --audio FILE"):
        render_in_process(job)


def test_nobody_near_enough_to_a_photo_is_refused_with_who_comes_nearest(place: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for _ in range(10):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(portrait()[..., ::-1]), "bgr24")))
        output.mux(stream.encode(None))
    job = replace(_job(place, tmp_path / "out.mp4", f"lip-sync:face=like:{place}/bob.png"), source=str(film))
    with pytest.raises(
        JobError, match=r"nobody in the video is near enough: track 0 comes nearest with 0\.\d\d, .*0\.30"
    ):
        render_in_process(job)


def test_a_scan_shows_everyone_and_a_render_measures_nothing_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage()
    with scratch_folder() as scratch:
        pool = InProcessPool(storage, "cpu", scratch, no_progress)
        shown = find_people(scan_job(str(place / "film.mp4"), str(tmp_path / "people.jpg")), pool, storage)
        pool.close()
    assert [one.title for one in shown] == ["track 0", "track 1"]
    assert all(one.jpeg.startswith(b"\xff\xd8") for one in shown)
    assert "in 100 % of the frames" in shown[0].line
    monkeypatch.setattr(LipSyncTask, "measure", lambda *_: pytest.fail("measured again"))
    report = render_in_process(_job(place, tmp_path / "out.mp4"))
    assert [one.jpeg for one in report.shown if one.group == "people"] == [one.jpeg for one in shown]


def test_frames_left_alone_have_an_example_in_the_report(place: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for number in range(20):
            shown = portrait() if number < 12 else empty()
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(shown[..., ::-1]), "bgr24")))
        output.mux(stream.encode(None))
    report = render_in_process(replace(_job(place, tmp_path / "out.mp4"), source=str(film)))
    (example,) = [one for one in report.shown if one.group == "kept"]
    assert (example.title, example.line) == ("no face", "8 frames, as at 0:00.5")
    assert example.jpeg.startswith(b"\xff\xd8")
