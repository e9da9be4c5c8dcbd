"""Boxes of the faces in one picture, by OpenCV's Haar cascades; knows no network and no other frame.

Cascades raise false alarms: whoever asks for boxes verifies each one (the landmark network's
presence).  They are asked in passes from strict to lenient; the next pass is worth its time only
where the one before found nothing that stood up to verification.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

#: The longer side of the picture that the cascades see; they find no face under 20 pixels, 4 % of it.
WORKING_SIDE: Final = 480
_LEAST_SIDE: Final = 20
#: Boxes that share more than this part of the smaller one are the same face.
SAME_FACE: Final = 0.45


@dataclass(frozen=True)
class _Pass:
    cascade: str
    scale_step: float
    neighbours: int
    equalised: bool = False
    mirrored: bool = False


#: Strict, lenient, then profiles to either side.
PASSES: Final = (
    (_Pass("haarcascade_frontalface_alt2.xml", 1.15, 4),),
    (
        _Pass("haarcascade_frontalface_alt2.xml", 1.07, 2, equalised=True),
        _Pass("haarcascade_frontalface_default.xml", 1.1, 3),
        _Pass("haarcascade_profileface.xml", 1.1, 3),
        _Pass("haarcascade_profileface.xml", 1.1, 3, mirrored=True),
    ),
)


#: A cascade bears some 20 degrees to either side of these.
TILTS: Final = (-40.0, 40.0)


#: By name: cascades that nobody uses at the moment.
_IDLE: defaultdict[str, list[cv2.CascadeClassifier]] = defaultdict(list)


@contextmanager
def _cascade(name: str) -> Iterator[cv2.CascadeClassifier]:
    """A cascade of one caller: it keeps its picture inside, so that two threads would get each other's boxes."""
    try:
        cascade = _IDLE[name].pop()
    except IndexError:
        cascade = cv2.CascadeClassifier(cv2.data.haarcascades + name)  # type: ignore[attr-defined]
    try:
        yield cascade
    finally:
        _IDLE[name].append(cascade)


def detect_faces(luma: NDArray[np.uint8], strictness: int = 0) -> NDArray[np.float32]:
    """Boxes (N, 4) x, y, w, h in pixels of `luma` (H, W), the largest first; a pure function.

    `strictness` is the index of the pass in `PASSES`: 0 strict, 1 lenient.
    """
    small, scale = _smaller(luma)
    boxes = [box for look in PASSES[strictness] for box in _look(small, look)]
    found = np.array(boxes, np.float32).reshape(-1, 4) * np.float32(scale)
    return _distinct(found)


def detect_tilted_faces(luma: NDArray[np.uint8]) -> list[tuple[NDArray[np.float32], float]]:
    """Faces tilted by more than a cascade bears: boxes (4,) of which each has its size and middle, and its tilt.

    The tilt is in radians, clockwise as seen.
    """
    small, scale = _smaller(luma)
    height, width = small.shape
    found = []
    for degrees in TILTS:
        # OpenCV turns counter-clockwise: a face that is tilted clockwise comes upright.
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        upright = cv2.warpAffine(small, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        back = cv2.invertAffineTransform(turn)
        for x, y, w, h in _look(np.asarray(upright, np.uint8), PASSES[0][0]):
            middle = back[:, :2] @ (x + w / 2, y + h / 2) + back[:, 2]
            box = np.array([middle[0] - w / 2, middle[1] - h / 2, w, h], np.float32) * np.float32(scale)
            found.append((box, math.radians(degrees)))
    return found


def _smaller(luma: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The picture as cascades see it, and how many times smaller that is."""
    height, width = luma.shape
    scale = max(1.0, max(height, width) / WORKING_SIDE)
    if scale == 1:
        return luma, scale
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _look(small: NDArray[np.uint8], look: _Pass) -> list[tuple[int, int, int, int]]:
    picture = cv2.equalizeHist(small) if look.equalised else small
    if look.mirrored:
        picture = cv2.flip(picture, 1)
    with _cascade(look.cascade) as cascade:
        found = cascade.detectMultiScale(
            picture, scaleFactor=look.scale_step, minNeighbors=look.neighbours, minSize=(_LEAST_SIDE, _LEAST_SIDE)
        )
    width = small.shape[1]
    return [(int(width - x - w if look.mirrored else x), int(y), int(w), int(h)) for x, y, w, h in found]


def _distinct(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The boxes without those that repeat a larger one, largest first, ties from top left."""
    order = sorted(range(len(boxes)), key=lambda i: (-boxes[i, 2] * boxes[i, 3], boxes[i, 1], boxes[i, 0]))
    kept: list[NDArray[np.float32]] = []
    for i in order:
        if all(overlap(boxes[i], other) < SAME_FACE for other in kept):
            kept.append(boxes[i])
    return np.array(kept, np.float32).reshape(-1, 4)


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Shared area of two x, y, w, h boxes as a part of the smaller one, 0 to 1."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return float(w * h / max(1e-6, min(a[2] * a[3], b[2] * b[3])))
