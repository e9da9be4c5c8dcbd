"""What is measured of faces in frames, as objects while scanning and as columns to keep; pure numpy."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as face


@dataclass(frozen=True)
class FaceMeasurement:
    """One face in one frame; raw, nothing smoothed."""

    points: NDArray[np.float32]
    "(51, 2) in upright picture pixels"
    presence: float
    "0 to 1"
    hidden: float
    "0 to 1: how sure that something covers the mouth"
    opening: float
    "mean inner-lip gap over the outer-eye distance, 0 when closed"
    yaw: float
    "-1 to 1: how far the nose tip lies from the middle of the eyes, towards the viewer's right"
    pitch: float
    "where the nose tip lies between eye line (0) and chin (1)"
    roll: float
    "radians, clockwise as seen"
    sharpness: float
    "detail of the mouth at a fixed size; comparable within one face only"
    size_pixels: float
    "outer-eye distance"
    detected: bool
    "found by a cascade in this frame, not followed from the one before"


@dataclass(frozen=True)
class FrameFaces:
    """All faces of one frame, and whether a cut lies just before it."""

    faces: tuple[FaceMeasurement, ...]
    cut: bool = False

    def __len__(self) -> int:
        return len(self.faces)


@dataclass(frozen=True)
class Geometry:
    """What follows from 51 points alone."""

    opening: NDArray[np.float32]
    yaw: NDArray[np.float32]
    pitch: NDArray[np.float32]
    roll: NDArray[np.float32]
    size_pixels: NDArray[np.float32]


def geometry(points: NDArray[np.float32]) -> Geometry:
    """Geometry of points (..., 51, 2); each field has their leading shape."""
    left, right = points[..., face.EYE_LEFT_OUTER, :], points[..., face.EYE_RIGHT_OUTER, :]
    across = right - left
    size = np.maximum(np.hypot(across[..., 0], across[..., 1]), 1e-3)
    along = across / size[..., None]
    down = np.stack((-along[..., 1], along[..., 0]), -1)
    upper, lower = ([gap[k] for gap in face.INNER_GAPS] for k in (0, 1))
    gaps = ((points[..., lower, :] - points[..., upper, :]) * down[..., None, :]).sum(-1)
    nose, chin = points[..., face.NOSE_TIP, :] - left, points[..., face.CHIN, :] - left
    nose_down, chin_down = (nose * down).sum(-1), (chin * down).sum(-1)
    return Geometry(
        opening=np.maximum(gaps.mean(-1) / size, 0).astype(np.float32),
        yaw=np.clip(2 * (nose * along).sum(-1) / size - 1, -1, 1).astype(np.float32),
        pitch=(nose_down / np.maximum(chin_down, 0.1 * size)).astype(np.float32),
        roll=np.arctan2(across[..., 1], across[..., 0]).astype(np.float32),
        size_pixels=size.astype(np.float32),
    )


@dataclass(frozen=True)
class Measurements:
    """All measurements of a run of frames as columns; K faces in `len(cuts)` frames, in frame order.

    Small enough to keep and to send: about 450 bytes a face.
    """

    frame: NDArray[np.int64]
    "(K,) ascending, counted from the run's first frame"
    points: NDArray[np.float32]
    "(K, 51, 2)"
    presence: NDArray[np.float32]
    hidden: NDArray[np.float32]
    opening: NDArray[np.float32]
    yaw: NDArray[np.float32]
    pitch: NDArray[np.float32]
    roll: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    size_pixels: NDArray[np.float32]
    detected: NDArray[np.bool_]
    cuts: NDArray[np.bool_]
    "(frames,) a cut lies just before the frame"

    @property
    def frames(self) -> int:
        return len(self.cuts)


_NUMBERS = ("presence", "hidden", "opening", "yaw", "pitch", "roll", "sharpness", "size_pixels")


def measurements(frames: Sequence[FrameFaces]) -> Measurements:
    """The columns of frames in order."""
    faces = [one for frame in frames for one in frame.faces]
    columns = {name: np.array([getattr(one, name) for one in faces], np.float32) for name in _NUMBERS}
    return Measurements(
        frame=np.repeat(np.arange(len(frames)), [len(frame) for frame in frames]).astype(np.int64),
        points=np.array([one.points for one in faces], np.float32).reshape(-1, face.POINTS, 2),
        detected=np.array([one.detected for one in faces], np.bool_),
        cuts=np.array([frame.cut for frame in frames], np.bool_),
        **columns,
    )


def joined(runs: Sequence[Measurements]) -> Measurements:
    """Runs that follow one another as one."""
    starts = np.cumsum([0, *(run.frames for run in runs)])
    moved = [run.frame + start for run, start in zip(runs, starts, strict=False)]
    columns = {
        f.name: np.concatenate([getattr(run, f.name) for run in runs])
        for f in fields(Measurements)
        if f.name != "frame"
    }
    return Measurements(frame=np.concatenate(moved), **columns)


def measurements_to_arrays(run: Measurements) -> dict[str, NDArray[np.generic]]:
    """What `numpy.savez` keeps of a run."""
    return {f.name: getattr(run, f.name) for f in fields(Measurements)}


def measurements_from_arrays(arrays: dict[str, NDArray[np.generic]]) -> Measurements:
    """The run that `measurements_to_arrays` took apart."""
    return Measurements(**{f.name: arrays[f.name] for f in fields(Measurements)})  # type: ignore[arg-type]
