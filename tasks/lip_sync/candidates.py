"""Mouths that may go into a bank, cut out while a scan unit is looked at: the most open and sharp ones.

Which of them a face's bank takes is decided later, over the whole video (`bank.choose_frames`).
The choice within a unit is a function of its frames in their order, whatever the batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as layout
from tasks.faces.measure import FaceMeasurement, FrameFaces
from tasks.lip_sync.bank import OPEN_ENOUGH, SIZE, Picture, crop_matrix
from tasks.lip_sync.shape import measure_eye_distance, measure_gap, measure_width, measure_yaw

#: Mouths kept of one face in one unit, faces followed at once, and mouths kept of a whole video.
PER_FACE: Final = 5
FACES: Final = 4
PER_VIDEO: Final = 400
#: A mouth replaces another only where it is better by this factor: each costs a crop.
_BETTER: Final = 1.1


class Cropping(Protocol):
    """A batch of upright pictures."""

    def crop(self, i: int, matrix: NDArray[np.float32], size: int) -> Picture:
        """(size, size, 3) RGB; `matrix` maps crop pixels to picture pixels, edges repeat."""
        ...


@dataclass(frozen=True)
class Candidate:
    """One mouth of one face, cut out."""

    frame: int
    "of the source"
    points: NDArray[np.float32]
    "(51, 2) as measured in this frame"
    sharpness: float
    png: bytes
    "the crop of `bank.crop_matrix(points)`"

    @property
    def gap(self) -> float:
        """Of the inner lips, in eye distances."""
        return float(measure_gap(self.points) / max(float(measure_eye_distance(self.points)), 1e-3))

    @property
    def value(self) -> float:
        """How much is seen of the inside: open, sharp and large."""
        detail = self.sharpness * float(measure_eye_distance(self.points))
        return min(self.gap, 0.35) * float(np.sqrt(max(detail, 1e-6)))

    @property
    def picture(self) -> Picture:
        """(256, 256, 3) uint8 RGB."""
        picture = cv2.imdecode(np.frombuffer(self.png, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        return np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8)


@dataclass
class _Face:
    """A face as it was last seen, and its mouths."""

    points: NDArray[np.float32]
    kept: list[Candidate] = field(default_factory=list)


class CandidateKeeper:
    """Keeps the best mouths of one scan unit; frames are looked at in order."""

    def __init__(self) -> None:
        self._faces: list[_Face] = []
        self._before: list[_Face] = []
        "of shots that are over: after a cut somebody else may be in the same place"

    def look(self, frame: int, faces: FrameFaces, pictures: Cropping, i: int) -> None:
        """Take from picture `i`, which is the source's `frame`, what is worth keeping."""
        if faces.cut:
            self._before, self._faces = self._before + self._faces, []
        for one in faces.faces[:FACES]:
            face = self._face_of(one.points)
            face.points = one.points
            shown = Candidate(frame, one.points, one.sharpness, b"")
            place = _place_for(shown, face.kept) if _usable(one) else None
            if place is not None:
                crop = pictures.crop(i, crop_matrix(one.points), SIZE)
                _, png = cv2.imencode(".png", crop[..., ::-1])
                face.kept[place : place + 1] = [Candidate(frame, one.points, one.sharpness, png.tobytes())]

    def kept(self) -> tuple[Candidate, ...]:
        """The mouths of all faces, in frame order."""
        every = [one for face in (*self._before, *self._faces) for one in face.kept]
        return tuple(sorted(every, key=lambda one: (one.frame, float(one.points[0, 0]))))

    def _face_of(self, points: NDArray[np.float32]) -> _Face:
        for face in self._faces:
            if same_place(face.points, points):
                return face
        self._faces.append(_Face(points))
        return self._faces[-1]


def same_place(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether two faces lie nearer than an eye distance."""
    apart = (a[layout.NOSE] - b[layout.NOSE]).mean(axis=0)
    return float(np.hypot(*apart)) < float(max(measure_eye_distance(a), measure_eye_distance(b)))


def candidates_to_arrays(kept: Sequence[Candidate]) -> dict[str, NDArray[np.generic]]:
    """What `numpy.savez` keeps of them."""
    pngs = [np.frombuffer(one.png, np.uint8) for one in kept]
    return {
        "candidate_frame": np.array([one.frame for one in kept], np.int64),
        "candidate_points": np.array([one.points for one in kept], np.float32).reshape(-1, layout.POINTS, 2),
        "candidate_sharpness": np.array([one.sharpness for one in kept], np.float32),
        "candidate_png": np.concatenate([np.zeros(0, np.uint8), *pngs]),
        "candidate_png_end": np.cumsum([len(png) for png in pngs], dtype=np.int64),
    }


def candidates_from_arrays(arrays: Mapping[str, NDArray[np.generic]]) -> list[Candidate]:
    """The mouths that `candidates_to_arrays` took apart."""
    png, ends = arrays["candidate_png"], arrays["candidate_png_end"].tolist()
    columns = (arrays[f"candidate_{name}"] for name in ("frame", "points", "sharpness"))
    return [
        Candidate(int(frame), np.asarray(points, np.float32), float(sharpness), png[start:end].tobytes())
        for frame, points, sharpness, start, end in zip(*columns, [0, *ends], ends, strict=False)
    ]


def thinned(kept: list[Candidate], limit: int = PER_VIDEO) -> list[Candidate]:
    """At most `limit` of them: of neighbours in time the better one stays, all over the video."""
    while len(kept) > limit:
        pairs = [kept[i : i + 2] for i in range(0, len(kept), 2)]
        kept = [max(pair, key=lambda one: one.value) for pair in pairs]
    return kept


def _usable(one: FaceMeasurement) -> bool:
    return one.presence >= 0.5 and one.hidden <= 0.5 and abs(one.yaw) <= 0.6 and one.size_pixels >= 16


def _place_for(shown: Candidate, kept: list[Candidate]) -> int | None:
    """The index in `kept` that the mouth may take, its end for a new place, None where it is not needed."""
    if not kept:
        return 0
    if len(kept) == 1 and kept[0].gap < OPEN_ENOUGH:  # it only gives the light
        return 0 if shown.gap > _BETTER * kept[0].gap else None
    if shown.gap < OPEN_ENOUGH:
        return None
    distance = [float(np.hypot(*(_pose(shown) - _pose(one)))) for one in kept]
    if min(distance) >= 0.7 and len(kept) < PER_FACE:
        return len(kept)
    worst = min(range(len(kept)), key=lambda i: kept[i].value)
    place = worst if min(distance) >= 0.7 else int(np.argmin(distance))
    return place if shown.value > _BETTER * kept[place].value else None


def _pose(one: Candidate) -> NDArray[np.float64]:
    return np.array([float(measure_yaw(one.points)), float(measure_width(one.points))]) / 0.07
