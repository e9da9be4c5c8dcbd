"""Boxes and five points of the faces in one picture by YuNet, run by OpenCV from its ONNX file."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.errors import WeightsError
from tasks.faces.found import WORKING_SIDE, FoundFaces, made_smaller

LEAST_SCORE: Final = 0.6
SAME_FACE: Final = 0.3


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
        shown, enlarge = made_smaller(picture, working_side)
        self._network.setInputSize(shown.shape[1::-1])
        _, rows = self._network.detect(shown)
        found = np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        found = found[np.argsort(-found[:, 14], kind="stable")]
        return FoundFaces(found[:, :4], found[:, 4:14].reshape(-1, 5, 2), found[:, 14]).enlarged(enlarge)
