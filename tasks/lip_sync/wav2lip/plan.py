"""What the Wav2Lip backend draws in every output frame: seen faces, their crops, and the sound each hears; pure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces.choose import FaceSelector
from tasks.lip_sync.motion import ease
from tasks.lip_sync.seen import KEPT_REASONS, Scan, SeenFace, in_places, kept, seen_faces
from tasks.lip_sync.wav2lip.align import chin_of, crop_matrices, face_frames
from tasks.mel import COLUMNS_PER_SECOND, SILENCE
from tasks.nets.wav2lip import COLUMNS
from tasks.task import OutputFrames, SoundWindow, TaskPlan, Voice

#: Times are rounded to 64 bits: a column that begins with the frame must not be taken for the one before.
_ROUNDING_COLUMNS: Final = 1e-6


def plan_generated(
    scan: Scan, output: OutputFrames, voice: Voice, selector: FaceSelector, offset_seconds: float
) -> TaskPlan:
    """Which faces are drawn in each output frame, where, and what they hear."""
    seen = seen_faces(scan, output, selector)
    weights = [ease(face.showing(face.points)) for face in seen.faces]
    drawn = [weight > 0 for weight in weights]
    values = [_values(face, weight) for face, weight in zip(seen.faces, weights, strict=True)]
    first = first_columns(output.start_seconds, offset_seconds, voice.mel.shape[1])
    shown = kept(len(output), seen.faces, drawn)
    facts: dict[str, str | int | float] = {
        "faces found": seen.found,
        "faces drawn": sum(bool(frames.any()) for frames in drawn),
        "face chosen by": str(selector),
        "frames drawn in silence": int(np.count_nonzero(silent_frames(voice.mel, first) & (shown < 0))),
        "frames beyond the voice": int(np.count_nonzero(output.start_seconds >= voice.duration_seconds)),
    }
    per_frame = in_places(len(output), seen.faces, drawn, values)
    sound = SoundWindow(voice.mel, first, COLUMNS)
    return TaskPlan(per_frame, {}, sound, KEPT_REASONS, shown, facts)


def first_columns(seconds: NDArray[np.float64], offset_seconds: float, columns: int) -> NDArray[np.int64]:
    """(n,) the first of the 16 mel columns that frames shown at `seconds` hear.

    As upstream (`inference.py`: int(80 i / frame rate)), by the frame's own time, so that no frame rate
    drifts and variable ones are right.  A window that would reach over the end of the sound is moved
    back to end there; a frame shown after it hears silence.
    """
    heard = seconds - offset_seconds
    first = np.floor(heard * COLUMNS_PER_SECOND + _ROUNDING_COLUMNS).astype(np.int64)
    last = max(columns - COLUMNS, 0)
    return np.where(first < columns, np.minimum(first, last), first)


def silent_frames(mel: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether all that a frame hears is digital silence."""
    loud = np.concatenate([[0], np.cumsum(_sounding(mel))])
    low, high = (np.clip(at, 0, mel.shape[1]) for at in (first, first + COLUMNS))
    return np.asarray(loud[high] == loud[low])


def _sounding(mel: NDArray[np.float32]) -> NDArray[np.bool_]:
    blocks = [mel[:, at : at + 4096].max(0) > SILENCE for at in range(0, mel.shape[1], 4096)]
    return np.concatenate([np.zeros(0, np.bool_), *blocks])


def _values(face: SeenFace, weights: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
    points = face.points
    frames = face_frames(points)
    usable = face.codes == 0
    matrices = crop_matrices(frames, chin_of(points[usable], frames[usable]))
    return {"points": points, "matrix": matrices, "weights": weights}
