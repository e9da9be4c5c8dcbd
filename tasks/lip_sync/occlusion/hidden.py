"""Which cells of a face something lies before, in every frame of its track; pure arithmetic over the whole video.

A thing is cells that look strange and hang together.  It begins where some of them are very strange, on mouth and
jaw but not on the lips, which may look like anything; it lasts for some frames, and is then followed to either side
for as long as there is anything strange in its place.  A frame whose mouth is hidden from the landmark network
counts as one that shows it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.faces.measure import Measurements
from tasks.faces.policy import Limits
from tasks.faces.tracks import FaceTrack
from tasks.lip_sync.face_frame import CHIN, crop_matrices, face_frames, in_frame
from tasks.lip_sync.occlusion.hull import hull_cells, lip_cells
from tasks.lip_sync.occlusion.strange import strangeness
from tasks.lip_sync.occlusion.surface import COLUMNS, ROWS, SHAPE, SIDE, Surfaces

#: From where on a cell belongs to a thing, and from where on a thing begins; cells that begin it.
_STRANGE: Final = 1.0
_VERY_STRANGE: Final = 1.7
_LEAST_CELLS: Final = 3
#: Share of mouth and jaw that a thing covers at least, and frames that it is seen for; on its way it may cover less,
#: for so many frames.
_LEAST_SHARE: Final = 0.05
_LEAST_FRAMES: Final = 4
_WAY_SHARE: Final = 0.01
_WAY_FRAMES: Final = 8
#: Frames in which what is usual is told from one fit, and which may be missing within a run.
_FIT_FRAMES: Final = 1500
_GAP_FRAMES: Final = 2
#: Pixels of the crop that points are counted in, over cells.
_CELL: Final = 4
_NEIGHBOURS: Final = np.ones((3, 3), np.uint8)
_NEAR: Final = np.ones((5, 5), np.uint8)

Maps = NDArray[np.float32]
Cells = NDArray[np.bool_]


def hidden_maps(track: FaceTrack, found: Measurements, surfaces: Surfaces) -> Maps | None:
    """(T, 11, 20) 0 where the face is seen .. 1 where something lies before it; None where nothing ever does."""
    if not len(surfaces):
        return None
    at = np.flatnonzero(track.measured)
    rows = track.rows[at]
    seen = _Seen(found, surfaces, rows)
    maps = np.zeros((len(at), *SHAPE), np.float32)
    for start, end in _stretches(track.shot[at]):
        maps[start:end] = seen.at(start, end).maps(at[start:end])
    if not maps.any():
        return None
    nearest = np.clip(np.searchsorted(at, np.arange(len(track.valid))), 0, len(at) - 1)
    return maps[nearest]


def _stretches(shots: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """[start, end) of parts of one shot that are told from one fit, as even as can be."""
    edges = [0, *(np.flatnonzero(np.diff(shots)) + 1).tolist(), len(shots)]
    for start, end in pairwise(edges):
        parts = max(1, -(-(end - start) // _FIT_FRAMES))
        borders = np.linspace(start, end, parts + 1).astype(int).tolist()
        yield from pairwise(borders)


@dataclass(frozen=True)
class _Seen:
    """Some measurements of one face, in order."""

    found: Measurements
    surfaces: Surfaces
    rows: NDArray[np.int64]

    def at(self, start: int, end: int) -> "_Seen":
        return _Seen(self.found, self.surfaces, self.rows[start:end])

    def maps(self, frames: NDArray[np.int64]) -> Maps:
        """(M, 11, 20) as `hidden_maps` for these frames alone."""
        strange = self._strangeness()
        nothing = np.zeros((len(self.rows), *SHAPE), np.float32)
        if strange is None:
            return nothing
        smooth = np.stack([(one + cv2.blur(one, (3, 3))) / 2 for one in strange])
        likely = np.flatnonzero((smooth > _VERY_STRANGE).sum((1, 2)) >= _LEAST_CELLS)
        if not len(likely):
            return nothing
        covered = self.found.hidden[self.rows] > Limits().hidden
        things = np.zeros((len(self.rows), *SHAPE), np.bool_)
        for i, hull, lips in zip(likely.tolist(), *self._face(likely), strict=True):
            begins = (smooth[i] > _VERY_STRANGE) & hull & ~lips
            if np.count_nonzero(begins) >= _LEAST_CELLS:
                things[i] = _things(smooth[i] > _STRANGE, hull, begins, _LEAST_CELLS, _LEAST_SHARE)
        things = _lasting(things, covered, frames)
        if not things.any():
            return nothing
        hull, _ = self._face(np.arange(len(self.rows)))
        return _soft(_followed(things, smooth > _STRANGE, hull, frames), frames)

    def _strangeness(self) -> Maps | None:
        f, rows = self.found, self.rows
        poses = np.stack([f.yaw[rows], f.yaw[rows] ** 2, f.pitch[rows], f.opening[rows]], 1).astype(np.float64)
        certain = (f.hidden[rows] <= 0.3) & (f.presence[rows] >= 0.8) & (np.abs(f.yaw[rows]) <= Limits().yaw)
        return strangeness(Surfaces(self.surfaces.cells[rows], self.surfaces.light[rows]), poses, certain)

    def _face(self, some: NDArray[np.int64]) -> tuple[Cells, Cells]:
        """(S, 11, 20) mouth and jaw but their outline, where a face that turns shows what is behind it; and lips."""
        points = self.found.points[self.rows[some]]
        within = in_frame(crop_matrices(face_frames(points), CHIN, SIDE * _CELL), points)
        hull = np.stack([hull_cells(one, SIDE, _CELL) for one in within])
        inner = np.stack([cv2.erode(one.astype(np.uint8), _NEIGHBOURS) > 0 for one in hull])
        return inner[:, ROWS, COLUMNS], lip_cells(within, SIDE, _CELL)[:, ROWS, COLUMNS]


def _things(strange: Cells, hull: Cells, touched: Cells, least: int, share: float) -> Cells:
    """(11, 20) strange cells that hang together, cover a share of the hull and hold so many that are touched.

    Without small holes.
    """
    found = np.zeros(SHAPE, np.bool_)
    count, parts = cv2.connectedComponents(strange.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        part = parts == number
        covers = np.count_nonzero(part & hull) >= share * np.count_nonzero(hull)
        if covers and np.count_nonzero(part & touched) >= least:
            found |= part | (cv2.morphologyEx(part.astype(np.uint8), cv2.MORPH_CLOSE, _NEIGHBOURS) > 0)
    return found


def _wider(thing: Cells) -> Cells:
    return cv2.dilate(thing.astype(np.uint8), _NEAR) > 0


def _lasting(things: Cells, covered: NDArray[np.bool_], frames: NDArray[np.int64]) -> Cells:
    """Without things that are seen for a few frames only."""
    there = things.any((1, 2)) | covered
    follows = np.zeros(len(there), np.bool_)
    follows[1:] = there[1:] & there[:-1] & (np.diff(frames) <= _GAP_FRAMES)
    for i in np.flatnonzero(follows).tolist():
        follows[i] = covered[i - 1] or covered[i] or bool((_wider(things[i - 1]) & things[i]).any())
    run = np.cumsum(~follows)
    lasts = np.bincount(run, there)[run] >= _LEAST_FRAMES
    return np.asarray(things & lasts[:, None, None])


def _followed(things: Cells, strange: Cells, hull: Cells, frames: NDArray[np.int64]) -> Cells:
    """With what is strange in the place of a thing, in frames after it and before it."""
    out = things.copy()
    for first, step, last in ((1, 1, len(out)), (len(out) - 2, -1, -1)):
        way = 0
        for i in range(first, last, step):
            beside = out[i - step]
            way = 0 if things[i].any() else way + 1
            close = abs(int(frames[i] - frames[i - step])) <= _GAP_FRAMES
            if 0 < way <= _WAY_FRAMES and close and beside.any() and not out[i].any():
                out[i] = _things(strange[i], hull[i], strange[i] & _wider(beside), 1, _WAY_SHARE)
    return out


def _soft(things: Cells, frames: NDArray[np.int64]) -> Maps:
    """Soft at the edges, in space and in time."""
    maps = things.astype(np.float32)
    before, after = maps.copy(), maps.copy()
    close = np.diff(frames) <= _GAP_FRAMES
    before[1:][close], after[:-1][close] = maps[:-1][close], maps[1:][close]
    maps = np.maximum(maps, 0.25 * np.maximum(before, after))
    for i in np.flatnonzero(maps.any((1, 2))).tolist():
        maps[i] = np.clip(1.6 * cv2.GaussianBlur(maps[i], (0, 0), 0.7) - 0.2, 0, 1)
    return maps
