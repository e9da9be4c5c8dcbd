"""Who looks for faces in a whole picture: cascades, which need no download, or a detector of the user's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.faces.detect import PASSES, detect_faces
from tasks.faces.found import FoundFaces
from tasks.faces.landmarks import Pictures
from tasks.faces.region import five_of, region_of_box, region_of_points, region_of_tight_box
from tasks.weights import Weights

#: The longer side of the picture that a network sees: first, and again where it saw nobody whom the landmarks confirm.
WORKING_SIDES: Final = (640, 1280)


@dataclass(frozen=True)
class Candidate:
    """What may be a face; whoever asks looks again."""

    box: NDArray[np.float32]
    "(4,) x, y, w, h in pixels of the upright picture"
    region: NDArray[np.float32]
    "(2, 3) where the landmark network is to look"


class Finder(Protocol):
    """Finds faces in one picture; depends on no other."""

    @property
    def passes(self) -> int:
        """How many there are, from the quick one to the thorough one."""
        ...

    def candidates(self, pictures: Pictures, i: int, passing: int) -> Sequence[Candidate]:
        """Of picture `i`, the likeliest first."""
        ...


class Cascades:
    """OpenCV's Haar cascades, on luma alone."""

    passes = len(PASSES)

    def candidates(self, pictures: Pictures, i: int, passing: int) -> Sequence[Candidate]:
        """The largest first."""
        return [Candidate(box, region_of_box(box)) for box in detect_faces(pictures.luma(i), passing)]


class Network:
    """A detector network, on colours."""

    passes = len(WORKING_SIDES)

    def __init__(self, find: Callable[[NDArray[np.uint8]], FoundFaces], shape: NDArray[np.float32]) -> None:
        """`find` sees BGR pictures as large as they are given; `shape` is the mean face of the landmark network."""
        self._find = find
        self._shape = shape

    def candidates(self, pictures: Pictures, i: int, passing: int) -> Sequence[Candidate]:
        """The surest first; nobody in a pass that would see no more than the one before."""
        longest = max(pictures.luma(i).shape)
        if passing and longest <= WORKING_SIDES[passing - 1]:
            return []
        scale = max(1.0, longest / WORKING_SIDES[passing])
        found = self._find(_smaller(pictures, i, scale))
        boxes = _enlarged(found.boxes.reshape(-1, 2, 2), scale, sizes=True).reshape(-1, 4)
        if found.points is None:
            regions = [region_of_tight_box(box) for box in boxes]
        else:
            points = _enlarged(found.points, scale)
            regions = [region_of_points(five, five_of(self._shape)) for five in points]
        return [Candidate(box, region) for box, region in zip(boxes, regions, strict=True)]


def open_finder(weights: Weights | None, shape: NDArray[np.float32]) -> Finder:
    """The detector of some weights, cascades where there are none; told by the file itself.

    Raises:
        WeightsError: the file is of no detector that is known.
    """
    if weights is None:
        return Cascades()
    path = Path(weights.path)
    longest = WORKING_SIDES[-1]
    if path.suffix == ".onnx":
        from tasks.faces.yunet import YuNet

        yunet = YuNet(path)
        return Network(lambda picture: yunet.find(picture, working_side=longest), shape)
    from tasks.checkpoint import read

    if "conv3_3_norm.weight" in read(path, key=weights.key):
        from tasks.faces.s3fd import S3FDDetector

        s3fd = S3FDDetector(path, key=weights.key)
        return Network(lambda picture: s3fd.find(picture, working_side=longest), shape)
    from tasks.faces.retinaface import RetinaFaceDetector

    retina = RetinaFaceDetector(path)
    return Network(lambda picture: retina.find(picture, working_side=longest), shape)


def _smaller(pictures: Pictures, i: int, scale: float) -> NDArray[np.uint8]:
    """The whole picture (h, w, 3) in BGR, `scale` times smaller."""
    height, width = pictures.luma(i).shape
    rows, columns = (max(1, round(side / scale)) for side in (height, width))
    offset = (scale - 1) / 2
    whole = pictures.crop(i, np.array([[scale, 0, offset], [0, scale, offset]], np.float32), max(rows, columns))
    return np.ascontiguousarray(whole[:rows, :columns, ::-1])


def _enlarged(places: NDArray[np.float32], scale: float, *, sizes: bool = False) -> NDArray[np.float32]:
    """Places (N, K, 2) of the smaller picture in the whole one's pixels; of boxes the second is a size."""
    moved = places * np.float32(scale)
    shift = np.float32((scale - 1) / 2)
    if sizes:
        moved[:, 0] += shift
        return moved
    return np.asarray(moved + shift, np.float32)
