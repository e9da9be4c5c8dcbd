"""Faces for the tests of lip sync: a public-domain portrait with its points, and moved copies of it."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import tasks
from tasks.faces.measure import FaceMeasurement, geometry
from tasks.picture import Colour, FrameBatch, PictureFormat, pixel_layout

#: The points of the smiling portrait of the demo, in its pixels.
PORTRAIT_POINTS = np.array(
    [
        *[(200.0, 139.2), (204.7, 138.1), (215.3, 138.4), (222.1, 139.6), (229.4, 139.1), (241.2, 139.9)],
        *[(246.8, 141.5), (239.8, 149.4), (228.9, 155.0), (222.0, 155.5), (215.5, 154.5), (205.7, 147.9)],
        *[(203.0, 140.1), (205.3, 139.2), (208.3, 139.6), (211.9, 140.3), (216.5, 141.3), (222.4, 142.0)],
        *[(228.6, 141.9), (233.6, 141.4), (237.7, 141.0), (241.2, 141.0), (243.7, 142.1), (240.4, 145.3)],
        *[(237.5, 146.9), (233.3, 148.6), (228.2, 149.8), (222.2, 150.0), (216.6, 149.2), (212.0, 147.6)],
        *[(208.3, 145.5), (205.9, 143.6)],
        *[(180.7, 131.6), (186.8, 150.7), (191.1, 157.2), (196.9, 163.3), (206.7, 172.4), (221.3, 177.0)],
        *[(237.0, 173.6), (248.5, 165.6), (255.3, 160.0), (260.5, 153.8), (268.4, 135.1)],
        *[(223.9, 99.7), (221.8, 131.2), (208.8, 129.9), (236.3, 131.2)],
        *[(193.0, 101.2), (212.2, 103.9), (236.1, 104.9), (255.9, 103.6)],
    ],
    dtype=np.float32,
)


def portrait() -> NDArray[np.uint8]:
    """(512, 512, 3) uint8 RGB of a smiling woman whose teeth show: the picture of the demo."""
    picture = cv2.imread(str(Path(tasks.__file__).parent / "data" / "demo" / "portrait.jpg"))
    assert picture is not None
    return np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8)


def zoomed(factor: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The portrait's head enlarged, and its points."""
    head = portrait()[40:240, 120:320]
    size = round(200 * factor)
    picture = cv2.resize(head, (size, size), interpolation=cv2.INTER_CUBIC)
    points = (PORTRAIT_POINTS - (120, 40) + 0.5) * factor - 0.5
    return np.asarray(picture, dtype=np.uint8), points.astype(np.float32)


def cut(picture: NDArray[np.uint8], matrix: NDArray[np.float32], size: int = 256) -> NDArray[np.uint8]:
    """The crop whose pixels `matrix` (2, 3) maps to the picture's, edges repeated."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(picture, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, dtype=np.uint8)


def closed_points(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same face with its inner lips touching."""
    closed = points.copy()
    upper, lower = slice(13, 22), slice(31, 22, -1)
    middle = 0.7 * points[upper] + 0.3 * points[lower]
    closed[upper], closed[lower] = middle, middle
    return closed


SKIN, LIP, INSIDE = (190, 150, 130), (200, 40, 40), (0, 200, 0)


def painted(points: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """A face of flat colours: skin, red lips, and green between them."""
    picture = np.full((size, size, 3), SKIN, dtype=np.uint8)
    outer = cv2.convexHull(np.rint(points[0:12]).astype(np.int32))
    cv2.fillPoly(picture, [outer], LIP)
    cv2.fillPoly(picture, [np.rint(points[12:32] * 16).astype(np.int32)], INSIDE, shift=4)
    return picture


def as_batch(pictures: Sequence[NDArray[np.uint8]], first_frame: int = 0) -> FrameBatch:
    """Pictures in 4:2:0 BT.601 full range, as they come from the decoder."""
    height, width, _ = pictures[0].shape
    layout = pixel_layout("yuv420p")
    assert layout is not None
    planes = [[], [], []]  # type: ignore[var-annotated]
    for rgb in pictures:
        r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
        luma = 0.299 * r + 0.587 * g + 0.114 * b
        planes[0].append(luma)
        for plane, colour, span in ((1, b, 1.772), (2, r, 1.402)):
            chroma = (colour - luma) / span + 128
            planes[plane].append(chroma.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))
    numbers = np.arange(first_frame, first_frame + len(pictures), dtype=np.int64)
    stacked = tuple(np.rint(np.stack(plane)).clip(0, 255).astype(np.uint8) for plane in planes)
    for plane in stacked:
        plane.flags.writeable = False
    form = PictureFormat(layout, width, height, Colour(6, 6, 6, full_range=True))
    return FrameBatch(form, stacked, first_frame, numbers, numbers)


def measured(points: NDArray[np.float32], presence: float = 1.0) -> FaceMeasurement:
    """What the scanner says of a face with these points."""
    shape = geometry(points)
    return FaceMeasurement(
        points=points.astype(np.float32),
        presence=presence,
        hidden=0.0,
        opening=float(shape.opening),
        yaw=float(shape.yaw),
        pitch=float(shape.pitch),
        roll=float(shape.roll),
        sharpness=1.0,
        size_pixels=float(shape.size_pixels),
        detected=False,
    )
