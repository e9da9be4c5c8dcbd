"""Voices of 7, 14 and 60 minutes spoken to their end, as those of other tools are not (indexes of 16 bits end at 6:49).

A photo speaks a voice that says the same every ten seconds: whenever in it, it must look the same.  Pictures are few
and sound is whole: what counts columns of sound counts as far as at any frame rate.
"""

import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.job import EncodeRequest, RenderJob
from pipeline.prepare import prepare
from pipeline.render import render_in_process
from pipeline.steps import conclude, scan_works
from pipeline.storage import Storage
from tasks.lip_sync.voice import Articulation
from tasks.lip_sync.wav2lip import plan as generated
from tasks.table import parse_task
from tests.tasks.lip_sync.talking import talk

DEMO = Path(__file__).parents[2] / "tasks" / "data" / "demo"
#: What is said again and again.
PERIOD_SECONDS = 10
SAID = talk(PERIOD_SECONDS, seed=8)
#: Seconds after which frames of every rate here fall on the same places of what is said.
ROUND_SECONDS = 20
SIDE = 128


def voice(path: Path, seconds: int) -> Path:
    samples = np.rint(SAID.samples().clip(-1, 1) * 32000).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        for _ in range(seconds // PERIOD_SECONDS):
            file.writeframes(samples)
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "face.png"
    portrait = cv2.imread(str(DEMO / "portrait.jpg"))
    cv2.imwrite(str(path), cv2.resize(portrait[20:276, 96:352], (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    return path


def spoken(photo: Path, folder: Path, task: str, seconds: int, rate: Fraction) -> np.ndarray:
    """(n, SIDE, SIDE) luma of the photo speaking so long, rendered whole."""
    output = folder / f"{seconds}.mkv"
    job = RenderJob(
        str(photo), str(output), (parse_task(task),), str(voice(folder / f"{seconds}.wav", seconds)),
        frame_rate=rate, encode=EncodeRequest(qp=0, preset="ultrafast"),
    )  # fmt: skip
    report = render_in_process(job)
    assert report.tasks[0]["kept"] == {}
    with av.open(str(output)) as container:
        frames = np.stack([frame.to_ndarray()[:SIDE] for frame in container.decode(video=0)])
    assert len(frames) == seconds * rate
    return frames


def unlike(frames: np.ndarray, rate: Fraction) -> np.ndarray:
    """(n,) by how much each frame differs from what was said some rounds before; the edges are left out."""
    turn = int(ROUND_SECONDS * rate)
    inner = frames[turn:-2].astype(np.int16)
    usual = inner[:turn]
    return np.asarray(np.abs(inner - usual[np.arange(len(inner)) % turn]).max(axis=(1, 2)))


@pytest.mark.parametrize(
    ("minutes", "rate"),
    [
        (7, Fraction(3, 4)),
        pytest.param(14, Fraction(2, 5), marks=pytest.mark.slow),
        pytest.param(60, Fraction(1, 4), marks=pytest.mark.slow),
    ],
)
def test_a_long_voice_moves_the_mouth_alike_from_its_first_to_its_last_minute(
    photo: Path, tmp_path: Path, task: str, minutes: int, rate: Fraction
) -> None:
    """And its end looks as that of a short voice cut there."""
    frames, short = (spoken(photo, tmp_path, task, seconds, rate) for seconds in (60 * minutes, 180))
    turn = frames[int(ROUND_SECONDS * rate) :][: int(ROUND_SECONDS * rate)].astype(np.int16)
    assert np.abs(turn - turn[0]).max() > 12, "the mouth moves"
    assert unlike(frames, rate).max() <= 3
    end = slice(-int(ROUND_SECONDS * rate), -2)
    # Voices are heard against the whole of their sound, whose edges count for more the shorter it is.
    assert np.abs(frames[end].astype(np.int16) - short[end]).max() <= 3


def _sixteen_bits(found: np.ndarray) -> np.ndarray:
    return found.astype(np.int64).astype(np.int16).astype(np.float64)


@pytest.mark.slow
def test_indexes_of_sixteen_bits_are_caught(
    photo: Path, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault that other tools have, planted: the mouth is dead from 6:49 on, and the law above sees it."""
    first, at = generated.first_columns, Articulation.at

    def first_columns(*arguments: object) -> np.ndarray:
        return _sixteen_bits(first(*arguments)).astype(np.int64)  # type: ignore[arg-type]

    def early(self: Articulation, times: np.ndarray, *more: object, **options: float) -> object:
        return at(self, _sixteen_bits(np.asarray(times) * 80) / 80, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(generated, "first_columns", first_columns)
    monkeypatch.setattr(Articulation, "at", early)
    rate = Fraction(3, 4)
    found = unlike(spoken(photo, tmp_path, task, 420, rate), rate)
    assert found[: int((400 - ROUND_SECONDS) * rate)].max() <= 3
    assert found[int((412 - ROUND_SECONDS) * rate) :].max() > 12


@pytest.mark.parametrize(
    "rate",
    [
        Fraction(30000, 1001),
        pytest.param(Fraction(24000, 1001), marks=pytest.mark.slow),
        pytest.param(Fraction(60000, 1001), marks=pytest.mark.slow),
    ],
)
def test_what_is_asked_of_a_mouth_does_not_drift_in_twenty_minutes(photo: Path, tmp_path: Path, rate: Fraction) -> None:
    """Planned from the files on: the last minute lies as the first does, at rates that are no whole numbers."""
    job = RenderJob(
        str(photo), str(tmp_path / "out.mkv"), (parse_task("lip-sync"),), str(voice(tmp_path / "voice.wav", 1200)),
        frame_rate=rate,
    )  # fmt: skip
    storage = Storage()
    plan = prepare(storage, job, cached=False)
    (done,) = conclude(storage, tmp_path, plan, scan_works(storage, tmp_path, plan)[:0] or ((),))
    asked = np.asarray(done.asked["opening"], np.float64)
    times = np.array([float(i / rate) for i in range(len(asked))])
    wanted = SAID.at(times % PERIOD_SECONDS)
    lags = [_lag(asked, wanted, minute, rate) for minute in (0, 19)]
    assert abs(lags[1] - lags[0]) <= 1
    assert abs(lags[1]) <= 2, "the voice's own network may lead or lag a little"


def _lag(asked: np.ndarray, wanted: np.ndarray, minute: int, rate: Fraction) -> int:
    """Frames by which what is asked comes after what is said, in one minute."""
    inner = slice(int((60 * minute + 5) * rate), int((60 * minute + 55) * rate))

    def agree(lag: int) -> float:
        return float(np.corrcoef(np.roll(asked, -lag)[inner], wanted[inner])[0, 1])

    return max(range(-12, 13), key=agree)


def _uneven(path: Path, photo: Path, ticks: list[int], rate: int) -> None:
    """The photo for one frame at each of `ticks`."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        picture = cv2.imread(str(photo))
        for tick in ticks:
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = tick, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def test_frames_of_uneven_times_are_asked_for_what_is_said_when_they_are_shown(photo: Path, tmp_path: Path) -> None:
    """A minute whose first half has half of its frames missing: by their numbers they would drift by half of it."""
    ticks = [*range(0, 25 * 30, 2), *range(25 * 30, 25 * 60)]
    _uneven(tmp_path / "uneven.mp4", photo, ticks, 25)
    job = RenderJob(
        str(tmp_path / "uneven.mp4"), str(tmp_path / "out.mkv"), (parse_task("lip-sync"),),
        str(voice(tmp_path / "voice.wav", 60)), "video",
    )  # fmt: skip
    plan = prepare(Storage(), job, cached=False)
    (done,) = conclude(Storage(), tmp_path, plan, scan_works(Storage(), tmp_path, plan)[:0] or ((),))
    asked, times = np.asarray(done.asked["opening"], np.float64), np.array(ticks) / 25
    assert len(asked) == len(ticks)
    for part in (slice(25, 350), slice(400, 1100)):
        agrees = [np.corrcoef(asked[part], SAID.at((times[part] - lag) % PERIOD_SECONDS))[0, 1] for lag in (0.0, 0.2)]
        assert agrees[0] > 0.5 > agrees[1]
    by_number = SAID.at(np.arange(len(ticks)) / 25 % PERIOD_SECONDS)
    assert np.corrcoef(asked[100:350], by_number[100:350])[0, 1] < 0.3
