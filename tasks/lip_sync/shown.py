"""Small pictures for the report: everyone who is seen, and an example of each reason to leave a frame alone."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces.portraits import Portrait, near
from tasks.lip_sync.cast import Cast, People
from tasks.lip_sync.seen import KEPT_REASONS, SILENCE, Scan
from tasks.task import OutputFrames, Shown

#: People that a report tells of.
PEOPLE: Final = 24


def people_shown(people: People, scan: Scan, seconds: NDArray[np.float64], width: int) -> tuple[Shown, ...]:
    """Everyone, in order of appearance; `seconds` is when each source frame from the scan's first is shown.

    `width` is that of the upright picture.
    """
    shown = (_person(people, number, scan, seconds, width) for number in people.numbers[:PEOPLE])
    return tuple(shown)


def words_of(shown: Sequence[Shown], people: People) -> str:
    """The same in one line."""
    more = len(people.numbers) - len(shown)
    told = "; ".join(f"{one.title} {one.line}" for one in shown)
    return told + (f"; and {more} more" if more > 0 else "")


def source_seconds(scan: Scan, output: OutputFrames) -> NDArray[np.float64]:
    """(frames of the scan,) when each is first shown in the output; NaN where it never is."""
    seconds = np.full(scan.found.frames, np.nan)
    inside = output.source_frames - scan.first
    known = (inside >= 0) & (inside < len(seconds))
    seconds[inside[known][::-1]] = output.start_seconds[known][::-1]
    return seconds


def _person(people: People, number: int, scan: Scan, seconds: NDArray[np.float64], width: int) -> Shown:
    tracks = people.of(number)
    frames = np.concatenate([track.start + np.flatnonzero(track.valid) for track in tracks])
    size = np.concatenate([track.size_pixels[track.valid] for track in tracks])
    place = np.concatenate([track.points[track.valid][..., 0].mean(1) for track in tracks])
    share = 100 * len(frames) / max(scan.found.frames, 1)
    when = seconds[frames] if len(frames) else seconds[:0]
    first = float(np.nanmin(when)) if np.isfinite(when).any() else float("nan")
    stretches = f", in {len(tracks)} stretches that look alike" if len(tracks) > 1 else ""
    line = (
        f"in {share:.0f} % of the frames{stretches}, first at {_clock(first)}, {_side(place, width)}, "
        f"eyes {float(np.median(size)) if len(size) else 0:.0f} pixels apart"
    )
    return Shown("people", f"track {number}", line, _best(people.portraits.get(number, ())))


def _best(portraits: Sequence[Portrait]) -> bytes:
    """The largest clear portrait, else the largest; nothing where there is none."""
    if not portraits:
        return b""
    return max(portraits, key=lambda one: (one.clear, float(np.ptp(one.points[:, 0])), -one.frame)).jpeg


def _side(place: NDArray[np.floating], width: int) -> str:
    middle = float(np.median(place)) / max(width, 1) if len(place) else 0.5
    return "left" if middle < 0.4 else "right" if middle > 0.6 else "in the middle"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}" if np.isfinite(seconds) else "no time"


def kept_shown(kept: NDArray[np.int8] | None, scan: Scan, output: OutputFrames, cast: Cast) -> tuple[Shown, ...]:
    """For each reason to keep the source's frames a picture of one of them, as far as one was taken."""
    if kept is None:
        return ()
    found = (_example(kept == i, reason, scan, output, cast) for i, reason in enumerate(KEPT_REASONS))
    return tuple(one for one in found if one is not None)


def _example(frames: NDArray[np.bool_], reason: str, scan: Scan, output: OutputFrames, cast: Cast) -> Shown | None:
    """The portrait that lies nearest to a frame that was kept for this reason."""
    if not frames.any():
        return None
    at = np.flatnonzero(frames)
    fitting = [one for one in scan.portraits if _fits(one, reason, cast, scan)]
    jpeg, when = b"", int(at[0])
    if fitting:
        apart = np.array([np.abs(output.source_frames[at] - one.frame).min() for one in fitting])
        best = fitting[int(apart.argmin())]
        jpeg, when = best.jpeg, int(at[np.abs(output.source_frames[at] - best.frame).argmin()])
    line = f"{len(at)} frames, as at {_clock(float(output.start_seconds[when]))}"
    return Shown("kept", reason, line, jpeg)


def _fits(portrait: Portrait, reason: str, cast: Cast, scan: Scan) -> bool:
    if reason == "no face":
        return portrait.of_nobody
    if portrait.of_nobody or portrait.clear != (reason == SILENCE):
        return False
    for role in cast.roles:
        at = portrait.frame - scan.first - role.track.start
        if 0 <= at < len(role.track.valid) and near(role.track.points[at], portrait.points):
            return True
    return False
