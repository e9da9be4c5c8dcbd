"""Pictures with known faces, made from one public-domain portrait: moved, turned, doubled, covered, gone."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

#: Where the portrait's face is: its middle and about the distance of its outer eye corners.
MIDDLE = (224.0, 120.0)
EYES_APART = 58.0


@lru_cache
def portrait() -> Picture:
    """(512, 512, 3) RGB of the demo's portrait (NASA, public domain)."""
    path = Path(__file__).parents[3] / "tasks" / "data" / "demo" / "portrait.jpg"
    found = cv2.imread(str(path))
    assert found is not None
    return np.ascontiguousarray(found[..., ::-1])


def similarity(x: float = 0, y: float = 0, scale: float = 1, degrees: float = 0) -> NDArray[np.float32]:
    """(2, 3) from portrait pixels to picture pixels: turned and scaled about the face, then moved."""
    turn = np.radians(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array(MIDDLE)
    return np.c_[linear, np.add(middle, (x, y)) - linear @ middle].astype(np.float32)


def moved(matrix: NDArray[np.float32], width: int = 512, height: int = 512) -> Picture:
    """The portrait under `matrix`, its edge repeated."""
    out = cv2.warpAffine(portrait(), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def under(matrix: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def pan(frames: int, step: float = 1.5) -> tuple[list[Picture], list[NDArray[np.float32]]]:
    """A slow pan over the portrait, zooming in and tilting a little, with each frame's matrix."""
    matrices = [similarity(step * t - 10, 0.5 * t, 1 + 0.004 * t, 0.3 * t) for t in range(frames)]
    return [moved(matrix) for matrix in matrices], matrices


def two_faces() -> Picture:
    """(360, 720, 3): the face twice, the right one larger."""
    left = moved(similarity(-60, 20, 0.9), 360, 360)
    right = moved(similarity(-40, 60, 1.3), 360, 360)
    return np.concatenate((left, right), 1)


def empty(height: int = 512, width: int = 512) -> Picture:
    """Waves and blocks: texture, but no face."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 128 + 60 * np.sin(x / 23) * np.cos(y / 31) + 30 * ((x // 40 + y // 40) % 2)
    return np.repeat(np.clip(waves, 0, 255).astype(np.uint8)[..., None], 3, -1)


def covered(points: NDArray[np.float32]) -> Picture:
    """The portrait with a piece of its own hair and background laid over the mouth of `points`."""
    out = portrait().copy()
    lips = points[:12]
    low, high = np.subtract(lips.min(0), (10, 8)).astype(int), np.add(lips.max(0), (10, 8)).astype(int)
    h, w = high[1] - low[1], high[0] - low[0]
    out[low[1] : high[1], low[0] : high[0]] = portrait()[20 : 20 + h, 330 : 330 + w]
    return out


@lru_cache
def stranger() -> Picture:
    """The portrait mirrored and painted with stripes: to an embedding of textures somebody else."""
    out = np.ascontiguousarray(portrait()[:, ::-1]).astype(np.float32)
    rows, columns = np.mgrid[0:512, 0:512]
    head = np.clip((90 - np.hypot(rows - MIDDLE[1], columns - (511 - MIDDLE[0]))) / 20, 0, 1)
    stripes = np.sign(np.sin((rows * np.cos(0.8) + columns * np.sin(0.8)) * 2 * np.pi / 6)) * head * 22
    return np.clip(out * 0.85 + stripes[..., None], 0, 255).astype(np.uint8)
