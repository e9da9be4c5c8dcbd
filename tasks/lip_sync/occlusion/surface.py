"""What a face looks like in every frame, so coarse that a whole video of it can be kept: cells of its lower half.

Cells lie in the face frame, so that they show the same of a face wherever it is and whatever it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces.measure import FaceMeasurement, FrameFaces
from tasks.lip_sync.candidates import Cropping
from tasks.lip_sync.face_frame import BELOW_CHIN, CHIN, HALF_WIDTH, TOP, crop_matrices, face_frames

#: Cells of a whole face, a side; of these the rows and columns that a drawn mouth can reach are kept.
SIDE: Final = 24
ROWS, COLUMNS = slice(13, 24), slice(2, 22)
SHAPE: Final = (ROWS.stop - ROWS.start, COLUMNS.stop - COLUMNS.start)
#: A cell, in units of the face frame: across and down.
CELL: Final = (2 * HALF_WIDTH / SIDE, (CHIN + BELOW_CHIN - TOP) / SIDE)
#: Between brow and nose tip, between the cheeks: what the light of a frame is told by.
_LIT: Final = (slice(7, 14), slice(6, 18))
_LEAST_PIXELS: Final = 16.0


@dataclass(frozen=True)
class Surfaces:
    """Faces as they looked, in the order of their measurements."""

    cells: NDArray[np.uint8]
    "(K, 11, 20, 3) RGB"
    light: NDArray[np.uint8]
    "(K, 3) median colour between brow and nose; 0 where nothing was looked at"

    def __len__(self) -> int:
        return len(self.light)


class SurfaceKeeper:
    """Keeps the surface of every face of one scan unit."""

    def __init__(self) -> None:
        self._kept: list[NDArray[np.uint8]] = []

    def look(self, faces: FrameFaces, pictures: Cropping, i: int) -> None:
        """Take the faces of picture `i`."""
        self._kept += [_seen(one, pictures, i) for one in faces.faces]

    def kept(self) -> Surfaces:
        """In the order of the measurements."""
        whole = np.stack(self._kept) if self._kept else np.zeros((0, SIDE, SIDE, 3), np.uint8)
        light = np.array([np.median(one[_LIT].reshape(-1, 3), axis=0) for one in self._kept], np.uint8).reshape(-1, 3)
        return Surfaces(np.ascontiguousarray(whole[:, ROWS, COLUMNS]), light)


def _seen(one: FaceMeasurement, pictures: Cropping, i: int) -> NDArray[np.uint8]:
    if one.size_pixels < _LEAST_PIXELS:
        return np.zeros((SIDE, SIDE, 3), np.uint8)
    return pictures.crop(i, crop_matrices(face_frames(one.points[None]), CHIN, SIDE)[0].astype(np.float32), SIDE)


def surfaces_to_arrays(kept: Surfaces) -> dict[str, NDArray[np.generic]]:
    """What `numpy.savez` keeps of them."""
    return {"surface_cells": kept.cells, "surface_light": kept.light}


def surfaces_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> Surfaces:
    """The faces that `surfaces_to_arrays` took apart."""
    return Surfaces(np.asarray(arrays["surface_cells"], np.uint8), np.asarray(arrays["surface_light"], np.uint8))


def joined_surfaces(runs: Sequence[Surfaces]) -> Surfaces:
    """Runs that follow one another as one."""
    nothing = Surfaces(np.zeros((0, *SHAPE, 3), np.uint8), np.zeros((0, 3), np.uint8))
    every = [nothing, *runs]
    return Surfaces(np.concatenate([one.cells for one in every]), np.concatenate([one.light for one in every]))
