"""What a scan keeps for SyncNet, and the offset that comes of it: runs of one face, whatever the batches."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.faces.measure import FrameFaces
from tasks.faces.selector import parse_face_selector
from tasks.lip_sync.seen import read_units
from tasks.lip_sync.source_offset import BY_OPENINGS, asked_offset_seconds, source_offset
from tasks.lip_sync.syncnet.clips import Clip, ClipKeeper, clips_from_arrays, clips_to_arrays, jpeg_of, thinned_clips
from tasks.task import SoundStretch, UnitMeasurement
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, measured
from tests.tasks.lip_sync.syncnet.experts import Planted, brightness, heard, loudness, mouths
from tests.tasks.lip_sync.talking import seen_talking, talk
from tests.tasks.lip_sync.test_source_offset import output

LARGEST = parse_face_selector("largest")
BESIDE = (PORTRAIT_POINTS + np.array([160, 0])).astype(np.float32)


class Numbered:
    """Pictures all as bright as their number says."""

    def crop(self, i: int, matrix: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
        return np.full((size, size, 3), i % 200, np.uint8)


def kept(frames: list[FrameFaces], start: int = 0) -> tuple[Clip, ...]:
    keeper = ClipKeeper()
    for i, faces in enumerate(frames):
        keeper.look(start + i, faces, Numbered(), i)
    return keeper.kept()


def seen(*points: NDArray[np.float32], cut: bool = False) -> FrameFaces:
    return FrameFaces(tuple(measured(one) for one in points), cut)


def test_runs_of_each_face_are_kept_and_end_with_a_cut_a_loss_or_their_length() -> None:
    one, two = seen(PORTRAIT_POINTS), seen(PORTRAIT_POINTS, BESIDE)
    assert [(clip.frame, len(clip.jpegs)) for clip in kept([one] * 300)] == [(0, 64), (240, 60)]
    assert [(clip.frame, len(clip.jpegs)) for clip in kept([two] * 20)] == [(0, 20), (0, 20)]
    cut = [*[one] * 20, seen(PORTRAIT_POINTS, cut=True), *[one] * 15]
    assert [(clip.frame, len(clip.jpegs)) for clip in kept(cut)] == [(0, 20), (20, 16)]
    lost = [*[one] * 20, seen(), *[one] * 14]
    assert [(clip.frame, len(clip.jpegs)) for clip in kept(lost)] == [(0, 20), (21, 14)]
    assert kept([*[one] * 8, seen(), *[one] * 8]) == (), "too short to say anything"
    crossing = [*[two] * 20, *[seen(BESIDE)] * 20]
    assert [(clip.frame, len(clip.jpegs)) for clip in kept(crossing)] == [(0, 20), (0, 40)]


def test_clips_survive_storage_with_the_mouths_of_their_frames() -> None:
    clips = kept([seen(PORTRAIT_POINTS, BESIDE)] * 30, start=7)
    back = clips_from_arrays(clips_to_arrays(clips))
    assert [(one.frame, one.jpegs) for one in back] == [(one.frame, one.jpegs) for one in clips]
    assert np.array_equal(back[1].points, BESIDE)
    assert back[0].mouths.shape == (30, 48, 96, 3)
    assert np.abs(back[0].mouths[:, 20, 40, 0].astype(int) - np.arange(30)).max() <= 2
    assert clips_from_arrays({}) == [], "of a scan that kept none"
    assert clips_from_arrays(clips_to_arrays([])) == []
    assert len(thinned_clips(back * 100)) <= 48


def test_the_lower_half_is_kept_as_it_is() -> None:
    face = np.zeros((96, 96, 3), np.uint8)
    face[48:, :, 0] = 200
    half = cv2.imdecode(np.frombuffer(jpeg_of(face), np.uint8), cv2.IMREAD_COLOR)
    assert half is not None
    assert half.shape == (48, 96, 3)
    assert abs(int(half[20, 40, 2]) - 200) < 8, "OpenCV's order, red last"


def unit_of(shown: NDArray[np.uint8], frames: int) -> UnitMeasurement:
    """A scan of a portrait that keeps still, with clips of mouths as said."""
    unit = seen_talking(replace(talk(20), opening=np.zeros(20_000)), np.arange(frames) / 25)
    points = read_units([unit]).found.points[0]
    clips = [
        Clip(at, points, tuple(jpeg_of(np.concatenate([one, one])) for one in shown[at : at + 64])) for at in (0, 240)
    ]
    return replace(unit, arrays={**unit.arrays, **clips_to_arrays(clips)})


@pytest.mark.parametrize("late", [-9, 0, 4])
def test_the_expert_is_asked_first_and_told(late: int) -> None:
    said, frames = loudness(20), 400
    seconds = 0.75 + np.arange(frames) / 25
    unit = unit_of(mouths(brightness(said, seconds + late / 25)), frames)
    shown = output(frames, SoundStretch(0, seconds, heard(said)))
    found = source_offset(read_units([unit]), shown, LARGEST, Planted())
    assert found.found is not None
    assert round(25 * found.found.seconds) == late
    assert found.facts["sound offset by"] == "planted"
    assert found.facts["sound offset ms"] == 40 * late
    assert float(found.facts["source lse_d"]) < 0.05 < float(found.facts["source lse_c"])
    assert "by planted)" in found.sentence
    assert asked_offset_seconds("auto", found) == -late / 25
    nobody = source_offset(read_units([unit]), shown, parse_face_selector("#2"), Planted())
    assert nobody.found is None, "the clips are of another face"


def test_without_an_expert_or_without_clips_openings_are_held_against_the_sound() -> None:
    said = talk(20)
    unit = seen_talking(said, np.arange(500) / 25)
    from tests.tasks.lip_sync.test_source_offset import stretch

    shown = output(500, stretch(said, 0, 500, 0.2))
    plain = source_offset(read_units([unit]), shown, LARGEST)
    assert plain == source_offset(read_units([unit]), shown, LARGEST, Planted())
    assert plain.facts["sound offset by"] == BY_OPENINGS
    assert "by openings" not in plain.sentence
    assert "source lse_d" not in plain.facts
