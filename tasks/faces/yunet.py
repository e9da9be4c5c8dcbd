"""Boxes and five points of the faces in one picture by YuNet, run by OpenCV from its ONNX file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.errors import WeightsError

LEAST_SCORE: Final = 0.6
SAME_FACE: Final = 0.3
#: The longer side of the picture that the network sees.
WORKING_SIDE: Final = 640


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one picture, the surest first."""

    boxes: NDArray[np.float32]
    "(N, 4) x, y, w, h in pixels of the picture; may reach past its edges."
    points: NDArray[np.float32]
    "(N, 5, 2) x, y: eye and eye, nose, mouth corner and mouth corner; of each pair the picture's left one first."
    scores: NDArray[np.float32]
    "(N,) 0 to 1."


class YuNet:
    """The network in memory; used by one thread at a time."""

    def __init__(self, path: Path, *, least_score: float = LEAST_SCORE) -> None:
        """The network of an ONNX file.

        Raises:
            WeightsError: there is no file, or it is no YuNet.
        """
        if not path.is_file():
            raise WeightsError(f"{path}: no such file of weights")
        self._path = path
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", (64, 64), least_score, SAME_FACE, 5000)
            self._network.detect(np.zeros((64, 64, 3), np.uint8))
        except cv2.error as error:
            reason = " ".join(str(error).split())
            raise WeightsError(f"{path}: cannot be run as YuNet; choose the file of that network ({reason})") from error

    def find(self, picture: NDArray[np.uint8], *, working_side: int = WORKING_SIDE) -> FoundFaces:
        """Faces of a BGR picture (H, W, 3), which is made smaller where a side is longer than `working_side`."""
        height, width = picture.shape[:2]
        scale = max(1.0, max(height, width) / working_side)
        size = (max(1, round(width / scale)), max(1, round(height / scale)))
        if scale > 1:
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        self._network.setInputSize(size)
        _, rows = self._network.detect(picture)
        found = np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        found = found[np.argsort(-found[:, 14], kind="stable")]
        enlarge = np.array([width / size[0], height / size[1]], np.float32)
        points = found[:, 4:14].reshape(-1, 5, 2) * enlarge
        return FoundFaces(found[:, :4] * np.tile(enlarge, 2), points, found[:, 14])
