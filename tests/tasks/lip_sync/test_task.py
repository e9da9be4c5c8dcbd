"""The lip-sync task from planes to planes: what is drawn, what is kept, and that slices do not matter."""

import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

import tasks
from tasks.device_batch import DeviceBatch
from tasks.errors import JobError, SourceError
from tasks.faces.landmarks import WEIGHTS as LANDMARKS
from tasks.faces.measure import FrameFaces
from tasks.lip_sync import embedded as module
from tasks.lip_sync.task import LipSyncTask
from tasks.lip_sync.voice import WEIGHTS as VOICE
from tasks.mel import mel_spectrogram
from tasks.picture import FrameBatch
from tasks.plane_pictures import PlanePictures
from tasks.table import parse_task
from tasks.task import OutputFrames, TaskPlan, Voice
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, as_batch, measured, portrait
from tests.tasks.lip_sync.generators import Loud, at_hand

FRAMES = 24
SILENCE = Voice(np.full((80, 400), -4.0, np.float32), 5.0)


@dataclass
class KnownFaces:
    """A scanner that is told what there is to see."""

    frames: Sequence[FrameFaces]
    at: int = 0

    def reset(self) -> None:
        pass

    def measure(self, pictures: PlanePictures) -> list[FrameFaces]:
        self.at += len(pictures)
        return list(self.frames[self.at - len(pictures) : self.at])


class Talk:
    """A voice that opens and closes four times a second."""

    def at(self, seconds: NDArray, durations: NDArray, *, sync_offset_seconds: float) -> SimpleNamespace:
        opening = 0.5 - 0.5 * np.cos(8 * np.pi * (seconds - sync_offset_seconds))
        return SimpleNamespace(opening=opening, closure=np.zeros(len(seconds)), width=np.zeros(len(seconds)))


@pytest.fixture(autouse=True)
def talk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "articulate", lambda mel, statistics: Talk())


def places() -> list[NDArray[np.float32]]:
    """The portrait drifts over the picture."""
    return [np.float32([2 * (i % 5), i]) for i in range(FRAMES)]


def pictures() -> list[NDArray[np.uint8]]:
    return [np.roll(portrait(), tuple(int(v) for v in place[::-1]), axis=(0, 1)) for place in places()]


def faces(gone: range = range(0)) -> list[FrameFaces]:
    seen = [FrameFaces((measured(PORTRAIT_POINTS + place),)) for place in places()]
    return [FrameFaces(()) if i in gone else one for i, one in enumerate(seen)]


def output(source_frames: Sequence[int], form: FrameBatch) -> OutputFrames:
    n = len(source_frames)
    return OutputFrames(np.array(source_frames), np.arange(n) / 25, np.full(n, 1 / 25), form.format)


def concluded(task: LipSyncTask, seen: Sequence[FrameFaces], out: OutputFrames, batch: FrameBatch) -> TaskPlan:
    task._scanner = KnownFaces(seen)  # type: ignore[assignment]
    return task.conclude([task.measure(0, iter([batch]))], out, SILENCE)


def rendered(task: LipSyncTask, plan: TaskPlan, batch: FrameBatch, size: int) -> list[NDArray[np.uint8]]:
    task.load("cpu")
    planes: list[list[NDArray[np.uint8]]] = [[], [], []]
    for a in range(0, len(batch), size):
        b = min(a + size, len(batch))
        part = FrameBatch(
            batch.format, tuple(p[a:b] for p in batch.planes), a, batch.pts[a:b], batch.source_frames[a:b]
        )
        device = DeviceBatch.from_frames(part, "cpu")
        task.render(device, plan.slice(a, b))
        for kept, plane in zip(planes, device.to_frames().planes, strict=True):
            kept.append(np.asarray(plane))
    return [np.concatenate(plane) for plane in planes]


@pytest.fixture(params=["embedded", "wav2lip"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who draws: each must keep the same laws. Wav2Lip's network is stood in for by one that needs no time."""
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    return str(request.param)


def opened(backend: str, options: str = "") -> LipSyncTask:
    """The task, with its weights where it asks for some."""
    spec = parse_task(f"lip-sync:model={backend}" + (f",{options}" if options else ""))
    return LipSyncTask(spec if backend == "embedded" else replace(spec, weights=(at_hand(Path("made.pth")),)))


@pytest.fixture(scope="module")
def clip() -> FrameBatch:
    return as_batch(pictures())


def test_the_mouth_moves_and_the_rest_of_the_picture_is_bit_identical(clip: FrameBatch, backend: str) -> None:
    task = opened(backend)
    plan = concluded(task, faces(), output(range(FRAMES), clip), clip)
    drawn = rendered(task, plan, clip, 8)
    assert plan.kept_by_reason(0, FRAMES) == {}
    for i, place in enumerate(places()):
        changed = drawn[0][i] != clip.planes[0][i]
        assert changed.any()
        rows, columns = np.nonzero(changed)
        low, high = PORTRAIT_POINTS.min(axis=0) + place, PORTRAIT_POINTS.max(axis=0) + place
        assert rows.min() > low[1]
        assert rows.max() < high[1] + 30
        assert columns.min() > low[0]
        assert columns.max() < high[0]


def test_frames_do_not_depend_on_the_batches(clip: FrameBatch, backend: str) -> None:
    task = opened(backend)
    plan = concluded(task, faces(), output(range(FRAMES), clip), clip)
    whole = rendered(task, plan, clip, FRAMES)
    for size in (1, 5):
        for a, b in zip(whole, rendered(opened(backend), plan, clip, size), strict=True):
            np.testing.assert_array_equal(a, b)


def test_frames_without_a_face_are_kept_and_counted(clip: FrameBatch, backend: str) -> None:
    task = opened(backend)
    gone = range(4, 16)
    plan = concluded(task, faces(gone), output(range(FRAMES), clip), clip)
    assert plan.kept_by_reason(0, FRAMES) == {"no face": len(gone)}
    drawn = rendered(task, plan, clip, 8)
    for plane, source in zip(drawn, clip.planes, strict=True):
        np.testing.assert_array_equal(plane[4:16], source[4:16])
    weights = plan.per_frame["weights"][:, 0]
    assert 0 < weights[3] < weights[2] <= 1


def test_nobody_in_the_whole_video_is_no_failure(clip: FrameBatch, backend: str) -> None:
    task = opened(backend)
    plan = concluded(task, faces(range(FRAMES)), output(range(FRAMES), clip), clip)
    assert plan.kept_by_reason(0, FRAMES) == {"no face": FRAMES}
    for plane, source in zip(rendered(task, plan, clip, 8), clip.planes, strict=True):
        np.testing.assert_array_equal(plane, source)


def test_no_face_fail_names_the_first_frame_and_the_remedy(clip: FrameBatch, backend: str) -> None:
    task = opened(backend, "no_face=fail")
    with pytest.raises(SourceError, match=r"12 of 24 frames have no usable face, the first at 0\.16 s \(no face\)"):
        concluded(task, faces(range(4, 16)), output(range(FRAMES), clip), clip)


def test_a_profile_and_a_small_face_are_kept_with_their_reasons(clip: FrameBatch, backend: str) -> None:
    turned = PORTRAIT_POINTS.copy()
    turned[44, 0] += 30
    for points, reason in ((turned, "profile"), ((PORTRAIT_POINTS - 200) * 0.1 + 200, "too small")):
        seen = [FrameFaces((measured(points),))] * FRAMES
        plan = concluded(opened(backend), seen, output(range(FRAMES), clip), clip)
        assert plan.kept_by_reason(0, FRAMES) == {reason: FRAMES}


def test_without_a_voice_the_job_is_refused(clip: FrameBatch, backend: str) -> None:
    task = opened(backend)
    with pytest.raises(JobError, match="--audio"):
        task.conclude([], output(range(FRAMES), clip), None)


@pytest.mark.parametrize(("chosen", "expected"), [("all", [0, 1]), ("left", [0]), ("right", [1]), ("#2", [1])])
def test_the_chosen_of_two_faces_speak(chosen: str, expected: list[int], clip: FrameBatch, backend: str) -> None:
    places = [PORTRAIT_POINTS, PORTRAIT_POINTS + np.float32([180, 40])]
    seen = [FrameFaces(tuple(measured(points) for points in places))] * FRAMES
    task = opened(backend, f"face={chosen}")
    plan = concluded(task, seen, output(range(FRAMES), clip), clip)
    found = sorted(float(points[0, 0]) for points in plan.per_frame["points"][5])
    assert found == pytest.approx([float(places[k][0, 0]) for k in expected], abs=0.01)
    assert plan.facts["faces drawn"] == len(expected)


def test_the_sync_offset_delays_the_mouth(clip: FrameBatch) -> None:
    gaps = []
    for offset in (0, 80):
        task = LipSyncTask(parse_task(f"lip-sync:sync_offset={offset}"))
        plan = concluded(task, faces(), output(range(FRAMES), clip), clip)
        gaps.append(plan.per_frame["gaps"][:, 0])
    np.testing.assert_allclose(gaps[1][4:-2], gaps[0][2:-4], rtol=1e-4, atol=1e-4)
    assert np.abs(gaps[1] - gaps[0]).max() > 2


def test_a_still_picture_speaks_for_as_long_as_the_voice(clip: FrameBatch) -> None:
    still = as_batch(pictures()[:1])
    task = LipSyncTask(parse_task("lip-sync"))
    plan = concluded(task, faces()[:1], output([0] * 50, still), still)
    gaps = plan.per_frame["gaps"][:, 0]
    assert plan.kept_by_reason(0, 50) == {}
    assert np.ptp(gaps) > 3
    assert (plan.per_frame["weights"] == 1).all()


def test_a_timeline_played_backwards_reads_the_points_of_its_frames(clip: FrameBatch, backend: str) -> None:
    order = [*range(FRAMES), *range(FRAMES - 2, -1, -1)]
    plan = concluded(opened(backend), faces(), output(order, clip), clip)
    points = plan.per_frame["points"]
    np.testing.assert_array_equal(points[FRAMES:], points[FRAMES - 2 :: -1])
    assert (plan.per_frame["weights"] == 1).all()


def test_units_join_into_one_video(clip: FrameBatch, backend: str) -> None:
    task = opened(backend)
    units = []
    for a, b in ((0, 10), (10, 24)):
        task._scanner = KnownFaces(faces()[a:b])  # type: ignore[assignment]
        part = FrameBatch(clip.format, tuple(p[a:b] for p in clip.planes), a, clip.pts[a:b], clip.source_frames[a:b])
        units.append(task.measure(a, iter([part])))
    plan = task.conclude(iter(units), output(range(FRAMES), clip), SILENCE)
    whole = concluded(task, faces(), output(range(FRAMES), clip), clip)
    np.testing.assert_array_equal(plan.per_frame["points"], whole.per_frame["points"])
    for name in ("gaps", "widths", "matrix"):
        if name in whole.per_frame:
            np.testing.assert_allclose(plan.per_frame[name], whole.per_frame[name], rtol=1e-5)


def test_a_trimmed_video_counts_its_frames_from_the_trim(clip: FrameBatch, backend: str) -> None:
    moved = replace(clip, source_frames=clip.source_frames + 100)
    task = opened(backend)
    task._scanner = KnownFaces(faces())  # type: ignore[assignment]
    plan = task.conclude([task.measure(100, iter([moved]))], output(range(100, 100 + FRAMES), clip), SILENCE)
    assert plan.kept_by_reason(0, FRAMES) == {}


@pytest.mark.skipif(not (LANDMARKS.exists() and VOICE.exists()), reason="the networks are not in this checkout")
def test_the_shipped_networks_make_the_portrait_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    still = as_batch([portrait()])
    task = LipSyncTask(parse_task("lip-sync"))
    with wave.open(str(Path(tasks.__file__).parent / "data" / "demo" / "voice.wav")) as file:
        mel = mel_spectrogram(np.frombuffer(file.readframes(32_000), "<i2").astype(np.float32) / 32768)
    unit = task.measure(0, iter([still]))
    plan = task.conclude([unit], output([0] * 50, still), Voice(mel, 2.0))
    assert plan.facts["faces drawn"] == 1
    assert np.ptp(plan.per_frame["gaps"]) > 1
    assert len(task.digest()) == 64


@pytest.mark.parametrize("asked", ["silence=keep", "mask=box", "precision=bf16"])
def test_what_only_a_generator_can_do_is_not_passed_over(asked: str) -> None:
    with pytest.raises(JobError, match=f"{asked} is of a generator; found model=embedded.*add model=wav2lip"):
        LipSyncTask(parse_task(f"lip-sync:{asked}"))


def test_a_scan_is_known_by_who_found_the_faces_and_by_no_other_weights() -> None:
    """Another voice or model looks at no picture again; another detector sees others."""
    spec, one = parse_task("lip-sync"), at_hand(Path("one.onnx"))
    plain = LipSyncTask(spec).digest()
    found = [replace(one, option=option, sha256=sha * 64) for option, sha in (("detector", "1"), ("detector", "2"))]
    digests = {LipSyncTask(replace(spec, weights=(weights,))).digest() for weights in found}
    assert len(digests | {plain}) == 3
    drawing = [replace(one, option=option) for option in ("model", "restore", "identity")]
    assert {LipSyncTask(replace(spec, weights=(weights,))).digest() for weights in drawing} == {plain}


@pytest.mark.parametrize("asked", ["draw", "keep"])
def test_a_mouth_rests_where_nobody_speaks_if_that_is_asked(
    clip: FrameBatch, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`silence=keep`: the source's own mouth, eased to and from, counted, and no reason to refuse a frame."""
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    mel = np.full((80, 120), -4.0, np.float32)
    mel[:, :40] = 0.5 + 1.5 * np.sin(np.arange(40) * 2 * np.pi / 20)
    task = opened("wav2lip", f"silence={asked},no_face=fail")
    task._scanner = KnownFaces(faces())  # type: ignore[assignment]
    unit = task.measure(0, iter([clip]))
    plan = task.conclude([unit], output(range(FRAMES), clip), Voice(mel, 1.5))
    kept = plan.kept_by_reason(0, FRAMES)
    if asked == "draw":
        assert kept == {}
        assert 5 < plan.facts["frames drawn in silence"] < 14
        return
    assert set(kept) == {"silence"}
    assert 5 < kept["silence"] < 14
    last = FRAMES - kept["silence"] - 1
    assert 0 < plan.per_frame["weights"][last, 0] < plan.per_frame["weights"][last - 1, 0] <= 1
    drawn = rendered(task, plan, clip, 8)
    np.testing.assert_array_equal(drawn[0][last + 1 :], clip.planes[0][last + 1 :])
    assert (drawn[0][0] != clip.planes[0][0]).any()


@pytest.mark.parametrize("side", [288, 384])
def test_a_larger_generator_draws_the_same_place_and_nothing_else(
    clip: FrameBatch, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for chosen in (96, side):
        monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", type("Larger", (Loud,), {"side": chosen}))
        task = opened("wav2lip")
        plan = concluded(task, faces(), output(range(FRAMES), clip), clip)
        seen.append([rendered(task, plan, clip, batch)[0] for batch in (3, 8)])
    assert np.array_equal(*seen[1]), "whatever the batches"
    small, large = (np.asarray(drawn[1], int) for drawn in seen)
    changed = [(drawn != clip.planes[0]).mean(0) > 0.2 for drawn in (small, large)]
    assert (changed[0] & changed[1]).sum() > 0.8 * (changed[0] | changed[1]).sum()
    assert np.abs(small - large).mean() < 0.2, "the same picture, a little finer"
