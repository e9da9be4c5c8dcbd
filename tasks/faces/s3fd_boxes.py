"""Boxes of faces read from S3FD's maps; knows no network and no picture.

Anchors, variances and thresholds as in the sfd detector of 1adrianb/face-alignment (detect.py,
bbox.py).  There candidates down to a score of 0.05 are decoded and sorted out at 0.5 in the end;
they could only have outdone weaker ones, so they are left out from the start, with the same result.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from tasks.nets.s3fd import STRIDES

LEAST_SCORE: Final = 0.5
#: Boxes that share more than this part of their union are the same face.
SAME_FACE: Final = 0.3
#: Side of an anchor in strides.
_ANCHOR: Final = 4
_VARIANCES: Final = (0.1, 0.2)

Maps = Sequence[tuple[Tensor, Tensor]]


def boxes_of(maps: Maps, *, least_score: float = LEAST_SCORE) -> list[Tensor]:
    """Of each picture (M, 5) left, top, right, bottom, score in its pixels; the surest first."""
    pictures = len(maps[0][0])
    found = [[_of_map(*maps[i], stride, n, least_score) for i, stride in enumerate(STRIDES)] for n in range(pictures)]
    return [distinct(torch.cat(candidates)) for candidates in found]


def _of_map(classes: Tensor, boxes: Tensor, stride: int, picture: int, least_score: float) -> Tensor:
    """Candidates (M, 5) of one map (2, h, w) and (4, h, w) of one picture."""
    scores = classes[picture].float().softmax(0)[1]
    rows, columns = torch.nonzero(scores > least_score, as_tuple=True)
    moves = boxes[picture].float()[:, rows, columns].T  # (4, h, w) -> (M, 4)
    side = _ANCHOR * stride
    centres = stride / 2 + stride * torch.stack([columns, rows], 1) + moves[:, :2] * _VARIANCES[0] * side
    sides = side * (moves[:, 2:] * _VARIANCES[1]).exp()
    corners = torch.cat([centres - sides / 2, centres + sides / 2], 1)
    return torch.cat([corners, scores[rows, columns, None]], 1)


def distinct(boxes: Tensor) -> Tensor:
    """The boxes (M, 5) without those that repeat a surer one, the surest first."""
    boxes = boxes[boxes[:, 4].argsort(descending=True, stable=True)]
    kept = []
    while len(boxes):
        kept.append(boxes[0])
        boxes = boxes[1:][_shared(boxes[0], boxes[1:]) <= SAME_FACE]
    return torch.stack(kept) if kept else boxes


def _shared(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of a box (5,) with others (M, 5); corners are pixels inside it."""
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:4], others[:, 2:4])
    both = (high - low + 1).clamp(min=0).prod(1)
    return both / (_area(box[None]) + _area(others) - both)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:4] - boxes[:, :2] + 1).prod(1)
