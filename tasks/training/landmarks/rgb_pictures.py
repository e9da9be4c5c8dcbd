"""Pictures for the scanner from RGB arrays, for training's figures and for tests."""

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
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out = cv2.warpAffine(self.frames[i], matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, np.uint8)
