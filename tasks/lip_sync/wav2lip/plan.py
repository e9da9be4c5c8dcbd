"""What the Wav2Lip backend draws in every output frame: seen faces, their crops, and the sound each hears; pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.cast import Cast
from tasks.lip_sync.face_frame import chin_of, crop_matrices, face_frames
from tasks.lip_sync.motion import ease
from tasks.lip_sync.occlusion.plan import maps_of, told, with_maps
from tasks.lip_sync.seen import KEPT_REASONS, Scan, SeenFace, in_places, kept, seen_faces
from tasks.lip_sync.voice import spoken_columns
from tasks.lip_sync.wav2lip.rest import resting_frames
from tasks.mel import COLUMNS_PER_SECOND
from tasks.nets.wav2lip import COLUMNS, SIDE
from tasks.task import OutputFrames, SoundWindow, TaskPlan, Voice

#: Times are rounded to 64 bits: a column that begins with the frame must not be taken for the one before.
_ROUNDING_COLUMNS: Final = 1e-6


def plan_generated(
    scan: Scan,
    output: OutputFrames,
    voice: Voice,
    cast: Cast,
    offset_seconds: float,
    *,
    silence: str = "draw",
    before: bool = True,
) -> TaskPlan:
    """Which faces are drawn in each output frame, where, and what they hear; `silence` as the task's option.

    With `before` what lies before a mouth stays as the source has it.
    """
    seen = seen_faces(scan, output, cast)
    voices = (voice, *voice.others)
    first = [first_columns(output.start_seconds, offset_seconds, one.mel.shape[1]) for one in voices]
    silent = [silent_frames(*heard) for heard in zip((one.mel for one in voices), first, strict=True)]
    if silence != "draw":
        seen = replace(seen, faces=tuple(_resting(face, silent[face.voice], silence) for face in seen.faces))
    weights = [ease(face.showing(face.points)) for face in seen.faces]
    drawn = [weight > 0 for weight in weights]
    chins = [_chin(face) for face in seen.faces]
    maps = maps_of(scan, seen.faces) if before else [None] * len(seen.faces)
    values = with_maps([_values(*one) for one in zip(seen.faces, chins, weights, strict=True)], maps)
    facts = (
        seen.facts(drawn)
        | told(len(output), seen.faces, drawn, maps)
        | {
            "frames drawn in silence": _count(len(output), seen.faces, drawn, silent),
            "frames beyond the voice": int(np.count_nonzero(output.start_seconds >= voice.duration_seconds)),
        }
    )
    sounds = tuple(SoundWindow(one.mel, at, COLUMNS) for one, at in zip(voices, first, strict=True))
    per_frame = in_places(len(output), seen.faces, drawn, values)
    shown = kept(len(output), seen.faces, drawn)
    return TaskPlan(per_frame, {}, sounds, KEPT_REASONS, shown, facts)


def _resting(face: SeenFace, silent: NDArray[np.bool_], silence: str) -> SeenFace:
    """The face kept as the source has it wherever nobody speaks, or (`rest`) where its mouth is closed then."""
    return face.resting(silent if silence == "keep" else resting_frames(face, silent))


def _count(
    count: int, faces: Sequence[SeenFace], drawn: Sequence[NDArray[np.bool_]], silent: Sequence[NDArray[np.bool_]]
) -> int:
    """In how many output frames a mouth is drawn whose voice is silent."""
    found = np.zeros(count, np.bool_)
    for face, active in zip(faces, drawn, strict=True):
        at = face.frames[active]
        found[at] |= silent[face.voice][at]
    return int(np.count_nonzero(found))


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
    """(n,) whether nobody speaks in all that a frame hears: silence, noise, or what lies beyond the voice."""
    heard = np.concatenate([[0], np.cumsum(spoken_columns(mel))])
    low, high = (np.clip(at, 0, mel.shape[1]) for at in (first, first + COLUMNS))
    return np.asarray(heard[high] == heard[low])


def _chin(face: SeenFace) -> float:
    points = face.points[face.codes == 0]
    return chin_of(points, face_frames(points))


def _values(face: SeenFace, chin: float, weights: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
    points = face.points
    matrix = crop_matrices(face_frames(points), chin, SIDE)
    return {"points": points, "matrix": matrix, "weights": weights, "voice": np.full(len(points), float(face.voice))}
