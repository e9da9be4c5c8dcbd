"""The faces of a run of frames, each frame measured on its own pictures; knows no files and no tracks.

A face is found once, by cascades or a detector, verified by the landmark network, and then followed: its
region in a frame comes from its points in the frame before.  It is looked for again after a cut,
after a loss, and now and then for newcomers, at frames that depend on the run alone.
"""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as face
from tasks.faces.detect import overlap
from tasks.faces.finder import Cascades, Finder
from tasks.faces.landmarks import LandmarkModel, Landmarks, Pictures
from tasks.faces.measure import FaceMeasurement, FrameFaces, geometry
from tasks.faces.region import region_of_points, widened

#: A box becomes a face, and a face stays one, from this presence up.
FOUND: Final = 0.8
KEPT: Final = 0.5
#: Frames between looks for newcomers, and between looks while nobody is there.
NEWCOMER_FRAMES: Final = 50
NOBODY_FRAMES: Final = 10
#: While nobody is there the slow lenient pass joins in at multiples of this.
THOROUGH_FRAMES: Final = 50
#: Faces followed at once; eyes nearer than this are no face to work with.
MOST_FACES: Final = 8
LEAST_PIXELS: Final = 8.0
#: A second opinion on a new face: how much wider the look, and how near its points must be, in eye distances.
_WIDER: Final = 1.15
_SAME_POINTS: Final = 0.12
_THUMB: Final = (32, 18)


class _Thumb(NamedTuple):
    """What a cut is seen by."""

    grey: NDArray[np.float32]
    histogram: NDArray[np.float64]


class FaceScanner:
    """Measures run after run; frames of one run come in order, in batches of any size."""

    def __init__(self, device: str = "cpu", model: LandmarkModel | None = None, finder: Finder | None = None) -> None:
        """`finder` looks for faces in whole pictures; cascades where it is None."""
        self._model = model or LandmarkModel(device)
        self._finder = finder or Cascades()
        self.reset()

    def reset(self) -> None:
        """A new run begins: nothing is known of what came before."""
        self._frame = 0
        self._last_look = -NEWCOMER_FRAMES
        self._followed: list[NDArray[np.float32]] = []
        self._thumb: _Thumb | None = None
        self._unrest = 0.0
        self.looks_needed = 0
        "How often somebody had to be looked for since the reset: at the start, after a cut, after a loss."
        self.looks_for_newcomers = 0
        "How often they looked only because it was time to."

    def measure(self, pictures: Pictures) -> list[FrameFaces]:
        """The faces of each picture, the largest first."""
        return [self._measure_one(pictures, i) for i in range(len(pictures))]

    def _measure_one(self, pictures: Pictures, i: int) -> FrameFaces:
        luma = pictures.luma(i)
        cut = self._is_cut(luma)
        before = [] if cut else self._followed
        looks = [self._model.look(pictures, i, self._region(points)) for points in before]
        found = _distinct([(look, False) for look in looks if _stands(look, KEPT)])
        needed = cut or len(found) < len(before) or self._frame == 0
        if needed or self._time_to_look(bool(found)):
            self.looks_needed += needed
            self.looks_for_newcomers += not needed
            thorough = needed or self._frame % THOROUGH_FRAMES == 0
            found = self._with_newcomers(pictures, i, found, thorough=thorough)
        self._followed = [look.points for look, _ in found]
        self._frame += 1
        return FrameFaces(tuple(_measured(look, luma, detected) for look, detected in found), cut)

    def _time_to_look(self, anyone: bool) -> bool:
        return self._frame - self._last_look >= (NEWCOMER_FRAMES if anyone else NOBODY_FRAMES)

    def _with_newcomers(
        self,
        pictures: Pictures,
        i: int,
        found: list[tuple[Landmarks, bool]],
        *,
        thorough: bool,
    ) -> list[tuple[Landmarks, bool]]:
        """`found` and whoever else the finder sees; a later pass only where the one before leaves nobody."""
        self._last_look = self._frame
        for passing in range(self._finder.passes if thorough else 1):
            for candidate in self._finder.candidates(pictures, i, passing):
                if all(overlap(candidate.box, _extent(look.points)) < 0.3 for look, _ in found):
                    look = self._verified(pictures, i, candidate.region)
                    if look is not None:
                        found = _distinct([*found, (look, True)])
            if found:
                break
        return found[:MOST_FACES]

    def _verified(self, pictures: Pictures, i: int, region: NDArray[np.float32]) -> Landmarks | None:
        """The face in a finder's region, looked at again where the first look puts it; None if it is none.

        An eye or a fold can pass for a face at one scale: a face has the same points at another.
        """
        look = self._model.look(pictures, i, region)
        for _ in range(2):
            if not _stands(look, KEPT / 2):
                return None
            look = self._model.look(pictures, i, self._region(look.points))
        wider = self._model.look(pictures, i, widened(self._region(look.points), _WIDER))
        apart = float(np.linalg.norm(wider.points - look.points, axis=-1).mean())
        same = _stands(wider, KEPT) and apart < _SAME_POINTS * float(geometry(look.points).size_pixels)
        return look if same and _stands(look, FOUND) else None

    def _region(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        return region_of_points(points, self._model.mean_shape)

    def _is_cut(self, luma: NDArray[np.uint8]) -> bool:
        """Whether this frame shows another scene than the one before; a flash or a fast pan is none.

        Judged on a thumbnail: far more change than lately, in place and in brightness distribution.
        """
        step = max(1, min(luma.shape) // 90)
        grey = cv2.resize(luma[::step, ::step], _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)
        histogram = np.bincount((grey / 16).astype(np.int64).ravel(), minlength=16) / grey.size
        before, self._thumb = self._thumb, _Thumb(grey, histogram)
        if before is None:
            return False
        change = float(np.abs(grey - before.grey).mean())
        other = float(np.abs(histogram - before.histogram).sum()) / 2
        alike = _likeness(grey, before.grey)
        usual, self._unrest = self._unrest, 0.8 * self._unrest + 0.2 * min(change, 12.0)
        cut = change > 12 + 2.5 * usual and (other > 0.3 or alike < 0.35) and alike < 0.8
        if cut:
            self._unrest = 0.0
        return cut


def _likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Correlation of two thumbnails, 0 where one is flat."""
    if not a.std() or not b.std():
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _stands(look: Landmarks, presence: float) -> bool:
    across = look.points[face.EYE_RIGHT_OUTER] - look.points[face.EYE_LEFT_OUTER]
    return look.presence >= presence and float(np.hypot(across[0], across[1])) >= LEAST_PIXELS


def _distinct(found: list[tuple[Landmarks, bool]]) -> list[tuple[Landmarks, bool]]:
    """Each face once, the largest first; of two on the same place the surer one."""
    kept: list[tuple[Landmarks, bool]] = []
    for look, detected in sorted(found, key=lambda one: -one[0].presence):
        extent = _extent(look.points)
        if all(overlap(extent, _extent(other.points)) < 0.5 for other, _ in kept):
            kept.append((look, detected))
    return sorted(kept, key=lambda one: -float(np.prod(_extent(one[0].points)[2:])))


def _extent(points: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = points.min(0), points.max(0)
    return np.concatenate((low, high - low))


def _measured(look: Landmarks, luma: NDArray[np.uint8], detected: bool) -> FaceMeasurement:
    shape = geometry(look.points)
    return FaceMeasurement(
        points=look.points,
        presence=look.presence,
        hidden=look.hidden,
        opening=float(shape.opening),
        yaw=float(shape.yaw),
        pitch=float(shape.pitch),
        roll=float(shape.roll),
        sharpness=_sharpness(luma, look.points[face.OUTER_LIP]),
        size_pixels=float(shape.size_pixels),
        detected=detected,
    )


def _sharpness(luma: NDArray[np.uint8], lips: NDArray[np.float32]) -> float:
    """Mean absolute Laplacian of the mouth's box at 64 by 32 pixels, over its contrast; 0 off the picture."""
    low = np.maximum(lips.min(0) - 2, 0).astype(int)
    high = np.minimum(lips.max(0) + 3, (luma.shape[1], luma.shape[0])).astype(int)
    patch = luma[low[1] : high[1], low[0] : high[0]]
    if min(patch.shape) < 4:
        return 0.0
    small = cv2.resize(patch, (64, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    return float(np.abs(cv2.Laplacian(small, cv2.CV_32F)).mean() / (small.std() + 4.0))
