"""Small upright pictures of the faces of a video, taken now and then while it is scanned: who is seen, and how.

They tell people apart, show them to a user, and are the examples of why a frame was left alone.
All are framed alike, eyes and mouth in the same places, as recognition networks are trained on
faces.  The choice within a scan unit is a function of its frames alone, whatever the batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as layout
from tasks.faces.measure import FaceMeasurement, FrameFaces
from tasks.faces.policy import Limits
from tasks.faces.region import five_of

Picture = NDArray[np.uint8]

SIDE: Final = 112
#: Where eyes, nose tip and mouth corners come to lie: ArcFace's template, deepinsight/insightface face_align.py.
TEMPLATE: Final = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
#: Source frames between portraits of a face; clear portraits of one face, and portraits of one unit.
_EVERY_FRAMES: Final = 25
_PER_FACE: Final = 8
_PER_UNIT: Final = 64
#: Of a whole video.
_PER_VIDEO: Final = 2000
#: Quality of the JPEG: higher ones tell people apart no better.
_QUALITY: Final = 90
_LIMITS: Final = Limits()


class Cropping(Protocol):
    """A batch of upright pictures."""

    def crop(self, i: int, matrix: NDArray[np.float32], size: int) -> Picture:
        """(size, size, 3) RGB; `matrix` maps crop pixels to picture pixels, edges repeat."""
        ...


@dataclass(frozen=True)
class Portrait:
    """One face as it was seen in one frame, or a frame in which nobody was seen."""

    frame: int
    "of the source"
    points: NDArray[np.float32]
    "(51, 2) as measured in this frame; all zero in a frame without a face"
    clear: bool
    "a face that can be told apart: from the front, large enough, nothing before it"
    jpeg: bytes
    "(112, 112)"

    @property
    def picture(self) -> Picture:
        """(112, 112, 3) RGB"""
        picture = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        return np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8)

    @property
    def of_nobody(self) -> bool:
        return not self.points.any()


@dataclass
class _Face:
    points: NDArray[np.float32]
    taken: list[int] = field(default_factory=list)
    "frames of the clear portraits"
    limits: set[str] = field(default_factory=set)
    "of which there is an example"

    def wants(self, frame: int, limit: str) -> bool:
        if limit:
            return limit not in self.limits
        return len(self.taken) < _PER_FACE and (not self.taken or frame - self.taken[-1] >= _EVERY_FRAMES)

    def took(self, frame: int, limit: str) -> None:
        if limit:
            self.limits.add(limit)
        else:
            self.taken.append(frame)


class PortraitKeeper:
    """Keeps portraits of one scan unit; frames are looked at in order."""

    def __init__(self) -> None:
        self._every: list[Portrait] = []
        self._faces: list[_Face] = []
        self._nobody = False

    def look(self, frame: int, faces: FrameFaces, pictures: Cropping, i: int, size: tuple[int, int]) -> None:
        """Take from picture `i` of `size` (width, height), which is the source's `frame`, what is worth keeping."""
        if faces.cut:
            self._faces = []
        if not faces.faces and not self._nobody:
            self._nobody = True
            points = np.zeros((layout.POINTS, 2), np.float32)
            self._every.append(Portrait(frame, points, False, _jpeg(_whole(pictures, i, *size))))
        for one in faces.faces:
            face = self._face_of(one.points)
            face.points = one.points
            limit = _limit(one)
            if len(self._every) < _PER_UNIT and face.wants(frame, limit):
                crop = pictures.crop(i, portrait_matrix(one.points), SIDE)
                self._every.append(Portrait(frame, one.points, not limit, _jpeg(crop)))
                face.took(frame, limit)

    def kept(self) -> tuple[Portrait, ...]:
        """All of them, in frame order."""
        return tuple(sorted(self._every, key=lambda one: (one.frame, float(one.points[0, 0]))))

    def _face_of(self, points: NDArray[np.float32]) -> _Face:
        for face in self._faces:
            if near(face.points, points):
                return face
        self._faces.append(_Face(points))
        return self._faces[-1]


def near(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two faces lie nearer than an eye distance."""
    apart = (a[layout.NOSE] - b[layout.NOSE]).mean(axis=0)
    eyes = (p[layout.EYE_RIGHT_OUTER] - p[layout.EYE_LEFT_OUTER] for p in (a, b))
    return float(np.hypot(*apart)) < max(float(np.hypot(*eye)) for eye in eyes)


def portrait_matrix(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(2, 3) from portrait pixels to picture pixels: the similarity that fits `TEMPLATE` best.

    Umeyama, PAMI 1991, without reflection, over eyes, nose tip and mouth corners.
    """
    p, q = five_of(points), TEMPLATE
    p_middle, q_middle = p.mean(0), q.mean(0)
    p, q = p - p_middle, q - q_middle
    power = float((q * q).sum())
    a = float((p * q).sum()) / power
    b = float((q[:, 0] * p[:, 1] - q[:, 1] * p[:, 0]).sum()) / power
    linear = np.array([[a, -b], [b, a]])
    return np.concatenate([linear, (p_middle - linear @ q_middle)[:, None]], 1).astype(np.float32)


def _whole(pictures: Cropping, i: int, width: int, height: int) -> Picture:
    """The whole picture, black where a square is larger than it."""
    step, middle = max(width, height) / SIDE, (SIDE - 1) / 2
    offset = ((width - 1) / 2 - middle * step, (height - 1) / 2 - middle * step)
    crop = pictures.crop(i, np.array([[step, 0, offset[0]], [0, step, offset[1]]], np.float32), SIDE).copy()
    beside, above = (int((SIDE - side / step) / 2) for side in (width, height))
    crop[:, :beside] = crop[:, SIDE - beside :] = 0
    crop[:above] = crop[SIDE - above :] = 0
    return crop


def _limit(one: FaceMeasurement) -> str:
    """Why a face is of no use, empty where it is of some."""
    if one.size_pixels < _LIMITS.size_pixels:
        return "too small"
    if abs(one.yaw) > _LIMITS.yaw:
        return "profile"
    return "hidden" if one.hidden > _LIMITS.hidden else ""


def _jpeg(crop: Picture) -> bytes:
    _, data = cv2.imencode(".jpg", crop[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    return data.tobytes()


def portraits_to_arrays(kept: Sequence[Portrait]) -> dict[str, NDArray[np.generic]]:
    """What `numpy.savez` keeps of them."""
    pictures = [np.frombuffer(one.jpeg, np.uint8) for one in kept]
    return {
        "portrait_frame": np.array([one.frame for one in kept], np.int64),
        "portrait_points": np.array([one.points for one in kept], np.float32).reshape(-1, layout.POINTS, 2),
        "portrait_clear": np.array([one.clear for one in kept], np.bool_),
        "portrait_jpeg": np.concatenate([np.zeros(0, np.uint8), *pictures]),
        "portrait_jpeg_end": np.cumsum([len(one) for one in pictures], dtype=np.int64),
    }


def portraits_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> list[Portrait]:
    """The portraits that `portraits_to_arrays` took apart."""
    jpeg, ends = arrays["portrait_jpeg"], arrays["portrait_jpeg_end"].tolist()
    columns = (arrays[f"portrait_{name}"] for name in ("frame", "points", "clear"))
    return [
        Portrait(int(frame), np.asarray(points, np.float32), bool(clear), jpeg[start:end].tobytes())
        for frame, points, clear, start, end in zip(*columns, [0, *ends], ends, strict=False)
    ]


def thinned_portraits(kept: list[Portrait]) -> list[Portrait]:
    """At most so many as a video keeps, spread over all of it."""
    while len(kept) > _PER_VIDEO:
        kept = kept[::2]
    return kept
