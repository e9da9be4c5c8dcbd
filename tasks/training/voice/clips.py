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
from numpy.typing import NDArray

from tasks.faces.detect import detect_faces
from tasks.faces.points import FACEMESH_VERTICES
from tasks.lip_sync.shape import measure_eye_distance, measure_gap, measure_width
from tasks.mel import SAMPLE_RATE
from tasks.nets.face_mesh import FaceMesh
from tasks.training.landmarks.footage import permitted
from tasks.training.landmarks.teacher import (
    load_teacher,
    mesh_in_picture,
    points_in_picture,
    region_of_box,
    region_of_mesh,
)

Array = NDArray[np.float32]

#: (upper, lower) points of the lips' outer edges that face each other in the middle.
_OUTER_GAPS: Final = ((2, 10), (3, 9), (4, 8))
#: The teacher's confidence from which a mesh is a face.
_SURE: Final = 0.5


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
    "(N,) inner-lip gap over the distance of the outer eye corners: what judges"
    parting: Array
    "(N,) mean of that gap and of how far the lips' outer edges lie apart: what teaches, being the steadier"
    width: Array
    "(N,) inner-lip width over the same distance"


def load_clips(data: Path, teacher: Path, cache: Path) -> list[Clip]:
    """Every clip with sound and a face in `data/faces`, by name; measurements are kept in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    with (data / "MANIFEST.tsv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["file"].startswith("faces/")]
    rows = sorted((row for row in rows if row["audio"].strip() != "none"), key=lambda row: row["file"])
    network = load_teacher(teacher)
    clips = []
    for row in rows:
        name = Path(row["file"]).stem
        stored = cache / f"{name}.npz"
        if not stored.exists():
            np.savez(stored, allow_pickle=False, **_measure(data / row["file"], network))
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


def _measure(path: Path, teacher: FaceMesh) -> dict[str, NDArray[np.floating]]:
    seen = list(_track(path, teacher))
    points = np.array([one for _, one in seen], np.float32).reshape(-1, len(FACEMESH_VERTICES), 2)
    eyes = np.maximum(measure_eye_distance(points), 1e-3)
    opening = measure_gap(points) / eyes
    return {
        "samples": read_sound(path),
        "times": np.array([time for time, _ in seen], np.float64),
        "opening": opening.astype(np.float32),
        "parting": ((opening + outer_gap(points) / eyes) / 2).astype(np.float32),
        "width": measure_width(points).astype(np.float32),
    }


def outer_gap(points: Array) -> Array:
    """Mean distance of the facing outer edges of the lips, in pixels: (N, 51, 2) -> (N,)."""
    upper, lower = (points[:, list(edge)] for edge in zip(*_OUTER_GAPS, strict=True))
    return np.asarray(np.linalg.norm(lower - upper, axis=2).mean(1), np.float32)


def _track(path: Path, teacher: FaceMesh) -> Iterator[tuple[float, Array]]:
    """(seconds, the 51 points) of the largest face, picture by picture, where there is one."""
    film = cv2.VideoCapture(str(path))
    mesh: Array | None = None
    while film.grab():
        seconds = film.get(cv2.CAP_PROP_POS_MSEC) / 1000
        good, read = film.retrieve()
        if not good:
            continue
        picture = np.ascontiguousarray(np.asarray(read, np.uint8)[..., ::-1])
        region, rounds = (region_of_mesh(mesh), 1) if mesh is not None else (_largest_face(picture), 2)
        mesh, sure = mesh_in_picture(teacher, picture, region, rounds) if region is not None else (None, 0.0)
        mesh = mesh if sure > _SURE else None
        if mesh is not None:
            yield seconds, points_in_picture(teacher, picture, mesh)
    film.release()


def _largest_face(picture: NDArray[np.uint8]) -> Array | None:
    boxes = detect_faces(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))
    return region_of_box(max(boxes, key=lambda box: float(box[2]))) if len(boxes) else None
