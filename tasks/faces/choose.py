"""Which faces are meant: one choice over the whole video; pure arithmetic.  The words of it are `selector`'s."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tasks.faces.selector import FaceSelector
from tasks.faces.tracks import FaceTrack

#: A face that is there for less of a shot than this, beside one that stays, is not counted by place.
_PASSING = Fraction(1, 10)


@dataclass(frozen=True)
class ChosenFaces:
    """Which tracks are meant in which frames."""

    tracks: tuple[FaceTrack, ...]
    chosen: tuple[NDArray[np.bool_], ...]
    "for each track (T,), true where it is meant and valid"

    def at(self, frame: int) -> tuple[tuple[FaceTrack, int], ...]:
        """The meant faces of a frame: each a track and the index of the frame in it, the leftmost first."""
        here = [
            (track, frame - track.start)
            for track, meant in zip(self.tracks, self.chosen, strict=True)
            if track.start <= frame < track.end and meant[frame - track.start]
        ]
        return tuple(sorted(here, key=lambda one: (_place(one[0])[one[1]], one[0].id)))


def choose(tracks: Sequence[FaceTrack], selector: FaceSelector) -> ChosenFaces:
    """The choice of `selector`, made once over the whole video, shot by shot; others are left out."""
    meant = meant_frames(tracks, selector, [track.valid for track in tracks])
    kept = [i for i in range(len(tracks)) if meant[i].any()]
    return ChosenFaces(tuple(tracks[i] for i in kept), tuple(meant[i] for i in kept))


def meant_frames(
    tracks: Sequence[FaceTrack], selector: FaceSelector, free: Sequence[NDArray[np.bool_]]
) -> list[NDArray[np.bool_]]:
    """For each track (T,) where it is meant, of the frames that are `free` (T,) to be chosen."""
    meant = [np.zeros(len(track.valid), np.bool_) for track in tracks]
    for shot in sorted({int(s) for track in tracks for s in np.unique(track.shot[track.valid])}):
        within = [open & (track.shot == shot) for track, open in zip(tracks, free, strict=True)]
        for i in _of_shot(tracks, within, selector):
            meant[i] |= within[i]
    return meant


def _of_shot(tracks: Sequence[FaceTrack], within: Sequence[NDArray[np.bool_]], selector: FaceSelector) -> list[int]:
    """Indexes of the tracks that are meant; the tracks of one person are chosen together."""
    people: dict[int, list[int]] = {}
    for i, frames in enumerate(within):
        if frames.any():
            people.setdefault(tracks[i].id, []).append(i)
    shown = {who: _Shown.of([(tracks[i], within[i]) for i in those]) for who, those in people.items()}
    return [i for who in _people_of_shot(shown, selector) for i in people[who]]


@dataclass(frozen=True)
class _Shown:
    """One person in one shot."""

    frames: int
    area: float
    place: float
    "mean x of all points"

    @staticmethod
    def of(seen: Sequence[tuple[FaceTrack, NDArray[np.bool_]]]) -> "_Shown":
        places = np.concatenate([_place(track)[frames] for track, frames in seen])
        area = sum(float((track.size_pixels[frames].astype(np.float64) ** 2).sum()) for track, frames in seen)
        return _Shown(len(places), area, float(places.mean()))


def _people_of_shot(shown: Mapping[int, _Shown], selector: FaceSelector) -> list[int]:
    if not shown or selector.kind == "all":
        return list(shown)
    if selector.kind == "track":
        return [who for who in shown if who == selector.number]
    if selector.kind == "largest":
        return [max(shown, key=lambda who: (shown[who].area, -who))]
    longest = max(one.frames for one in shown.values())
    staying = [who for who, one in shown.items() if one.frames >= _PASSING * longest]
    ordered = sorted(staying, key=lambda who: (shown[who].place, who))
    index = {"left": 0, "right": len(ordered) - 1, "number": selector.number - 1}[selector.kind]
    return ordered[index : index + 1]


def _place(track: FaceTrack) -> NDArray[np.float32]:
    return np.asarray(track.points[..., 0].mean(1), np.float32)
