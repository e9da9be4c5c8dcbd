"""Which faces are meant: the selector grammar and one choice over the whole video; pure arithmetic.

largest   in each shot the face that covers most, summed over the shot
all       every face
left      the leftmost face of each shot, by its mean place;  right  likewise
#N        the Nth face of each shot from the left, from 1
track:N   the face that a report calls track N, wherever it is
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tasks.faces.tracks import FaceTrack

#: A face that is there for less of a shot than this, beside one that stays, is not counted by place.
_PASSING = Fraction(1, 10)


@dataclass(frozen=True)
class FaceSelector:
    kind: Literal["largest", "all", "left", "right", "number", "track"]
    number: int = 0
    "from 1, for kind `number`; the track's own, for kind `track`"

    def __str__(self) -> str:
        return {"number": f"#{self.number}", "track": f"track:{self.number}"}.get(self.kind, self.kind)


def parse_face_selector(text: str) -> FaceSelector:
    """The selector that `text` writes.

    Raises:
        ValueError: the text is no selector, or one that is not built yet.
    """
    word = text.strip()
    if word in ("largest", "all", "left", "right"):
        return FaceSelector(word)  # type: ignore[arg-type]
    if re.fullmatch(r"#[1-9][0-9]{0,3}", word):
        return FaceSelector("number", int(word[1:]))
    if re.fullmatch(r"track:[0-9]{1,6}", word):
        return FaceSelector("track", int(word[6:]))
    expected = "expected largest, all, left, right, #N (the Nth face from the left, from 1) or track:N (of a report)"
    if word.startswith("like:"):
        raise ValueError(f"face selector {text!r}: like: is not available in this version; {expected}")
    raise ValueError(f"face selector {text!r} is not understood; {expected}")


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
    meant = [np.zeros(len(track.valid), np.bool_) for track in tracks]
    for shot in sorted({int(s) for track in tracks for s in np.unique(track.shot[track.valid])}):
        within = [track.valid & (track.shot == shot) for track in tracks]
        for i in _of_shot(tracks, within, selector):
            meant[i] |= within[i]
    kept = [i for i in range(len(tracks)) if meant[i].any()]
    return ChosenFaces(tuple(tracks[i] for i in kept), tuple(meant[i] for i in kept))


def _of_shot(tracks: Sequence[FaceTrack], within: Sequence[NDArray[np.bool_]], selector: FaceSelector) -> Sequence[int]:
    there = [i for i, frames in enumerate(within) if frames.any()]
    if not there or selector.kind == "all":
        return there
    if selector.kind == "track":
        return [i for i in there if tracks[i].id == selector.number]
    if selector.kind == "largest":
        areas = {i: float((tracks[i].size_pixels[within[i]].astype(np.float64) ** 2).sum()) for i in there}
        return [max(there, key=lambda i: (areas[i], -tracks[i].id))]
    longest = max(int(within[i].sum()) for i in there)
    staying = [i for i in there if int(within[i].sum()) >= _PASSING * longest]
    ordered = sorted(staying, key=lambda i: (float(_place(tracks[i])[within[i]].mean()), tracks[i].id))
    index = {"left": 0, "right": len(ordered) - 1, "number": selector.number - 1}[selector.kind]
    return ordered[index : index + 1]


def _place(track: FaceTrack) -> NDArray[np.float32]:
    return np.asarray(track.points[..., 0].mean(1), np.float32)
