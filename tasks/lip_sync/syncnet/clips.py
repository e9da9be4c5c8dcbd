"""Lower halves of faces in runs of frames that follow one another, kept while a scan unit is looked at.

They are what SyncNet sees of a source: short runs now and then, so that a long video keeps little.  What is kept is a
function of the unit's frames alone, whatever the batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as layout
from tasks.faces.measure import FaceMeasurement, FrameFaces
from tasks.lip_sync.candidates import Cropping, same_place
from tasks.lip_sync.face_frame import BELOW_CHIN, CHIN, crop_matrices, face_frames

#: The side of a face as SyncNet was shown it; the lower half is kept.
SIDE: Final = 96
#: Of every so many frames of a unit the first so many are kept, of so many faces; shorter runs say nothing.
_EVERY_FRAMES: Final = 240
_RUN_FRAMES: Final = 64
_FACES: Final = 2
_LEAST_FRAMES: Final = 12
#: Clips of a whole video: two minutes of 25 frames a second.
_PER_VIDEO: Final = 48
_JPEG: Final = (cv2.IMWRITE_JPEG_QUALITY, 92)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """One face in frames that follow one another."""

    frame: int
    "of the source, the first"
    points: NDArray[np.float32]
    "(51, 2) in the first frame"
    jpegs: tuple[bytes, ...]
    "one a frame, (48, 96)"

    @property
    def mouths(self) -> Picture:
        """(n, 48, 96, 3) RGB."""
        return mouths_of(self.jpegs)


def mouth_matrices(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(T, 2, 3) maps from the pixels of a face of SIDE pixels to a picture's, for faces of points (T, 51, 2).

    SyncNet was trained on a detector's boxes as they are, which end at the chin.
    """
    return crop_matrices(face_frames(points), CHIN - BELOW_CHIN, SIDE)


def jpeg_of(face: Picture) -> bytes:
    """The lower half of a face (96, 96, 3) RGB."""
    good, data = cv2.imencode(".jpg", face[SIDE // 2 :, :, ::-1], _JPEG)
    assert good
    return data.tobytes()


def mouths_of(jpegs: Sequence[bytes]) -> Picture:
    """(n, 48, 96, 3) RGB."""
    pictures = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in jpegs]
    return np.stack([np.asarray(one, np.uint8)[..., ::-1] for one in pictures])


@dataclass(eq=False)
class _Run:
    first: int
    begun: NDArray[np.float32]
    points: NDArray[np.float32]
    jpegs: list[bytes] = field(default_factory=list)

    @property
    def next(self) -> int:
        return self.first + len(self.jpegs)


class ClipKeeper:
    """Keeps clips of one scan unit; frames are looked at in order."""

    def __init__(self) -> None:
        self._at = 0
        self._runs: list[_Run] = []
        self._done: list[_Run] = []

    def look(self, frame: int, faces: FrameFaces, pictures: Cropping, i: int) -> None:
        """Take from picture `i`, which is the source's `frame`, what is worth keeping."""
        wanted = self._at % _EVERY_FRAMES < _RUN_FRAMES
        self._at += 1
        before, self._runs = ([] if faces.cut else self._runs), []
        for one in faces.faces[:_FACES] if wanted else ():
            if _usable(one):
                matrix = mouth_matrices(one.points[None])[0].astype(np.float32)
                run = _continued(before, one.points) or _Run(frame, one.points, one.points)
                run.points = one.points
                run.jpegs.append(jpeg_of(pictures.crop(i, matrix, SIDE)))
                self._runs.append(run)
                self._done += [run] if run.first == frame else []

    def kept(self) -> tuple[Clip, ...]:
        """The clips of all faces, in frame order."""
        clips = [Clip(one.first, one.begun, tuple(one.jpegs)) for one in self._done if len(one.jpegs) >= _LEAST_FRAMES]
        return tuple(sorted(clips, key=lambda one: (one.frame, float(one.points[0, 0]))))


def _continued(runs: list[_Run], points: NDArray[np.float32]) -> _Run | None:
    """The run of the frame before that this face goes on with, taken from the list."""
    for run in runs:
        if same_place(run.points, points):
            runs.remove(run)
            return run
    return None


def _usable(one: FaceMeasurement) -> bool:
    return one.presence >= 0.5 and abs(one.yaw) <= 0.6 and one.size_pixels >= 16


def clips_to_arrays(kept: Sequence[Clip]) -> dict[str, NDArray[np.generic]]:
    """What `numpy.savez` keeps of them."""
    pictures = [np.frombuffer(one, np.uint8) for clip in kept for one in clip.jpegs]
    return {
        "clip_frame": np.array([one.frame for one in kept], np.int64),
        "clip_points": np.array([one.points for one in kept], np.float32).reshape(-1, layout.POINTS, 2),
        "clip_end": np.cumsum([len(one.jpegs) for one in kept], dtype=np.int64),
        "clip_jpeg": np.concatenate([np.zeros(0, np.uint8), *pictures]),
        "clip_jpeg_end": np.cumsum([len(one) for one in pictures], dtype=np.int64),
    }


def clips_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> list[Clip]:
    """The clips that `clips_to_arrays` took apart; none of arrays that hold none."""
    if "clip_frame" not in arrays:
        return []
    data, ends = arrays["clip_jpeg"], [0, *arrays["clip_jpeg_end"].tolist()]
    jpegs = [data[start:end].tobytes() for start, end in pairwise(ends)]
    borders = [0, *arrays["clip_end"].tolist()]
    return [
        Clip(int(frame), np.asarray(points, np.float32), tuple(jpegs[start:end]))
        for frame, points, (start, end) in zip(
            arrays["clip_frame"], arrays["clip_points"], pairwise(borders), strict=True
        )
    ]


def thinned_clips(kept: list[Clip]) -> list[Clip]:
    """At most so many as a video keeps, spread over all of it."""
    while len(kept) > _PER_VIDEO:
        kept = kept[::2]
    return kept
