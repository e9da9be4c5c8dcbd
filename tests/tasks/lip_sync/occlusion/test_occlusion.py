"""What lies before a mouth is seen, and stays as the source has it; and nothing is taken for it that is none."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.faces import points as layout
from tasks.faces.measure import FrameFaces
from tasks.lip_sync import embedded
from tasks.lip_sync.occlusion.plan import HIDDEN
from tasks.lip_sync.occlusion.strange import LEAST_FRAMES
from tasks.lip_sync.occlusion.surface import SHAPE
from tasks.lip_sync.task import LipSyncTask
from tasks.picture import FrameBatch
from tasks.table import parse_task
from tasks.task import TaskPlan
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, as_batch, measured, portrait
from tests.tasks.lip_sync.generators import Loud, at_hand
from tests.tasks.lip_sync.occlusion.made import Picture, cells_over, microphone
from tests.tasks.lip_sync.test_task import SILENCE, KnownFaces, Talk, output, rendered

FRAMES = 72
#: In which frames something lies before the face, and how far it reaches to either side of its middle.
COVERED = range(30, 46)
RADIUS = 13.0
_MOUTH = PORTRAIT_POINTS[layout.OUTER_LIP].mean(0)


def place(i: int) -> NDArray[np.float32]:
    """The face drifts."""
    return np.float32([2 * (i % 5), i % 7])


def thing(i: int) -> tuple[float, float]:
    """It comes from the right, below the mouth, and goes the same way."""
    away = max(0, 3 - min(i - COVERED.start, COVERED.stop - 1 - i))
    x, y = _MOUTH + place(i)
    return float(x + 12 + 9 * away), float(y + 12)


@lru_cache
def plain() -> tuple[Picture, ...]:
    noise = np.random.default_rng(1)
    drifted = (np.roll(portrait(), tuple(int(v) for v in place(i)[::-1]), axis=(0, 1)) for i in range(FRAMES))
    return tuple((one + noise.normal(0, 2, one.shape)).clip(0, 255).astype(np.uint8) for one in drifted)


@lru_cache
def covered() -> tuple[tuple[Picture, ...], tuple[NDArray[np.bool_], ...]]:
    nothing = np.zeros(portrait().shape[:2], np.bool_)
    both = [microphone(one, thing(i), RADIUS) if i in COVERED else (one, nothing) for i, one in enumerate(plain())]
    return tuple(one for one, _ in both), tuple(where for _, where in both)


def faces() -> list[FrameFaces]:
    return [FrameFaces((measured(PORTRAIT_POINTS + place(i)),)) for i in range(FRAMES)]


@pytest.fixture(params=["embedded", "wav2lip"])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LipSyncTask]:
    """Opens the task with either backend; the embedded one is told what the voice does, the network is stood in for."""
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    monkeypatch.setattr(embedded, "articulate", lambda mel, statistics: Talk())

    def open_it(options: str = "") -> LipSyncTask:
        rest = "" if request.param == "embedded" else ",silence=draw"
        spec = parse_task(f"lip-sync:model={request.param}{rest}" + (f",{options}" if options else ""))
        weights = () if request.param == "embedded" else (at_hand(Path("made.pth")),)
        return LipSyncTask(replace(spec, weights=weights))

    return open_it


def planned(task: LipSyncTask, clip: FrameBatch, starts: Sequence[int] = (0,)) -> TaskPlan:
    """The plan of a clip that is scanned in units which begin at `starts`."""
    units = []
    for start, end in zip(starts, [*starts[1:], FRAMES], strict=True):
        task._scanner = KnownFaces(faces()[start:end])  # type: ignore[assignment]
        units.append(task.measure(start, iter([part_of(clip, start, end)])))
    return task.conclude(units, output(range(FRAMES), clip), SILENCE)


def part_of(clip: FrameBatch, start: int, end: int) -> FrameBatch:
    planes = tuple(plane[start:end] for plane in clip.planes)
    return FrameBatch(clip.format, planes, start, clip.pts[start:end], clip.source_frames[start:end])


def test_a_microphone_stays_to_the_last_bit_and_the_mouth_beside_it_is_drawn(
    opened: Callable[..., LipSyncTask],
) -> None:
    pictures, where = covered()
    clip = as_batch(pictures)
    task = opened()
    plan = planned(task, clip)
    luma = rendered(task, plan, clip, 9)[0]
    drawn = rendered(opened("occlusion=draw"), planned(opened("occlusion=draw"), clip), clip, 9)[0]
    cell = np.ones((9, 9), np.uint8)  # the map's edge is as soft as a cell is wide
    spoiled = 0
    for i in COVERED:
        kept = cv2.erode(where[i].astype(np.uint8), cell) > 0
        assert kept.any()
        np.testing.assert_array_equal(luma[i][kept], clip.planes[0][i][kept], err_msg=f"frame {i}")
        apart = np.abs(luma[i][where[i]].astype(int) - clip.planes[0][i][where[i]])
        assert np.mean(apart > 2) < 0.03, "its edge stays too"
        spoiled += int(np.count_nonzero(drawn[i][kept] != clip.planes[0][i][kept]))
    assert spoiled > 50, "without the map it is drawn over"
    assert all((luma[i] != clip.planes[0][i]).any() for i in (*range(5, 25), *range(33, 43))), "the mouth still speaks"
    assert plan.facts["frames with something before the mouth"] in range(len(COVERED) - 2, len(COVERED) + 3)


def test_the_map_lies_where_the_microphone_is(opened: Callable[..., LipSyncTask]) -> None:
    pictures, _ = covered()
    maps = planned(opened(), as_batch(pictures)).per_frame[HIDDEN][:, 0]
    assert maps.shape == (FRAMES, *SHAPE)
    outside = [i for i in range(FRAMES) if i not in range(COVERED.start - 1, COVERED.stop + 1)]
    assert not maps[outside].any()
    for i in range(COVERED.start + 3, COVERED.stop - 3):
        (x, y), points = thing(i), PORTRAIT_POINTS + place(i)
        ball = cells_over(points, (int(x - RADIUS), int(y - RADIUS), int(x + RADIUS), int(y + RADIUS))) > 0
        core = cells_over(points, (int(x - 7), int(y - 7), int(x + 7), int(y + 7))) > 0
        assert maps[i][core].min() > 0.9
        far = cells_over(points, (0, 0, int(x - RADIUS - 10), 512)) > 0
        assert not maps[i][far].any()
        assert np.minimum(maps[i], ball).sum() > 0.75 * ball.sum()


def test_segments_see_the_same(opened: Callable[..., LipSyncTask]) -> None:
    """However the scan and the rendering are cut, what lies before a face is the same to the last bit."""
    clip = as_batch(covered()[0])
    whole, parts = planned(opened(), clip), planned(opened(), clip, (0, 17, 36, 50))
    np.testing.assert_array_equal(whole.per_frame[HIDDEN], parts.per_frame[HIDDEN])
    once, many = (rendered(opened(), plan, clip, size) for plan, size in ((whole, FRAMES), (parts, 7)))
    for one, other in zip(once, many, strict=True):
        np.testing.assert_array_equal(one, other)


def darker(i: int, picture: Picture) -> Picture:
    return (picture * (0.65 if 30 <= i < 50 else 1.0)).astype(np.uint8)


def tinted(i: int, picture: Picture) -> Picture:
    return (picture * np.array([1.0, 0.9, 0.75] if 20 <= i < 40 else [1.0, 1.0, 1.0])).astype(np.uint8)


def speaking(i: int, picture: Picture) -> Picture:
    """A mouth that opens far now and then: dark, with a row of teeth."""
    half = max(0.0, 9 * np.sin(i / 4.0))
    x, y = _MOUTH + place(i)
    shown = picture.copy()
    if half >= 1:
        cv2.ellipse(shown, (round(float(x)), round(float(y))), (15, round(half)), 0, 0, 360, (45, 15, 15), -1)
        cv2.ellipse(shown, (round(float(x)), round(float(y - half / 2))), (10, 2), 0, 0, 360, (235, 230, 220), -1)
    return shown


def bearded(i: int, picture: Picture) -> Picture:
    """A beard is there in every frame."""
    x, y = _MOUTH + place(i) + (0, 24)
    shown = picture.copy()
    cv2.ellipse(shown, (round(float(x)), round(float(y))), (34, 12), 0, 0, 360, (60, 45, 40), -1)
    return shown


def flashed(i: int, picture: Picture) -> Picture:
    """Two frames of something are too few to be a thing."""
    return microphone(picture, thing(COVERED.start + 5), RADIUS)[0] if i in (40, 41) else picture


@pytest.mark.parametrize("change", [darker, tinted, speaking, bearded, flashed])
@pytest.mark.parametrize("opened", ["embedded"], indirect=True)
def test_nothing_is_taken_for_a_thing_that_is_none(
    change: Callable[[int, Picture], Picture], opened: Callable[..., LipSyncTask]
) -> None:
    clip = as_batch([change(i, one) for i, one in enumerate(plain())])
    plan = planned(opened(), clip)
    assert HIDDEN not in plan.per_frame
    assert "frames with something before the mouth" not in plan.facts


@pytest.mark.parametrize("opened", ["embedded"], indirect=True)
def test_of_too_few_frames_nothing_is_said(opened: Callable[..., LipSyncTask]) -> None:
    """What is usual is not known of a face that is seen for a moment."""
    clip = part_of(as_batch(covered()[0]), 30, 30 + LEAST_FRAMES - 1)
    task = opened()
    task._scanner = KnownFaces(faces()[30 : 30 + LEAST_FRAMES - 1])  # type: ignore[assignment]
    unit = task.measure(30, iter([clip]))
    plan = task.conclude([unit], output(range(30, 30 + LEAST_FRAMES - 1), clip), SILENCE)
    assert HIDDEN not in plan.per_frame
