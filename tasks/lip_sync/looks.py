"""How a face usually looks: small upright pictures of it, taken now and then while a scan unit is looked at.

What a face usually looks like is said by them together, over the whole video; what differs from it in a
frame may be a hand.  The choice within a unit is a function of its frames alone, whatever the batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as layout
from tasks.faces.measure import FaceMeasurement, FrameFaces
from tasks.lip_sync.candidates import Cropping, same_place
from tasks.lip_sync.face_frame import crop_matrices, face_frames

#: The side of a look, and the chin it is framed for, whoever it shows.
SIDE: Final = 48
CHIN: Final = 1.24
#: Source frames between looks, looks of one face in one unit, and faces.
_EVERY_FRAMES: Final = 12
_PER_FACE: Final = 24
_FACES: Final = 4
#: Looks of a whole video.
_PER_VIDEO: Final = 600

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """One face as it was seen."""

    frame: int
    "of the source"
    points: NDArray[np.float32]
    "(51, 2) as measured in this frame"
    jpeg: bytes
    "(48, 48) in the face frame"

    @property
    def picture(self) -> NDArray[np.float32]:
        """(48, 48, 3) RGB in 0..1."""
        picture = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        return np.asarray(picture[..., ::-1] / np.float32(255), np.float32)


@dataclass
class _Face:
    points: NDArray[np.float32]
    looks: list[Look] = field(default_factory=list)


class LookKeeper:
    """Keeps looks of one scan unit; frames are looked at in order."""

    def __init__(self) -> None:
        self._faces: list[_Face] = []
        self._before: list[_Face] = []
        "of shots that are over: after a cut somebody else may be in the same place"

    def look(self, frame: int, faces: FrameFaces, pictures: Cropping, i: int) -> None:
        """Take from picture `i`, which is the source's `frame`, what is worth keeping."""
        if faces.cut:
            self._before, self._faces = self._before + self._faces, []
        for one in faces.faces[:_FACES]:
            face = self._face_of(one.points)
            face.points = one.points
            if _usable(one) and self._wanted(frame, face):
                matrix = crop_matrices(face_frames(one.points[None]), CHIN, SIDE)[0].astype(np.float32)
                crop = pictures.crop(i, matrix, SIDE)
                _, jpeg = cv2.imencode(".jpg", crop[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, 90))
                face.looks.append(Look(frame, one.points, jpeg.tobytes()))

    def kept(self) -> tuple[Look, ...]:
        """The looks of all faces, in frame order."""
        every = [one for face in (*self._before, *self._faces) for one in face.looks]
        return tuple(sorted(every, key=lambda one: (one.frame, float(one.points[0, 0]))))

    def _wanted(self, frame: int, face: _Face) -> bool:
        return len(face.looks) < _PER_FACE and (not face.looks or frame - face.looks[-1].frame >= _EVERY_FRAMES)

    def _face_of(self, points: NDArray[np.float32]) -> _Face:
        for face in self._faces:
            if same_place(face.points, points):
                return face
        self._faces.append(_Face(points))
        return self._faces[-1]


def _usable(one: FaceMeasurement) -> bool:
    return one.presence >= 0.8 and one.hidden <= 0.3 and abs(one.yaw) <= 0.6 and one.size_pixels >= 16


def looks_to_arrays(kept: Sequence[Look]) -> dict[str, NDArray[np.generic]]:
    """What `numpy.savez` keeps of them."""
    pictures = [np.frombuffer(one.jpeg, np.uint8) for one in kept]
    return {
        "look_frame": np.array([one.frame for one in kept], np.int64),
        "look_points": np.array([one.points for one in kept], np.float32).reshape(-1, layout.POINTS, 2),
        "look_jpeg": np.concatenate([np.zeros(0, np.uint8), *pictures]),
        "look_jpeg_end": np.cumsum([len(one) for one in pictures], dtype=np.int64),
    }


def looks_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> list[Look]:
    """The looks that `looks_to_arrays` took apart."""
    jpeg, ends = arrays["look_jpeg"], arrays["look_jpeg_end"].tolist()
    both = zip(arrays["look_frame"], arrays["look_points"], [0, *ends], ends, strict=False)
    return [
        Look(int(frame), np.asarray(points, np.float32), jpeg[start:end].tobytes())
        for frame, points, start, end in both
    ]


def thinned_looks(kept: list[Look]) -> list[Look]:
    """At most so many as a video keeps, spread over all of it."""
    while len(kept) > _PER_VIDEO:
        kept = kept[::2]
    return kept
