"""Boxes and five points of the faces in one picture by RetinaFace, from a checkpoint of either kind.

Anchors, variances and thresholds as in biubug6/Pytorch_Retinaface (prior_box.py, box_utils.py, detect.py).
"""

from math import ceil
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.checkpoint import fill, read
from tasks.faces.found import WORKING_SIDE, FoundFaces, made_smaller
from tasks.nets.retinaface import SIDES, STRIDES, RetinaFace, is_deep

LEAST_SCORE: Final = 0.6
#: Boxes that share more than this part of their union are the same face.
SAME_FACE: Final = 0.3
_VARIANCES: Final = (0.1, 0.2)
_MEAN_BGR: Final = (104.0, 117.0, 123.0)


class RetinaFaceDetector:
    """The network in memory."""

    def __init__(self, path: Path, *, device: str = "cpu", least_score: float = LEAST_SCORE) -> None:
        """The network of a checkpoint, MobileNet 0.25 or ResNet-50 by its keys.

        Raises:
            WeightsError: there is no file, or it is of another network; names the first key that differs.
        """
        state = read(path)
        network = RetinaFace(deep=is_deep(state))
        fill(network, state, of=str(path))
        self._network = network.eval().to(device)
        self._device = torch.device(device)
        self._least_score = least_score

    @torch.inference_mode()
    def find(self, picture: NDArray[np.uint8], *, working_side: int = WORKING_SIDE) -> FoundFaces:
        """Faces of a BGR picture (H, W, 3), which is made smaller where a side is longer than `working_side`."""
        small, enlarge = made_smaller(picture, working_side)
        shown = torch.from_numpy(small.astype(np.float32) - np.array(_MEAN_BGR, np.float32))
        answers = self._network(shown.permute(2, 0, 1)[None].to(self._device))
        classes, boxes, points = (answer[0].cpu() for answer in answers)
        size = (small.shape[1], small.shape[0])
        return faces_of(classes, boxes, points, size, least_score=self._least_score).enlarged(enlarge)


def anchors_of(size: tuple[int, int]) -> Tensor:
    """(A, 3) middle x, middle y and side of every anchor of a picture of `size` (width, height), in its pixels."""
    found = []
    for stride, sides in zip(STRIDES, SIDES, strict=True):
        rows, columns = (torch.arange(ceil(length / stride)) for length in (size[1], size[0]))
        y, x, side = torch.meshgrid(
            (rows + 0.5) * stride, (columns + 0.5) * stride, torch.tensor(sides, dtype=torch.float32), indexing="ij"
        )
        found.append(torch.stack([x, y, side], -1).reshape(-1, 3))
    return torch.cat(found)


def faces_of(
    classes: Tensor, boxes: Tensor, points: Tensor, size: tuple[int, int], *, least_score: float = LEAST_SCORE
) -> FoundFaces:
    """The faces that the network's answers (A, 2), (A, 4), (A, 10) for one picture mean, the surest first."""
    scores = classes.float().softmax(1)[:, 1]
    sure = torch.nonzero(scores > least_score)[:, 0]
    anchors = anchors_of(size)[sure]
    middle, side = anchors[:, :2], anchors[:, 2:]
    moved = middle + _VARIANCES[0] * side * boxes[sure, :2].float()
    sides = side * (_VARIANCES[1] * boxes[sure, 2:].float()).exp()
    where = middle[:, None] + _VARIANCES[0] * side[:, None] * points[sure].float().reshape(-1, 5, 2)
    found = torch.cat([moved - sides / 2, sides], 1).numpy()  # (M, 4) x, y, w, h
    kept = _distinct(found, scores[sure].numpy())
    return FoundFaces(found[kept], where.numpy()[kept], scores[sure].numpy()[kept])


def _distinct(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> list[int]:
    """Which boxes do not repeat a surer one, the surest first."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if all(_shared(boxes[i], boxes[k]) <= SAME_FACE for k in kept):
            kept.append(i)
    return kept


def _shared(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Intersection over union of two x, y, w, h boxes."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = float(max(w, 0) * max(h, 0))
    return both / max(float(a[2] * a[3] + b[2] * b[3]) - both, 1e-6)
