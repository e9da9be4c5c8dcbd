"""The lower half of a face, upright and of one size, out of pictures on any device: what quality is measured in."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tasks.device_batch import DeviceBatch
from tasks.lip_sync.face_frame import face_frames, to_picture
from tasks.lip_sync.wav2lip.draw import sample_crop
from tasks.turning import Box

Array = NDArray[np.float64]
Picture = NDArray[np.float32]

#: Pixels of a crop's sides; a generator of 96 pixels a face is seen to be soft at this.
SIDE: Final = 160
#: What a crop shows, in outer-eye distances from between the eyes: x to either side, y from here to there.
HALF_WIDTH: Final = 0.62
TOP, BOTTOM = 0.32, 1.56


def mouth_matrices(points: NDArray[np.floating]) -> Array:
    """(T, 2, 3) maps from crop pixels to picture pixels for faces of points (T, 51, 2)."""
    frames = face_frames(points)
    width, height = 2 * HALF_WIDTH / SIDE, (BOTTOM - TOP) / SIDE
    corner = np.array([-HALF_WIDTH + width / 2, TOP + height / 2])
    linear = frames[..., :2] * np.array([width, height])
    return np.concatenate([linear, (frames[..., :2] @ corner + frames[..., 2])[..., None]], 2)


def crop(batch: DeviceBatch, frame: int, matrix: Array, side: int = SIDE) -> Picture:
    """(side, side, 3) R'G'B' in 0..1 of one picture of a batch, in host memory."""
    around = _box(matrix, side)
    rgb = batch.read([frame], [around], tone_mapped=True)
    found = sample_crop(rgb, around, matrix, side=side)[0].clamp(0, 1).permute(1, 2, 0)
    return np.ascontiguousarray(found.cpu().numpy())


def _box(matrix: Array, side: int) -> Box:
    """The even box of pixels that a crop looks at; may hang over the border."""
    ends = (-0.5, side - 0.5)
    corners = to_picture(matrix[None], np.array([(x, y) for x in ends for y in ends]))[0]
    low = np.floor((corners.min(0) - 2) / 2).astype(int) * 2
    high = np.ceil((corners.max(0) + 3) / 2).astype(int) * 2
    return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


@dataclass(frozen=True)
class BatchCrops:
    """One batch as the landmark network looks at pictures."""

    batch: DeviceBatch

    def __len__(self) -> int:
        return len(self.batch)

    def luma(self, i: int) -> NDArray[np.uint8]:
        raise NotImplementedError("a face that is known is never looked for")

    def crop(self, i: int, matrix: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
        """(size, size, 3) RGB."""
        with torch.inference_mode():
            return np.rint(crop(self.batch, i, np.asarray(matrix, np.float64), size) * 255).astype(np.uint8)


def side_by_side(before: Picture, after: Picture) -> bytes:
    """JPEG of two crops."""
    both = np.rint(np.concatenate([before, after], 1)[..., ::-1] * 255).astype(np.uint8)
    good, data = cv2.imencode(".jpg", both, [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert good
    return data.tobytes()
