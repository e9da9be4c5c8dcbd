"""Who is seen in a video, and who of them speaks which voice; pure arithmetic over the whole of it.

The first voice is the job's own, the others are those of further speakers, whose faces it leaves to them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.errors import JobError
from tasks.faces.choose import meant_frames
from tasks.faces.identity import Embedding
from tasks.faces.measure import Measurements
from tasks.faces.people import Sightings
from tasks.faces.portraits import Portrait, near
from tasks.faces.selector import FaceSelector
from tasks.faces.tracks import FaceTrack, associate

#: How people are seen by whoever wants to choose.
_SEE: Final = "`reelyard scan SOURCE --sheet people.jpg` shows who is there"


@dataclass(frozen=True)
class Role:
    """One track, and the frames in which it speaks one of the voices."""

    track: FaceTrack
    meant: NDArray[np.bool_]
    "(T,) of the track"
    voice: int = 0


@dataclass(frozen=True)
class People:
    """All who are seen in a video."""

    tracks: tuple[FaceTrack, ...]
    portraits: Mapping[int, tuple[Portrait, ...]] = field(default_factory=dict)
    "by the number of the person, in frame order"
    directions: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    "(k, D) of the clear ones of these"

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(track.id for track in self.tracks))

    def of(self, number: int) -> tuple[FaceTrack, ...]:
        return tuple(track for track in self.tracks if track.id == number)


@dataclass(frozen=True)
class Cast:
    """Who speaks."""

    people: People
    roles: tuple[Role, ...]
    chosen_by: str
    "in words, for the report"


def people_of(
    found: Measurements, first: int, portraits: Sequence[Portrait], frame_rate: Fraction, eye: Embedding
) -> People:
    """The people of a video whose measurements begin at source frame `first`."""
    if not len(found.frame):
        return People(())
    clear = [(one, row) for one in portraits if one.clear and (row := _row_of(one, found, first)) is not None]
    directions = eye.embed([one for one, _ in clear])
    rows = np.array([row for _, row in clear], np.int64)
    tracks = associate(found, frame_rate, Sightings(rows, directions, eye.likeness))
    whose = [_whose(tracks, one, first) for one, _ in clear]
    all_of: dict[int, list[Portrait]] = {track.id: [] for track in tracks}
    for one in portraits:
        if (who := _whose(tracks, one, first)) in all_of:
            all_of[who].append(one)
    return People(
        tracks,
        {n: tuple(those) for n, those in all_of.items()},
        {n: directions[np.array(whose, np.int64) == n] for n in all_of},
    )


def cast_of(
    people: People,
    selectors: Sequence[FaceSelector],
    eye: Embedding,
    photos: Mapping[FaceSelector, Portrait],
) -> Cast:
    """Who speaks: `selectors` are of the voices in order, the job's own first.

    Raises:
        JobError: somebody who was asked for is not there; says who is.
    """
    meant = [_resolved(people, one, eye, photos) for one in selectors]
    free = [track.valid.copy() for track in people.tracks]
    roles: list[Role] = []
    for voice in [*range(1, len(meant)), 0]:  # whoever has a voice of their own does not speak the job's
        for track, frames, left in zip(
            people.tracks, meant_frames(people.tracks, meant[voice], free), free, strict=True
        ):
            left &= ~frames
            if frames.any():
                roles.append(Role(track, frames, voice))
    ordered = sorted(roles, key=lambda one: (one.track.start, one.track.id, one.voice))
    return Cast(people, tuple(ordered), "; ".join(map(_words, selectors, meant)))


def _words(asked: FaceSelector, meant: FaceSelector) -> str:
    return str(asked) if asked == meant else f"{asked}, who is {meant}"


def _resolved(
    people: People, selector: FaceSelector, eye: Embedding, photos: Mapping[FaceSelector, Portrait]
) -> FaceSelector:
    """The selector, with a photo's face told as the person it shows.

    Raises:
        JobError: nobody is that person.
    """
    if selector.kind == "like":
        return FaceSelector("track", _nearest(people, selector, eye, photos[selector]))
    if selector.kind == "track" and people.tracks and selector.number not in people.numbers:
        raise JobError(f"face {selector}: found {_listed(people)}, expected one of them; {_SEE}")
    return selector


def _nearest(people: People, selector: FaceSelector, eye: Embedding, photo: Portrait) -> int:
    seen = eye.embed([photo])[0]
    alike = {n: float((found @ seen).mean()) for n, found in people.directions.items() if len(found)}
    if not alike:
        raise JobError(
            f"face {selector}: found nobody in the video whose face is clear; choose by place, as --face left"
        )
    best = max(alike, key=lambda n: (alike[n], -n))
    if alike[best] < eye.likeness.near:
        raise JobError(
            f"face {selector}: nobody in the video is near enough: track {best} comes nearest with {alike[best]:.2f}, "
            f"expected {eye.likeness.near:.2f} or more; take a photo from this footage, name a network of "
            f"recognition with identity=arcface, or choose by number, as --face track:{best}; {_SEE}"
        )
    return best


def _listed(people: People) -> str:
    numbers = people.numbers
    return f"tracks {', '.join(map(str, numbers[:12]))}{' …' if len(numbers) > 12 else ''}"


def _row_of(portrait: Portrait, found: Measurements, first: int) -> int | None:
    """The measurement that a portrait was taken of."""
    low, high = np.searchsorted(found.frame, [portrait.frame - first, portrait.frame - first + 1])
    for row in range(int(low), int(high)):
        if np.array_equal(found.points[row], portrait.points):
            return row
    return None


def _whose(tracks: Sequence[FaceTrack], portrait: Portrait, first: int) -> int:
    """The number of the person, -1 for nobody who is told of."""
    for track in tracks:
        at = portrait.frame - first - track.start
        if 0 <= at < len(track.valid) and track.measured[at] and near(track.points[at], portrait.points):
            return track.id
    return -1
