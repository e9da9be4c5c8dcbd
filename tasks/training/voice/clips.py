"""Real clips with sound: which may train, their voice, and the mouth that the teacher measures in them.

Knows files (OpenCV reads their pictures, PyAV their sound); knows no networks but the teacher.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tasks.faces import points as order
from tasks.mel import SAMPLE_RATE
from tasks.training.voice.teacher import SIZE, FaceMesh, load_teacher

Array = NDArray[np.float32]

#: A licence that begins with one of these permits training what ships ...
PERMISSIVE: Final = ("MIT", "Apache-2.0", "BSD", "CC-BY-4.0", "CC0", "public domain")
#: ... unless a remark on the media holds one of these.
REMARKS: Final = ("non-commercial", "research only", "problematic", "authorisation", "restricted")


@dataclass(frozen=True)
class Clip:
    """A measured clip; pictures without a found face are left out of the arrays."""

    name: str
    permitted: bool
    "may train the weights that ship; others only test them"
    samples: Array
    "(S,) 16 kHz mono from the clip's time zero"
    times: NDArray[np.float64]
    "(N,) seconds of each measured picture"
    opening: Array
    "(N,) inner-lip gap over the distance of the outer eye corners"
    width: Array
    "(N,) inner-lip width over the same distance"


def permitted(licence: str, media_rights: str) -> bool:
    """Whether a clip may train the weights that ship."""
    return licence.startswith(PERMISSIVE) and not any(word in media_rights.lower() for word in REMARKS)


_CASCADE: Final = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"


def load_clips(data: Path, teacher: Path, cache: Path) -> list[Clip]:
    """Every clip with sound and a face in `data/faces`, by name; measurements are kept in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    with (data / "MANIFEST.tsv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["file"].startswith("faces/")]
    rows = sorted((row for row in rows if row["audio"].strip() != "none"), key=lambda row: row["file"])
    mesh = load_teacher(teacher)
    clips = []
    for row in rows:
        name = Path(row["file"]).stem
        stored = cache / f"{name}.npz"
        if not stored.exists():
            np.savez(stored, allow_pickle=False, **_measure(data / row["file"], mesh))
        with np.load(stored) as arrays:
            clip = Clip(name, permitted(row["repo_licence"], row["media_rights"]), **dict(arrays))
        if len(clip.times) >= 25:
            clips.append(clip)
    return clips


def read_sound(path: Path) -> Array:
    """The first sound of a file as 16 kHz mono samples, silence filled in up to its start."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        frames = list(container.decode(audio=0))
        late = max(float(frames[0].time or 0), 0.0) if frames else 0.0
        heard = [piece.to_ndarray()[0] for frame in [*frames, None] for piece in resampler.resample(frame)]
    return np.concatenate([np.zeros(round(late * SAMPLE_RATE)), *heard]).astype(np.float32)


def _measure(path: Path, mesh: FaceMesh) -> dict[str, NDArray[np.floating]]:
    measured = [(time, *_mouth(points)) for time, points in _track(path, mesh)]
    table = np.array(measured, np.float64).reshape(-1, 3)
    opening, width = table[:, 1].astype(np.float32), table[:, 2].astype(np.float32)
    return {"samples": read_sound(path), "times": table[:, 0], "opening": opening, "width": width}


def _mouth(points: Array) -> tuple[float, float]:
    eyes = np.linalg.norm(points[order.EYE_LEFT_OUTER] - points[order.EYE_RIGHT_OUTER])
    gaps = [np.linalg.norm(points[upper] - points[lower]) for upper, lower in order.INNER_GAPS]
    width = np.linalg.norm(points[order.INNER_LEFT] - points[order.INNER_RIGHT])
    return float(np.mean(gaps) / eyes), float(width / eyes)


def _track(path: Path, mesh: FaceMesh) -> Iterator[tuple[float, Array]]:
    """(seconds, the 51 points) of the largest face, picture by picture, where there is one."""
    capture = cv2.VideoCapture(str(path))
    cascade = cv2.CascadeClassifier(str(_CASCADE))
    matrix: Array | None = None
    while True:
        ok, read = capture.read()
        if not ok:
            return
        picture = np.asarray(read, np.uint8)
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        passes = 1 if matrix is not None else 2
        matrix = matrix if matrix is not None else _detect(picture, cascade)
        for _ in range(passes):
            points, presence = _points(picture, matrix, mesh) if matrix is not None else (None, 0.0)
            matrix = _region(points) if points is not None and presence > 0.5 else None
        if matrix is not None and points is not None:
            yield seconds, points[list(order.FACEMESH_VERTICES)]


def _detect(picture: NDArray[np.uint8], cascade: cv2.CascadeClassifier) -> Array | None:
    shrink = max(1.0, picture.shape[0] / 540)
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), None, fx=1 / shrink, fy=1 / shrink)
    boxes = cascade.detectMultiScale(small, 1.1, 5, minSize=(40, 40))
    if len(boxes) == 0:
        return None
    x, y, w, h = (float(v) * shrink for v in max(boxes, key=lambda box: box[2]))
    return _matrix(np.array([x + w / 2, y + h / 2]), 1.5 * w, 0.0)


def _points(picture: NDArray[np.uint8], matrix: Array, mesh: FaceMesh) -> tuple[Array, float]:
    crop = cv2.warpAffine(picture, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    x = torch.from_numpy(crop[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        points, logit = mesh(x)
    return points[0].numpy() @ matrix[:, :2].T + matrix[:, 2], float(torch.sigmoid(logit)[0])


def _region(points: Array) -> Array:
    """The crop for the next picture: 1.5 times the face, turned so that the eyes are level."""
    along = points[263] - points[33]
    angle = float(np.arctan2(along[1], along[0]))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    upright = points @ turn.T
    low, high = upright.min(0), upright.max(0)
    return _matrix((low + high) / 2 @ turn, 1.5 * float((high - low).max()), angle)


def _matrix(centre: NDArray[np.floating], side: float, angle: float) -> Array:
    """(2, 3): crop pixel -> picture pixel."""
    scale = side / SIZE
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, centre - turn @ np.full(2, SIZE / 2)]).astype(np.float32)
