"""Faces over a whole video: measurements become tracks with ids, filled, smoothed; pure arithmetic.

Association is by place and size: within a shot a face moves little from frame to frame; across a
cut a track goes on only where the boxes lie on one another.  Where it is known how faces look, a
track ends where somebody else goes on in the same place, and tracks of one person have one id.
Every value of a frame comes from here, so segments that read slices cannot differ.
"""

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as face
from tasks.faces.measure import Measurements, geometry
from tasks.faces.people import Sightings, parted, people_of
from tasks.faces.smooth import smoothed

#: Gaps up to this are filled by interpolation; a face that stays away longer than `FORGOTTEN` is a new one.
FILLED_SECONDS: Final = Fraction(3, 10)
FORGOTTEN_SECONDS: Final = Fraction(3)
#: Tracks shorter than this, in a video of twice that, are taken for false alarms.
LEAST_SECONDS: Final = Fraction(1, 5)
#: What the network shows of a true opening on people it never saw is smaller by this (weights/landmarks.md).
OPENING_GAIN: Final = 1.3
#: Distance, in outer-eye distances and octaves of size, up to which a face is the same.
_NEAR_IN_SHOT: Final = 1.0
_NEAR_ACROSS_CUT: Final = 0.6


@dataclass(frozen=True)
class FaceTrack:
    """One face over `len(valid)` frames in a row from `start`; what is not valid holds no face."""

    id: int
    "0, 1, … in order of appearance, larger faces first; tracks of one person have the same"
    start: int
    "frame of the video"
    points: NDArray[np.float32]
    "(T, 51, 2) smoothed, upright picture pixels; interpolated, hence finite, where not valid"
    valid: NDArray[np.bool_]
    "(T,) measured, or in a gap short enough to be filled"
    measured: NDArray[np.bool_]
    rows: NDArray[np.int64]
    "(T,) of the measurements, -1 where not measured"
    presence: NDArray[np.float32]
    "(T,) 0 where not measured"
    hidden: NDArray[np.float32]
    opening: NDArray[np.float32]
    "(T,) of the smoothed points, times OPENING_GAIN, in outer-eye distances"
    yaw: NDArray[np.float32]
    pitch: NDArray[np.float32]
    roll: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    size_pixels: NDArray[np.float32]
    shot: NDArray[np.int32]
    "(T,) number of the shot, from 0"

    @property
    def end(self) -> int:
        return self.start + len(self.valid)

    def between(self, start: int, end: int) -> "FaceTrack | None":
        """The part in frames [start, end), None where the track has no frame there."""
        low, high = max(start, self.start), min(end, self.end)
        if low >= high:
            return None
        cut = slice(low - self.start, high - self.start)
        columns = {name: getattr(self, name)[cut] for name in _COLUMNS}
        return replace(self, start=low, **columns)


_COLUMNS: Final = tuple(f.name for f in fields(FaceTrack) if f.name not in ("id", "start"))


class _Open:
    """A track that grows: rows of the measurements, and where it was last."""

    def __init__(self, row: int, frame: int) -> None:
        self.rows = [row]
        self.last = frame


def associate(found: Measurements, frame_rate: Fraction, sightings: Sightings | None = None) -> tuple[FaceTrack, ...]:
    """The tracks of all measurements of a video, in order of appearance; `sightings` tell people apart."""
    shot = np.cumsum(found.cuts).astype(np.int32)
    least = min(LEAST_SECONDS * frame_rate, Fraction(found.frames, 2))
    runs = [np.array(rows) for rows in _rows_of_tracks(found, shot, frame_rate)]
    if sightings is not None and len(sightings):
        runs = parted(runs, found, sightings)
    groups = sorted((rows for rows in runs if len(rows) >= least), key=lambda rows: int(rows[0]))
    people = range(len(groups)) if sightings is None else people_of(groups, found, sightings)
    return tuple(_track(i, rows, found, shot, frame_rate) for i, rows in zip(people, groups, strict=True))


def _rows_of_tracks(found: Measurements, shot: NDArray[np.int32], frame_rate: Fraction) -> list[list[int]]:
    forgotten = max(1, int(FORGOTTEN_SECONDS * frame_rate))
    where, size = _places(found)
    shots = shot[found.frame]
    every: list[_Open] = []
    active: list[_Open] = []
    frames, counts = np.unique(found.frame, return_counts=True)
    ends = np.cumsum(counts)
    for frame, low, high in zip(frames, ends - counts, ends, strict=True):
        active = [one for one in active if frame - one.last <= forgotten]
        free = set(range(int(low), int(high)))
        for one, row in _pairs(active, sorted(free), where, size, shots):
            one.rows.append(row)
            one.last = int(frame)
            free.discard(row)
        new = [_Open(row, int(frame)) for row in sorted(free)]
        active, every = active + new, every + new
    return [one.rows for one in every]


def _places(found: Measurements) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return np.asarray(found.points[:, face.NOSE].mean(1), np.float32), found.size_pixels


def _pairs(
    active: list[_Open],
    rows: list[int],
    where: NDArray[np.float32],
    size: NDArray[np.float32],
    shot: NDArray[np.int32],
) -> list[tuple[_Open, int]]:
    """Tracks with the rows that continue them, the nearest pairs first, each used once."""
    offers = []
    for k, one in enumerate(active):
        last = one.rows[-1]
        for row in rows:
            both = float(max(size[row], size[last], 1e-3))
            apart = float(np.hypot(*(where[row] - where[last]))) / both
            apart += abs(float(np.log2(max(size[row], 1e-3) / max(size[last], 1e-3))))
            if apart < (_NEAR_IN_SHOT if shot[row] == shot[last] else _NEAR_ACROSS_CUT):
                offers.append((apart, k, row))
    taken: list[tuple[_Open, int]] = []
    tracks, used = set(), set()
    for _, k, row in sorted(offers):
        if k not in tracks and row not in used:
            tracks.add(k)
            used.add(row)
            taken.append((active[k], row))
    return taken


def _track(
    number: int, rows: NDArray[np.int64], found: Measurements, shot: NDArray[np.int32], frame_rate: Fraction
) -> FaceTrack:
    frames = found.frame[rows]
    start, end = int(frames[0]), int(frames[-1]) + 1
    measured = np.zeros(end - start, np.bool_)
    measured[frames - start] = True
    own = np.full(end - start, -1, np.int64)
    own[frames - start] = rows
    here = shot[start:end]
    valid = _filled(measured, here, int(FILLED_SECONDS * frame_rate))
    points = _interpolated(found.points[rows], frames - start, end - start)
    for low, high in _runs(valid, here):
        points[low:high] = smoothed(points[low:high], float(frame_rate))
    shape = geometry(points)

    def column(values: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.zeros(end - start, np.float32)
        out[frames - start] = values[rows]
        return out

    return FaceTrack(
        id=number,
        start=start,
        points=points,
        valid=valid,
        measured=measured,
        rows=own,
        presence=column(found.presence),
        hidden=column(found.hidden),
        opening=(shape.opening * OPENING_GAIN).astype(np.float32),
        yaw=shape.yaw,
        pitch=shape.pitch,
        roll=shape.roll,
        sharpness=column(found.sharpness),
        size_pixels=shape.size_pixels,
        shot=here,
    )


def _filled(measured: NDArray[np.bool_], shot: NDArray[np.int32], at_most: int) -> NDArray[np.bool_]:
    """`measured` with its inner gaps of up to `at_most` frames closed, never over a cut."""
    out = measured.copy()
    there = np.flatnonzero(measured)
    for a, b in pairwise(there.tolist()):
        if 1 < b - a <= at_most + 1 and shot[a] == shot[b]:
            out[a:b] = True
    return out


def _interpolated(points: NDArray[np.float32], at: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    if len(at) == count:
        return points.copy()
    right = np.searchsorted(at, np.arange(count), side="left").clip(0, len(at) - 1)
    left = np.where(at[right] == np.arange(count), right, right - 1)
    span = np.maximum(at[right] - at[left], 1)
    part = ((np.arange(count) - at[left]) / span)[:, None, None]
    return np.asarray(points[left] + part * (points[right] - points[left]), np.float32)


def _runs(valid: NDArray[np.bool_], shot: NDArray[np.int32]) -> list[tuple[int, int]]:
    """[start, end) of the stretches that are valid and lie in one shot."""
    key = np.where(valid, shot.astype(np.int64), -1)
    edges = np.flatnonzero(np.diff(key)) + 1
    bounds = [0, *edges.tolist(), len(key)]
    return [(a, b) for a, b in pairwise(bounds) if key[a] >= 0]


def tracks_to_arrays(tracks: tuple[FaceTrack, ...]) -> dict[str, NDArray[np.generic]]:
    """What `numpy.savez` keeps of tracks: `ids`, `starts`, and every column under `<number>/<name>`."""
    arrays: dict[str, NDArray[np.generic]] = {
        "ids": np.array([track.id for track in tracks], np.int64),
        "starts": np.array([track.start for track in tracks], np.int64),
    }
    for i, track in enumerate(tracks):
        arrays |= {f"{i}/{name}": getattr(track, name) for name in _COLUMNS}
    return arrays


def tracks_from_arrays(arrays: dict[str, NDArray[np.generic]]) -> tuple[FaceTrack, ...]:
    """The tracks that `tracks_to_arrays` took apart."""
    both = zip(arrays["ids"].tolist(), arrays["starts"].tolist(), strict=True)
    return tuple(
        FaceTrack(id=number, start=start, **{name: arrays[f"{i}/{name}"] for name in _COLUMNS})  # type: ignore[arg-type]
        for i, (number, start) in enumerate(both)
    )
