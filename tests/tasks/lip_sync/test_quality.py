"""The quality check: a good drawing passes, and flicker, a hard edge, blur, a lost segment and another voice do not.

A portrait that drifts a little is drawn once by each backend's own means; faults are planted into what it drew.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.chain import settle_arithmetic
from tasks.device_batch import DeviceBatch
from tasks.errors import JobError
from tasks.faces.measure import FrameFaces
from tasks.lip_sync.quality.look import look_at
from tasks.lip_sync.task import LipSyncTask
from tasks.mel import mel_spectrogram
from tasks.picture import FrameBatch
from tasks.quality import KINDS, Quality, falls_short, parse_gate
from tasks.table import parse_task
from tasks.task import OutputFrames, TaskPlan, UnitMeasurement, Voice
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, as_batch, measured, portrait
from tests.tasks.lip_sync.talking import talk
from tests.tasks.lip_sync.test_task import KnownFaces

FRAMES = 72
SEGMENTS = ((0, 36), (36, 72))
#: What a report's reader may hold an output against; a good drawing is well inside.
GATE = parse_gate("seam=0.5,flicker=2,border=1.8,sharpness=0.6,sync=0.4")


@dataclass(frozen=True)
class Drawing:
    """A clip, what was drawn into it, and the plan."""

    task: LipSyncTask
    plan: TaskPlan
    source: FrameBatch
    drawn: FrameBatch

    def judged(self, planted: FrameBatch | None = None) -> Quality:
        """The quality of this drawing, or of one with a fault planted into it."""
        looks = [self._looks(planted or self.drawn, *segment) for segment in SEGMENTS]
        return self.task.judge(looks, self.plan.asked, np.arange(FRAMES) == 0)

    def _looks(self, drawn: FrameBatch, start: int, end: int) -> UnitMeasurement:
        inputs, frames = self.plan.slice(start, end), range(end - start)
        before = self.task.look_before(DeviceBatch.from_frames(_cut(self.source, start, end), "cpu"), inputs, frames)
        after = DeviceBatch.from_frames(_cut(drawn, start, end), "cpu")
        return UnitMeasurement(start, end, self.task.look_after(before, after, inputs))


def _cut(batch: FrameBatch, start: int, end: int) -> FrameBatch:
    planes = tuple(plane[start:end] for plane in batch.planes)
    return FrameBatch(batch.format, planes, start, batch.pts[start:end], batch.source_frames[start:end])


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    settle_arithmetic()
    places = [np.array([round(3 * np.sin(i / 7)), round(2 * np.cos(i / 9))]) for i in range(FRAMES)]
    source = as_batch([np.roll(portrait(), (p[1], p[0]), axis=(0, 1)) for p in places])
    faces = [FrameFaces((measured((PORTRAIT_POINTS + p).astype(np.float32)),)) for p in places]
    task = LipSyncTask(parse_task("lip-sync"))
    task._scanner = KnownFaces(faces)  # type: ignore[assignment]
    n = np.arange(FRAMES)
    output = OutputFrames(n, n / 12, np.full(FRAMES, 1 / 12), source.format)
    voice = Voice(mel_spectrogram(talk(7, seed=2).samples()), 7.0)
    plan = task.conclude([task.measure(0, iter([source]))], output, voice)
    device = DeviceBatch.from_frames(source, "cpu")
    task.render(device, plan.slice(0, FRAMES))
    return Drawing(task, plan, source, device.to_frames())


def planted(drawing: Drawing, change: Callable[[int, NDArray[np.float64]], NDArray[np.float64]]) -> FrameBatch:
    """The drawing with the luma of each frame's mouth, as far as it was drawn, changed."""
    luma = drawing.drawn.planes[0].copy()
    for i, (before, after) in enumerate(zip(drawing.source.planes[0], drawing.drawn.planes[0], strict=True)):
        touched = cv2.morphologyEx((before != after).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8)) > 0
        changed = change(i, after.astype(np.float64))
        luma[i][touched] = np.rint(changed[touched]).clip(0, 255)
    return replace(drawing.drawn, planes=(luma, *drawing.drawn.planes[1:]))


def short(found: Quality) -> set[str]:
    return {line.split()[0] for line in falls_short(found.measures, GATE)}


def test_a_good_drawing_is_inside_every_limit(drawing: Drawing) -> None:
    found = drawing.judged()
    assert set(found.measures) == {name for name in KINDS if not name.startswith("lse")}
    assert short(found) == set(), found.measures
    assert found.looked_at > 0.5 * FRAMES
    assert {one.measure for one in found.worst} == {"seam", "flicker", "sharpness"}
    for one in found.worst:
        picture = cv2.imdecode(np.frombuffer(one.picture, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape == (160, 320, 3)


def test_brightness_that_comes_and_goes_is_flicker(drawing: Drawing) -> None:
    found = drawing.judged(planted(drawing, lambda i, luma: luma * (1.04 if i % 2 else 1.0)))
    assert "flicker" in short(found), found.measures
    assert "border" not in short(found), "it is the same everywhere"


def test_a_hard_edge_is_a_seam(drawing: Drawing) -> None:
    found = drawing.judged(planted(drawing, lambda i, luma: luma + 6))
    assert "seam" in short(found), found.measures
    assert "flicker" not in short(found), "it stays"


def test_a_blurred_mouth_is_not_sharp(drawing: Drawing) -> None:
    found = drawing.judged(planted(drawing, lambda i, luma: cv2.GaussianBlur(luma, (0, 0), 1.0)))
    assert short(found) == {"sharpness"}, found.measures


def test_a_segment_that_was_drawn_otherwise_is_seen_at_its_border(drawing: Drawing) -> None:
    found = drawing.judged(planted(drawing, lambda i, luma: luma * (1.05 if i >= SEGMENTS[1][0] else 1.0)))
    assert "border" in short(found), found.measures


def test_a_mouth_that_speaks_another_voice_is_out_of_sync(drawing: Drawing) -> None:
    for shift in (17, 29, 41):
        asked = {"opening": np.roll(drawing.plan.asked["opening"], shift)}
        shuffled = replace(drawing, plan=replace(drawing.plan, asked=asked))
        assert short(shuffled.judged()) == {"sync"}, shuffled.judged().measures


def test_nothing_is_said_of_nothing(drawing: Drawing) -> None:
    assert drawing.judged(drawing.source) == Quality({}, 0)
    still = np.full((160, 160, 3), 0.4, np.float32)
    assert look_at(still, still) is None


def test_a_limit_is_read_and_a_wrong_one_refused() -> None:
    assert parse_gate("sync=0.3, sharpness=0.6") == (("sharpness", 0.6), ("sync", 0.3))
    with pytest.raises(JobError, match="there is no measure 'sharp'; measures are seam, flicker"):
        parse_gate("sharp=1")
    with pytest.raises(JobError, match="--quality-gate sync=high: expected NAME=NUMBER"):
        parse_gate("sync=high")
    with pytest.raises(JobError, match="--quality-gate: found nothing"):
        parse_gate(",")
    assert list(falls_short({"seam": 2.0, "sync": 0.1}, (("seam", 1.0), ("sharpness", 0.5), ("sync", 0.3)))) == [
        "seam is 2.00, asked for at most 1",
        "sync is 0.10, asked for at least 0.3",
    ]
