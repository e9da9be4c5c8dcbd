"""What lip sync will draw in every output frame: tracks, banks and motion put together; pure arithmetic.

Reads the measurements of a whole video once and writes arrays with one entry per output frame, of
which every segment reads its slice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces.choose import ChosenFaces, FaceSelector, choose
from tasks.faces.measure import Measurements, joined, measurements, measurements_from_arrays
from tasks.faces.policy import REASONS, reasons
from tasks.faces.tracks import FaceTrack, associate
from tasks.lip_sync.bank import MouthBank, bank_to_bytes, choose_frames, draw_bank, make_bank, make_entry
from tasks.lip_sync.candidates import Candidate, candidates_from_arrays, same_place, thinned
from tasks.lip_sync.motion import MouthMotion, Showing, Wish, plan_motion
from tasks.lip_sync.shape import part_lips
from tasks.task import OutputFrames, TaskPlan, UnitMeasurement

#: The shipped landmarks show openings too small; drawn mouths then follow a request best with this.
LIP_GAIN: Final = 1.3
#: The picture does not go on where the source frame moves by more than this.
_JUMP_FRAMES: Final = 4
#: Fewer source frames than this are pictures, not motion.
_STILL_FRAMES: Final = 5


@dataclass(frozen=True)
class Scan:
    """The measurements of all units of a video."""

    first: int
    "source frame of the first measurement"
    found: Measurements
    candidates: tuple[Candidate, ...]


def read_units(units: Iterable[UnitMeasurement]) -> Scan:
    """The units in order as one; source frames between them count as frames without a face."""
    runs: list[Measurements] = []
    kept: list[Candidate] = []
    first, end = 0, None
    for unit in units:
        if end is None:
            first = end = unit.start
        if unit.start > end:
            runs.append(_nobody(unit.start - end))
        runs.append(measurements_from_arrays(dict(unit.arrays)))
        kept = thinned(kept + candidates_from_arrays(unit.arrays))
        end = unit.end
    return Scan(first, joined(runs) if runs else _nobody(0), tuple(kept))


def plan_lip_sync(scan: Scan, output: OutputFrames, wish: Wish, selector: FaceSelector) -> TaskPlan:
    """What is drawn in each output frame, and why not where nothing is."""
    tracks = associate(scan.found, _frame_rate(scan, output)) if len(scan.found.frame) else ()
    chosen = choose(tracks, selector)
    mouths = [_plan_mouth(scan, output, wish, chosen, k) for k in range(len(chosen.tracks))]
    drawn = [mouth for mouth in mouths if mouth.bank is not None and mouth.motion.weights.any()]
    kept = _kept(len(output), mouths)
    facts: dict[str, str | int | float] = {
        "faces found": len(tracks),
        "faces drawn": len(drawn),
        "face chosen by": str(selector),
    }
    constant = {f"bank{k}": np.frombuffer(bank_to_bytes(m.bank), np.uint8) for k, m in enumerate(drawn) if m.bank}
    named = tuple(reason for reason in REASONS if reason is not None)
    return TaskPlan(_in_places(len(output), drawn), constant, named, kept, facts)


@dataclass(frozen=True)
class _Mouth:
    """One chosen face in the output frames that show it."""

    frames: NDArray[np.int64]
    "(T,) output frames, ascending"
    points: NDArray[np.float32]
    "(T, 51, 2)"
    codes: NDArray[np.uint8]
    "(T,) index into REASONS, 0 where it can be drawn"
    motion: MouthMotion
    bank: MouthBank | None


def _plan_mouth(scan: Scan, output: OutputFrames, wish: Wish, chosen: ChosenFaces, k: int) -> _Mouth:
    track, meant = chosen.tracks[k], chosen.chosen[k]
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
    points = part_lips(track.points[inside], LIP_GAIN)
    showing = Showing(
        seconds=output.start_seconds[frames],
        points=points,
        usable=codes == 0,
        jumps=_jumps(output.source_frames[frames], frames, _shots(scan, output, frames)),
    )
    bank = _bank_of(scan, track, limits)
    cap = bank.gap_cap if bank else 0.0
    return _Mouth(frames, points, codes, plan_motion(wish.at(frames), showing, cap), bank)


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


def _bank_of(scan: Scan, track: FaceTrack, limits: NDArray[np.uint8]) -> MouthBank | None:
    """The bank of one face; None where no picture of its mouth was kept."""
    own = [one for one in scan.candidates if _belongs(one, scan.first, track, limits)]
    if not own:
        return None
    points = np.stack([one.points for one in own])
    sharpness = np.array([one.sharpness for one in own])
    picked = choose_frames(points, sharpness, np.ones(len(own), np.bool_))
    if not picked:
        best = max(own, key=lambda one: one.value)
        return draw_bank(best.picture, best.points)
    entries = tuple(make_entry(own[i].picture, own[i].points) for i in picked)
    return make_bank(entries, points[list(picked)])


def _belongs(one: Candidate, first: int, track: FaceTrack, limits: NDArray[np.uint8]) -> bool:
    at = one.frame - first - track.start
    return 0 <= at < len(limits) and limits[at] == 0 and same_place(track.points[at], one.points)


def _in_places(count: int, drawn: Sequence[_Mouth]) -> Mapping[str, NDArray[np.generic]]:
    """Arrays (n, F, …): in each output frame the faces to draw stand in the first of F places."""
    used = np.zeros(count, np.int64)
    places = []
    for mouth in drawn:
        active = np.flatnonzero(mouth.motion.weights > 0)
        at = mouth.frames[active]
        places.append((active, at, used[at].copy()))
        used[at] += 1
    width = int(used.max(initial=0))
    points = np.zeros((count, width, *_POINTS), np.float32)
    numbers = {name: np.zeros((count, width), np.float32) for name in ("gaps", "widths", "weights")}
    bank = np.full((count, width), -1, np.int16)
    for k, (mouth, (active, at, place)) in enumerate(zip(drawn, places, strict=True)):
        points[at, place] = mouth.points[active]
        bank[at, place] = k
        for name, values in numbers.items():
            values[at, place] = getattr(mouth.motion, name)[active]
    return {"points": points, "bank": bank, **numbers}


_POINTS: Final = (51, 2)


def _kept(count: int, mouths: Sequence[_Mouth]) -> NDArray[np.int8]:
    """(n,) index into the reasons (REASONS without its first), -1 where a mouth is drawn."""
    kept = np.full(count, REASONS.index("no face") - 1, np.int8)
    for mouth in mouths:
        lost = mouth.codes > REASONS.index("no face")
        kept[mouth.frames[lost]] = mouth.codes[lost].astype(np.int8) - 1
    for mouth in mouths:
        if mouth.bank is not None:
            kept[mouth.frames[mouth.motion.weights > 0]] = -1
    return kept


def _frame_rate(scan: Scan, output: OutputFrames) -> Fraction:
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
