"""The whole of lip sync on a real clip, judged by the teacher of the landmarks (REELYARD_TEST_DATA).

The landmark network learnt from this clip among others: the drawing is on trial here, not the network.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.device_batch import DeviceBatch
from tasks.faces.points import FACEMESH_VERTICES
from tasks.lip_sync.motion import Wish
from tasks.lip_sync.plan import plan_lip_sync
from tasks.lip_sync.seen import read_units
from tasks.lip_sync.shape import measure_eye_distance, measure_gap
from tasks.lip_sync.task import LipSyncTask
from tasks.table import parse_task
from tasks.task import OutputFrames
from tasks.turning import Box
from tests.tasks.lip_sync.faces import as_batch

CLIP = "faces/LivePortrait__assets_examples_driving_d13.mp4"
FRAMES = 60


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    film = cv2.VideoCapture(str(path))
    frames = [film.read()[1] for _ in range(FRAMES)]
    film.release()
    half = [cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for frame in frames]
    return [np.ascontiguousarray(frame[..., ::-1]).astype(np.uint8) for frame in half]


def test_the_drawn_mouth_opens_when_it_is_asked_to(test_data: Path) -> None:
    from tasks.training.landmarks.teacher import load_teacher, mesh_in_picture, region_of_mesh

    batch = as_batch(pictures(test_data / "data" / CLIP))
    task = LipSyncTask(parse_task("lip-sync"))
    share = 0.5 - 0.5 * np.cos(np.arange(FRAMES) / 25 * 5 * np.pi)
    output = OutputFrames(np.arange(FRAMES), np.arange(FRAMES) / 25, np.full(FRAMES, 0.04), batch.format)
    scan = read_units([task.measure(0, iter([batch]))])
    plan = plan_lip_sync(scan, output, [Wish(share, np.zeros(FRAMES))], task._cast(scan, output))
    assert plan.kept_by_reason(0, FRAMES) == {}
    device = DeviceBatch.from_frames(batch, "cpu")
    task.render(device, plan.slice(0, FRAMES))
    drawn = as_pictures(device)
    points = plan.per_frame["points"][:, 0]
    teacher, start, measured = load_teacher(test_data / "weights" / "facemesh.pth"), None, []
    for picture, seen in zip(drawn, points, strict=True):
        low, high = seen.min(axis=0), seen.max(axis=0)
        around = start if start is not None else box_region(low, high)
        mesh, _ = mesh_in_picture(teacher, picture, around, 3 if start is None else 1)
        start = region_of_mesh(mesh)
        found = mesh[list(FACEMESH_VERTICES)]
        measured.append(float(measure_gap(found) / measure_eye_distance(found)))
    wanted = plan.per_frame["gaps"][:, 0] / measure_eye_distance(points)
    assert np.corrcoef(measured, wanted)[0, 1] >= 0.85


def box_region(low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.float32]:
    """A level square region of the teacher's 192 pixels round a face."""
    side = 1.9 * float((high - low).max())
    centre = (low + high) / 2 - (0, 0.12 * side)
    scale = side / 192
    return np.array([[scale, 0, centre[0] - 95.5 * scale], [0, scale, centre[1] - 95.5 * scale]], np.float32)


def as_pictures(batch: DeviceBatch) -> list[NDArray[np.uint8]]:
    height, width = batch.format.upright_size
    whole = [Box(0, 0, width, height)]
    rgb = [batch.read([i], whole)[0].clamp(0, 1).permute(1, 2, 0).numpy() for i in range(len(batch))]
    return [np.rint(picture * 255).astype(np.uint8) for picture in rgb]
