"""What a detector finds in one picture, and the picture as it is shown to one."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

#: The longer side of the picture that a network sees.
WORKING_SIDE: Final = 640


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one picture, the surest first."""

    boxes: NDArray[np.float32]
    "(N, 4) x, y, w, h in pixels of the picture; may reach past its edges."
    points: NDArray[np.float32] | None
    "(N, 5, 2) both eyes, nose, both mouth corners, of each pair the picture's left one first; None: not told."
    scores: NDArray[np.float32]
    "(N,) 0 to 1."

    def enlarged(self, by: NDArray[np.float32]) -> "FoundFaces":
        """The same in a picture that is so many times as (wide, high)."""
        points = None if self.points is None else self.points * by
        return FoundFaces(self.boxes * np.tile(by, 2), points, self.scores)


def made_smaller(picture: NDArray[np.uint8], longest: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The picture (H, W, 3) with no side longer than `longest`, and how many times as (wide, high) it was."""
    height, width = picture.shape[:2]
    scale = max(1.0, max(height, width) / longest)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    if scale > 1:
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return picture, np.array([width / size[0], height / size[1]], np.float32)
