"""The faces that are meant, over the whole output: where each is seen, and why not where it is not; pure arithmetic.

Reads the measurements of a whole video once.  What is drawn into these faces is a backend's own matter.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces.measure import Measurements, joined, measurements, measurements_from_arrays
from tasks.faces.policy import REASONS, reasons
from tasks.faces.portraits import Portrait, portraits_from_arrays, thinned_portraits
from tasks.faces.tracks import FaceTrack
from tasks.lip_sync.candidates import Candidate, candidates_from_arrays, same_place, thinned
from tasks.lip_sync.cast import Cast, Role
from tasks.lip_sync.motion import Showing
from tasks.lip_sync.occlusion.surface import Surfaces, joined_surfaces, surfaces_from_arrays
from tasks.lip_sync.syncnet.clips import Clip, clips_from_arrays, thinned_clips
from tasks.task import OutputFrames, UnitMeasurement

#: The picture does not go on where the source frame moves by more than this.
_JUMP_FRAMES: Final = 4
#: Why a frame is kept: what is wrong with its face, or that nobody speaks.
SILENCE: Final = "silence"
KEPT_REASONS: Final = (*(reason for reason in REASONS if reason is not None), SILENCE)
#: Fewer source frames than this are pictures, not motion.
_STILL_FRAMES: Final = 5


@dataclass(frozen=True)
class Scan:
    """The measurements of all units of a video."""

    first: int
    "source frame of the first measurement"
    found: Measurements
    candidates: tuple[Candidate, ...]
    surfaces: Surfaces = field(default_factory=lambda: joined_surfaces(()))
    "of the measurements, in their order"
    portraits: tuple[Portrait, ...] = ()
    clips: tuple[Clip, ...] = ()


def read_units(units: Iterable[UnitMeasurement]) -> Scan:
    """The units in order as one; source frames between them count as frames without a face."""
    runs: list[Measurements] = []
    kept: list[Candidate] = []
    surfaces: list[Surfaces] = []
    portraits: list[Portrait] = []
    clips: list[Clip] = []
    first, end = 0, None
    for unit in units:
        if end is None:
            first = end = unit.start
        if unit.start > end:
            runs.append(_nobody(unit.start - end))
        runs.append(measurements_from_arrays(dict(unit.arrays)))
        kept = thinned(kept + candidates_from_arrays(unit.arrays))
        surfaces.append(surfaces_from_arrays(unit.arrays))
        portraits = thinned_portraits(portraits + portraits_from_arrays(unit.arrays))
        clips = thinned_clips(clips + clips_from_arrays(unit.arrays))
        end = unit.end
    found = joined(runs) if runs else _nobody(0)
    return Scan(first, found, tuple(kept), joined_surfaces(surfaces), tuple(portraits), tuple(clips))


@dataclass(frozen=True)
class SeenFace:
    """One chosen face in the output frames that show it, and one frame more on either side."""

    track: FaceTrack
    limits: NDArray[np.uint8]
    "(frames of the track,) index into REASONS, 0 where it can be drawn"
    inside: NDArray[np.int64]
    "(T,) frame of the track"
    frames: NDArray[np.int64]
    "(T,) output frames, ascending"
    codes: NDArray[np.uint8]
    "(T,) index into REASONS"
    seconds: NDArray[np.float64]
    jumps: NDArray[np.bool_]
    "(T,) whether the picture does not continue the one before"
    voice: int = 0
    "number of the voice that it speaks"

    @property
    def points(self) -> NDArray[np.float32]:
        """(T, 51, 2) as the track has them."""
        return self.track.points[self.inside]

    def resting(self, silent: NDArray[np.bool_]) -> "SeenFace":
        """The same, kept as the source has it in silent output frames (n,)."""
        codes = np.where((self.codes == 0) & silent[self.frames], KEPT_REASONS.index(SILENCE) + 1, self.codes)
        return replace(self, codes=codes.astype(np.uint8))

    def showing(self, points: NDArray[np.float32]) -> Showing:
        """The same for the planning of a motion, with the points that are to be drawn from."""
        return Showing(self.seconds, points, self.codes == 0, self.jumps)


@dataclass(frozen=True)
class SeenFaces:
    """All chosen faces of an output."""

    faces: tuple[SeenFace, ...]
    cast: Cast

    def facts(self, drawn: Sequence[NDArray[np.bool_]]) -> dict[str, str | int | float]:
        """What a report says of them; `drawn` (T,) for each face where it is."""
        spoken = {face.track.id for face, frames in zip(self.faces, drawn, strict=True) if frames.any()}
        return {
            "faces found": len(self.cast.people.numbers),
            "faces drawn": len(spoken),
            "face chosen by": self.cast.chosen_by,
        }


def seen_faces(scan: Scan, output: OutputFrames, cast: Cast) -> SeenFaces:
    """The chosen faces of a whole video."""
    return SeenFaces(tuple(_seen(scan, output, role) for role in cast.roles), cast)


def _seen(scan: Scan, output: OutputFrames, role: Role) -> SeenFace:
    track, meant = role.track, role.meant
    shown = output.source_frames - scan.first - track.start
    there = (shown >= 0) & (shown < len(meant))
    there[there] = meant[shown[there]]
    around = there.copy()  # one frame more on either side, to ease towards
    around[1:] |= there[:-1]
    around[:-1] |= there[1:]
    frames = np.flatnonzero(around)
    inside = np.clip(shown[frames], 0, len(meant) - 1)
    limits = reasons(track)
    codes = np.where(there[frames], limits[inside], REASONS.index("no face")).astype(np.uint8)
    jumps = _jumps(output.source_frames[frames], frames, _shots(scan, output, frames))
    return SeenFace(track, limits, inside, frames, codes, output.start_seconds[frames], jumps, role.voice)


def shows(face: SeenFace, first: int, frame: int, points: NDArray[np.float32]) -> bool:
    """Whether points measured in a source frame are this face's, in a frame in which it can be drawn."""
    at = frame - first - face.track.start
    usable = 0 <= at < len(face.limits) and face.limits[at] == 0
    return usable and same_place(face.track.points[at], points)


def in_places(
    count: int,
    faces: Sequence[SeenFace],
    drawn: Sequence[NDArray[np.bool_]],
    values: Sequence[Mapping[str, NDArray[np.floating]]],
) -> dict[str, NDArray[np.generic]]:
    """Arrays (n, F, …): in each output frame the faces to draw stand in the first of F places.

    `drawn` says for each face in which of its frames it is, `values` (T, …) what is known of it there.
    `face` (n, F) is the number of the face, -1 where a place is empty.
    """
    used = np.zeros(count, np.int64)
    places = []
    for face, active in zip(faces, drawn, strict=True):
        at = face.frames[active]
        places.append((active, at, used[at].copy()))
        used[at] += 1
    width = int(used.max(initial=0))
    arrays: dict[str, NDArray[np.generic]] = {"face": np.full((count, width), -1, np.int16)}
    for k, (given, (active, at, place)) in enumerate(zip(values, places, strict=True)):
        arrays["face"][at, place] = k
        for name, column in given.items():
            if name not in arrays:
                arrays[name] = np.zeros((count, width, *column.shape[1:]), np.float32)
            arrays[name][at, place] = column[active]
    return arrays


def kept(count: int, faces: Sequence[SeenFace], drawn: Sequence[NDArray[np.bool_]]) -> NDArray[np.int8]:
    """(n,) index into `KEPT_REASONS`, -1 where a mouth is drawn."""
    codes = np.full(count, REASONS.index("no face") - 1, np.int8)
    for face in faces:
        lost = face.codes > REASONS.index("no face")
        codes[face.frames[lost]] = face.codes[lost].astype(np.int8) - 1
    for face, active in zip(faces, drawn, strict=True):
        codes[face.frames[active]] = -1
    return codes


def _jumps(source: NDArray[np.int64], frames: NDArray[np.int64], shots: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where the picture does not continue the one before."""
    jumps = np.zeros(len(frames), np.bool_)
    jumps[1:] = (np.abs(np.diff(source)) > _JUMP_FRAMES) | (np.diff(frames) > 1) | (np.diff(shots) != 0)
    return jumps


def _shots(scan: Scan, output: OutputFrames, frames: NDArray[np.int64]) -> NDArray[np.int64]:
    shots = np.cumsum(scan.found.cuts, dtype=np.int64)
    if not len(shots):
        return np.zeros(len(frames), np.int64)
    return shots[np.clip(output.source_frames[frames] - scan.first, 0, len(shots) - 1)]


def frame_rate_of(scan: Scan, output: OutputFrames) -> Fraction:
    """Frames of the source in a second, near enough for time constants; 1 for a few pictures."""
    if scan.found.frames < _STILL_FRAMES or len(output) < 2:
        return Fraction(1)
    seconds = float(np.median(output.duration_seconds))
    steps = np.abs(np.diff(output.source_frames))
    return Fraction(float(np.mean(np.minimum(steps, _JUMP_FRAMES))) / max(seconds, 1e-3)).limit_denominator(1000)


def _nobody(frames: int) -> Measurements:
    """A run of frames in which no face was measured, with a cut after it wherever one follows."""
    nothing = measurements(())
    return Measurements(**{**vars(nothing), "cuts": np.arange(frames) == 0})
