"""Things before faces: maps of them, and pictures with them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.face_frame import CHIN, crop_matrices, face_frames, to_picture
from tasks.lip_sync.occlusion.surface import COLUMNS, ROWS, SIDE

Picture = NDArray[np.uint8]


def cells_over(points: NDArray[np.float32], box: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """(11, 20) 1 in the cells of a face whose middles lie in a box (left, top, right, bottom) of its picture."""
    down, across = np.mgrid[ROWS, COLUMNS]
    places = np.stack([across, down], -1).reshape(-1, 2).astype(np.float64)
    x, y = to_picture(crop_matrices(face_frames(points[None]), CHIN, SIDE), places)[0].T
    inside = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    return inside.reshape(across.shape).astype(np.float32)


def microphone(picture: Picture, at: tuple[float, float], radius: float) -> tuple[Picture, NDArray[np.bool_]]:
    """The picture with a dark ball on a rod that comes from below, and where they are."""
    where = np.zeros(picture.shape[:2], np.uint8)
    middle = (round(at[0]), round(at[1]))
    cv2.circle(where, middle, round(radius), 1, -1)
    cv2.line(where, middle, (middle[0] + round(radius), picture.shape[0]), 1, max(2, round(radius * 0.7)))
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    shade = 34 + 9 * np.sin((x - middle[0]) / 2.0) * np.sin((y - middle[1]) / 2.0)
    covered = np.where(where[..., None] > 0, shade[..., None], picture)
    return covered.astype(np.uint8), where > 0
