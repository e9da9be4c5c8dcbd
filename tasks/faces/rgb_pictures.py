"""Pictures for the scanner from RGB arrays: photos, and frames of training and tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RgbPictures:
    frames: Sequence[NDArray[np.uint8]]
    "(H, W, 3) each"

    def __len__(self) -> int:
        return len(self.frames)

    def luma(self, i: int) -> NDArray[np.uint8]:
        return np.asarray(cv2.cvtColor(self.frames[i], cv2.COLOR_RGB2GRAY), np.uint8)

    def crop(self, i: int, matrix: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
        finer = max(1, round(float(np.hypot(matrix[0, 0], matrix[1, 0]))))
        linear = matrix[:, :2] / finer
        offset = matrix[:, 2] - linear.sum(1) * (finer - 1) / 2
        inner = np.concatenate((linear, offset[:, None]), 1)
        flags, side = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, size * finer
        fine = cv2.warpAffine(self.frames[i], inner, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
