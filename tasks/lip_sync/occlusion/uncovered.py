"""What of a face is seen, looked up where something is to be drawn; on any device."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.face_frame import HALF_WIDTH, TOP, face_frames
from tasks.lip_sync.occlusion.surface import CELL, COLUMNS, ROWS
from tasks.lip_sync.wav2lip.draw import looked_up


def uncovered(
    hidden: NDArray[np.floating],
    points: NDArray[np.floating],
    places: NDArray[np.floating],
    size: tuple[int, int],
    device: torch.device,
) -> Tensor:
    """(K, 1, *size) from 0 where something lies before a face to 1 where it is seen.

    `hidden` (K, 11, 20) as of `hidden_maps`, `points` (K, 51, 2) the faces in their pictures, `places` (K, 2, 3)
    lead from what is asked for to pictures.
    """
    maps = torch.from_numpy(np.ascontiguousarray(hidden, np.float32)).to(device)[:, None]
    wanted = (looked_up(maps[k : k + 1], place, size) for k, place in enumerate(_to_cells(points, places)))
    return 1 - torch.cat(list(wanted)) if len(maps) else maps.new_ones(0, 1, *size)


def _to_cells(points: NDArray[np.floating], places: NDArray[np.floating]) -> NDArray[np.float64]:
    """(K, 2, 3) from what is asked for to cells of the maps."""
    faces = face_frames(points)
    back = np.linalg.inv(faces[..., :2])
    linear = back @ places[..., :2]
    offset = np.einsum("kij,kj->ki", back, places[..., 2] - faces[..., 2])
    cell = np.array(CELL)
    first = np.array([-HALF_WIDTH, TOP]) / cell + 0.5 + (COLUMNS.start, ROWS.start)
    return np.concatenate([linear / cell[:, None], (offset / cell - first)[..., None]], 2)
