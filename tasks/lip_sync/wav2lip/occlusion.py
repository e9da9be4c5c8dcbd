"""What lies before a face, as a hand or a microphone: where a frame differs from how this face usually looks.

Judged on cells of 4 by 4 crop pixels, after the light of the frame was taken out; the mouth, which may
look like anything, takes the answer of what is around it.  A hand of the face's own colour that lies
flat on it is not seen here; the landmark network, where it is sure that a mouth is hidden, keeps the
whole frame.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from tasks.faces import points as face
from tasks.lip_sync.face_frame import BELOW_CHIN, TOP
from tasks.lip_sync.looks import CHIN, Look
from tasks.nets.wav2lip import SIDE

#: Cells of 4 by 4 crop pixels.
CELLS: Final = SIDE // 4
#: Fewer looks say nothing of what is usual.
LEAST_LOOKS: Final = 5
#: Spreads that count as usual, and the spread that anything has.
_SPREADS: Final = 2.0
_FLOOR: Final = 0.05
#: Less of the mask than this, in parts of it, is noise and not a thing.
_LEAST_PART: Final = 0.06
#: Rows between brow and nose tip, columns between the cheeks: what the light of a frame is told by.
_LIT: Final = (slice(7, 14), slice(6, 18))


def usual_look(looks: Sequence[Look], chin: float) -> NDArray[np.float32] | None:
    """(2, 24, 24, 3) median and spread of a face in its own crop; None where too few looks are known."""
    if len(looks) < LEAST_LOOKS:
        return None
    pictures = np.stack([one.picture.reshape(CELLS, 2, CELLS, 2, 3).mean((1, 3)) for one in looks])
    pictures /= np.maximum(_light(pictures), 0.02)[:, None, None]
    middle = np.median(pictures, 0)
    spread = np.quantile(np.abs(pictures - middle), 0.7, axis=0)  # of a normal spread 1.04; a hand is there less often
    return _reframed(np.stack([middle, spread]), chin).astype(np.float32)


def known_looks(constant: Mapping[str, NDArray[np.generic]], numbers: Sequence[int]) -> NDArray[np.float32]:
    """(K, 2, 24, 24, 3) of faces by their numbers, as a plan keeps them; of a face of too few looks all is usual."""
    unknown = np.stack([np.zeros((CELLS, CELLS, 3)), np.full((CELLS, CELLS, 3), 1e3)]).astype(np.float32)
    return np.stack([np.asarray(constant.get(f"usual{number}", unknown), np.float32) for number in numbers])


def _light(pictures: NDArray[np.floating]) -> NDArray[np.floating]:
    """(N, 3) mean colour of what lies between brow and nose."""
    return np.asarray(pictures[:, _LIT[0], _LIT[1]].mean((1, 2)))


def _reframed(maps: NDArray[np.floating], chin: float) -> NDArray[np.floating]:
    """(2, 24, 24, 3) that were framed for `looks.CHIN`, framed for another."""
    rows = (np.arange(CELLS) + 0.5) / CELLS * (chin + BELOW_CHIN - TOP)
    at = np.clip(rows / (CHIN + BELOW_CHIN - TOP) * CELLS - 0.5, 0, CELLS - 1)
    low = np.floor(at).astype(int)
    part = (at - low)[None, :, None, None]
    return np.asarray(maps[:, low] * (1 - part) + maps[:, np.minimum(low + 1, CELLS - 1)] * part)


def unhidden(seen: Tensor, usual: Tensor, masks: Tensor, points: NDArray[np.floating]) -> Tensor:
    """(N, 1, 96, 96) from 0 where something lies before the face to 1.

    `seen` (N, 3, 96, 96) are crops, `usual` (N, 2, 24, 24, 3) as of `usual_look`, `masks` (N, 1, 96, 96)
    what is to be drawn, `points` (N, 51, 2) the face in crop pixels.
    """
    cells = functional.avg_pool2d(seen, 4)  # (N, 3, 24, 24)
    middle, spread = (usual[:, k].permute(0, 3, 1, 2) for k in (0, 1))
    light = cells[..., _LIT[0], _LIT[1]].mean((2, 3), keepdim=True).clamp(min=0.02)
    strange = ((cells / light - middle).abs() / (_SPREADS * spread + _FLOOR)).amax(1, keepdim=True)
    drawn = functional.avg_pool2d(masks, 4)
    known = drawn * (1 - mouth_cells(points, seen.device))
    hidden = _spread_out((strange - 1).clamp(0, 1) * known, known)
    hidden = ((hidden - 0.35) / 0.3).clamp(0, 1)
    part = (hidden * drawn).sum((2, 3), keepdim=True) / drawn.sum((2, 3), keepdim=True).clamp(min=1e-3)
    hidden = hidden * ((part - _LEAST_PART) / _LEAST_PART).clamp(0, 1)
    return 1 - functional.interpolate(hidden, size=(SIDE, SIDE), mode="bilinear", align_corners=False)


def mouth_cells(points: NDArray[np.floating], device: torch.device) -> Tensor:
    """(N, 1, 24, 24) 1 in the cells of lips and what they may open to."""
    lips = np.asarray(points, np.float64)[:, face.OUTER_LIP] / 4
    middle = lips.mean(1)
    half = np.stack([np.ptp(lips[..., 0], 1) / 2 + 1.0, np.maximum(np.ptp(lips[..., 1], 1) / 2, 2.0) + 1.5], 1)
    at = np.arange(CELLS)
    across = (at[None, :] - middle[:, :1]) / half[:, :1]
    down = (at[None, :] - middle[:, 1:]) / half[:, 1:]
    inside = (across[:, None] ** 2 + down[:, :, None] ** 2 <= 1).astype(np.float32)
    return torch.from_numpy(inside)[:, None].to(device)


def _spread_out(values: Tensor, known: Tensor) -> Tensor:
    """Means over the neighbours of each cell, weighted by what is known of them; far where nothing near is."""
    near = [functional.avg_pool2d(torch.cat([values, known], 1), side, 1, side // 2) for side in (3, 9)]
    close, far = (both[:, :1] / both[:, 1:].clamp(min=1e-3) for both in near)
    return torch.where(near[0][:, 1:] > 0.05, close, far)
