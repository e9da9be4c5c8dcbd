"""What lies before mouths of real clips is seen, and clean ones show nothing (REELYARD_TEST_DATA).

The microphone is drawn, as no clip at hand has a real one before a mouth.
"""

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.faces.policy import reasons
from tasks.faces.tracks import associate
from tasks.lip_sync.face_frame import CHIN, crop_matrices, face_frames, in_frame
from tasks.lip_sync.occlusion.hidden import hidden_maps
from tasks.lip_sync.occlusion.hull import hull_cells
from tasks.lip_sync.occlusion.surface import COLUMNS, ROWS, SIDE
from tasks.lip_sync.seen import Scan, read_units
from tasks.lip_sync.task import LipSyncTask
from tasks.table import parse_task
from tests.tasks.lip_sync.faces import as_batch, cut
from tests.tasks.lip_sync.occlusion.made import Picture, microphone

#: Speech, and a head that turns.
CLIPS = (
    "LivePortrait__assets_examples_driving_d13.mp4",
    "SampleVideo__hls_WindowsVideo.mp4",
)
FRAMES = 110
COVERED = range(45, 75)


@lru_cache
def pictures(path: Path) -> tuple[Picture, ...]:
    """At about 400 lines."""
    film = cv2.VideoCapture(str(path))
    found = [film.read()[1] for _ in range(FRAMES)]
    film.release()
    scale = 400 / found[0].shape[0]
    size = tuple(2 * round(side * scale / 2) for side in found[0].shape[1::-1])
    small = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in found)
    return tuple(np.ascontiguousarray(one[..., ::-1]).astype(np.uint8) for one in small)


def scanned(frames: tuple[Picture, ...]) -> Scan:
    return read_units([LipSyncTask(parse_task("lip-sync")).measure(0, iter([as_batch(frames)]))])


def maps_of(scan: Scan) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Of the largest face: its maps, its points and in which frames its mouth is seen."""
    track = max(associate(scan.found, Fraction(25)), key=lambda one: float(one.size_pixels.sum()))
    assert track.end == FRAMES
    maps = hidden_maps(track, scan.found, scan.surfaces)
    nothing = np.zeros((len(track.valid), ROWS.stop - ROWS.start, COLUMNS.stop - COLUMNS.start), np.float32)
    return nothing if maps is None else maps, track.points, reasons(track) == 0


@pytest.mark.parametrize("clip", CLIPS)
def test_nothing_lies_before_the_mouths_of_clean_clips(test_data: Path, clip: str) -> None:
    maps, _, _ = maps_of(scanned(pictures(test_data / "data" / "faces" / clip)))
    assert not maps.any()


def test_a_microphone_before_a_real_mouth_is_seen_where_it_is(test_data: Path) -> None:
    clean = pictures(test_data / "data" / "faces" / CLIPS[0])
    _, points, _ = maps_of(scanned(clean))
    eyes = float(np.median(np.linalg.norm(points[:, 50] - points[:, 47], axis=1)))
    both = [(one, np.zeros(one.shape[:2], np.bool_)) for one in clean]
    for i in COVERED:
        away = max(0, 4 - min(i - COVERED.start, COVERED.stop - 1 - i)) * 0.25
        x, y = points[i, :12].mean(0) + eyes * np.array([0.16 + away, 0.24])
        both[i] = microphone(clean[i], (float(x), float(y)), 0.2 * eyes)
    maps, points, seen = maps_of(scanned(tuple(one for one, _ in both)))
    assert not maps[: COVERED.start - 2].any()
    assert not maps[COVERED.stop + 2 :].any()
    shares = [of_hull(maps[i], both[i][1], points[i]) for i in COVERED if seen[i]]
    told = np.array([one for one in shares if one is not None])
    assert len(told) > 12
    recall, overlap = told.mean(0)
    assert recall > 0.85, "so much of what it covers of mouth and jaw is left alone"
    assert overlap > 0.6, "and little besides (intersection over union)"


def of_hull(
    found: NDArray[np.float32], where: NDArray[np.bool_], points: NDArray[np.float32]
) -> tuple[float, float] | None:
    """Recall and intersection over union within mouth and jaw; None where nearly nothing is covered."""
    matrix = crop_matrices(face_frames(points[None]), CHIN, SIDE * 4)
    hull = hull_cells(in_frame(matrix, points[None])[0], SIDE, 4)[ROWS, COLUMNS]
    fine = cut(np.repeat(where[..., None], 3, 2).astype(np.uint8) * 255, matrix[0].astype(np.float32), SIDE * 4)
    true = cv2.resize(fine[..., 0] / np.float32(255), (SIDE, SIDE), interpolation=cv2.INTER_AREA)[ROWS, COLUMNS]
    if (true * hull).sum() < 0.08 * hull.sum():
        return None
    common = (np.minimum(found, true) * hull).sum()
    return float(common / (true * hull).sum()), float(common / (np.maximum(found, true) * hull).sum())
