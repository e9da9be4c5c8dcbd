"""How far the source's own sound lies from its picture: what its voice should do to a mouth against what its mouths do.

The sign, everywhere: positive where the sound comes later than the picture.  Pure arithmetic over a scan that was
made anyway and a little of the source's sound; knows no files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces.choose import choose
from tasks.faces.measure import Measurements
from tasks.faces.policy import reasons
from tasks.faces.selector import FaceSelector
from tasks.faces.tracks import FaceTrack, associate
from tasks.lip_sync.candidates import same_place
from tasks.lip_sync.offset import Offset, estimate_offset
from tasks.lip_sync.seen import Scan
from tasks.lip_sync.syncnet.clips import Clip
from tasks.lip_sync.syncnet.distances import Agreement, agreement, distances
from tasks.lip_sync.syncnet.expert import Expert
from tasks.lip_sync.voice import articulate
from tasks.mel import COLUMNS_PER_SECOND, MelStatistics
from tasks.task import OutputFrames, SoundStretch

#: The option's word for an offset that is estimated.
AUTO: Final = "auto"
#: An estimate that is less sure, or whose curves agree less, is told and not applied.
SURE: Final = 0.9
AGREEING: Final = 0.3
#: So much of a mouth must be seen: shorter looks find an offset in anything.
LEAST_SECONDS: Final = 3.0
#: Who estimates without weights, in the report's words.
BY_OPENINGS: Final = "openings of the mouth"
#: SyncNet must have seen so many pictures that follow one another.
_LEAST_WINDOWS: Final = 25
#: Clips of a face that SyncNet looks at, each of 64 frames: half a minute of a processor.
_MOST_CLIPS: Final = 12
#: Columns of nothing between two stretches, so that no lag reaches from one into the other.
_APART_COLUMNS: Final = 2 * COLUMNS_PER_SECOND


@dataclass(frozen=True)
class SourceOffset:
    """What is known of a source's own offset."""

    found: Offset | None
    "None where nothing could be estimated."
    why_not: str = ""
    "Why the offset is not believed, empty where it is."
    by: str = BY_OPENINGS
    "Who estimated it."
    agreed: Agreement | None = None
    "What SyncNet said, where it was asked."

    @property
    def seconds(self) -> float:
        """By which the sound comes later than the picture, as far as it is believed; else 0."""
        return self.found.seconds if self.found and not self.why_not else 0.0

    @property
    def sentence(self) -> str:
        """For a person."""
        if self.found is None:
            return f"the source's sound offset is not known: {self.why_not}"
        shift = round(1000 * self.found.seconds)
        side = "later than" if shift > 0 else "earlier than" if shift < 0 else "together with"
        lies = f"{abs(shift)} ms {side}" if shift else side
        sure = f"confidence {self.found.confidence:.2f}{f', by {self.by}' if self.agreed else ''}"
        if self.why_not:
            return f"the source's sound may lie {lies} its picture, but this is not sure ({sure}): {self.why_not}"
        return f"the source's sound lies {lies} its picture ({sure})"

    @property
    def facts(self) -> dict[str, str | int | float]:
        """For the report; positive milliseconds: the sound comes later than the picture."""
        if self.found is None:
            return {"sound offset": self.sentence}
        facts: dict[str, str | int | float] = {
            "sound offset": self.sentence,
            "sound offset ms": round(1000 * self.found.seconds),
            "sound offset confidence": round(self.found.confidence, 3),
            "sound offset correlation": round(self.found.correlation, 3),
            "sound offset by": self.by,
        }
        if self.agreed:
            facts |= {"source lse_d": round(self.agreed.lse_d, 4), "source lse_c": round(self.agreed.lse_c, 4)}
        return facts


def asked_offset_seconds(asked: str, source: SourceOffset) -> float:
    """By which a drawn mouth comes later than its voice: as asked, or with `auto` as the source's own mouth does.

    Of a source whose sound comes late the mouths are early, and drawn ones are then as early.
    """
    return -source.seconds if asked == AUTO else float(asked) / 1000


def applied_sentence(asked: str, source: SourceOffset) -> str:
    """What `auto` came to; empty where it was not asked for."""
    if asked != AUTO:
        return ""
    if source.found is None or source.why_not:
        return "sync_offset=auto: 0 ms, as the source's own offset is not sure"
    shift = round(1000 * source.seconds)
    side = "earlier than" if shift > 0 else "later than" if shift < 0 else "together with"
    return (
        f"sync_offset=auto: mouths move {f'{abs(shift)} ms ' if shift else ''}{side} the voice, as the source's own do"
    )


def source_offset(
    scan: Scan, output: OutputFrames, selector: FaceSelector, expert: Expert | None = None
) -> SourceOffset:
    """The offset of the source of a scan, from the chosen face that agrees best with the sound.

    An `expert` is asked first; where it saw too little, and without one, openings are held against the sound.
    """
    if not output.source_sound:
        return SourceOffset(None, "no sound of its own was heard")
    looks = [_looks(scan, stretch, selector) for stretch in output.source_sound]
    if expert is not None and (agreed := _heard_and_seen(expert, scan, output.source_sound, looks)) is not None:
        return replace(judged(agreed.offset), by=expert.name, agreed=agreed)
    predicted, places = _predicted(output.source_sound)
    found = [_estimate(predicted, places, looks, slot) for slot in range(max(map(len, looks)))]
    seen = [one for one in found if one is not None]
    if not seen:
        return SourceOffset(None, f"no face was seen for {LEAST_SECONDS:g} s while sound was heard")
    return judged(max(seen, key=lambda one: (one.confidence, one.correlation)))


def judged(found: Offset) -> SourceOffset:
    """The estimate, with the reason where it is not to be believed."""
    if found.correlation < AGREEING:
        return SourceOffset(found, f"mouth and sound agree too little ({found.correlation:.2f} of 1)")
    if found.confidence < SURE:
        return SourceOffset(found, "another place fits nearly as well")
    return SourceOffset(found)


def _predicted(heard: Sequence[SoundStretch]) -> tuple[NDArray[np.float32], list[int]]:
    """Openings that the stretches' sounds ask for, one after another with silence between, and where each begins."""
    statistics = sum((MelStatistics.of(one.mel) for one in heard), MelStatistics())
    curves, places, at = [], [], 0
    for one in heard:
        places.append(at)
        curves += [articulate(one.mel, statistics).opening, np.zeros(_APART_COLUMNS, np.float32)]
        at += one.mel.shape[1] + _APART_COLUMNS
    return np.concatenate(curves), places


@dataclass(frozen=True)
class _Look:
    """One face in one stretch."""

    track: FaceTrack
    "Counted from the first frame of the stretch."
    used: NDArray[np.bool_]
    "(frames of the track,) whether it is meant there, and its mouth can be seen"
    opening: NDArray[np.float32]
    seconds: NDArray[np.float64]
    "On the clock of the stretch."


def _looks(scan: Scan, stretch: SoundStretch, selector: FaceSelector) -> list[_Look]:
    """The chosen faces of a stretch, the one seen longest first."""
    low, high = stretch.start - scan.first, stretch.start + len(stretch.seconds) - scan.first
    if low < 0 or high > scan.found.frames or len(stretch.seconds) < 2:
        return []
    rate = Fraction((len(stretch.seconds) - 1) / float(np.ptp(stretch.seconds))).limit_denominator(1000)
    chosen = choose(associate(_between(scan.found, low, high), rate), selector)
    both = zip(chosen.tracks, chosen.chosen, strict=True)
    looks = [_look(track, meant & (reasons(track) == 0), stretch.seconds) for track, meant in both]
    return sorted(looks, key=lambda one: -len(one.opening))


def _look(track: FaceTrack, used: NDArray[np.bool_], seconds: NDArray[np.float64]) -> _Look:
    return _Look(track, used, track.opening[used], seconds[track.start : track.end][used])


def _heard_and_seen(
    expert: Expert, scan: Scan, heard: Sequence[SoundStretch], looks: Sequence[Sequence[_Look]]
) -> Agreement | None:
    """What an expert says of the face that agrees best; None where it saw too little of all of them."""
    found = []
    for slot in range(max(map(len, looks), default=0)):
        both = [(stretch, look[slot]) for stretch, look in zip(heard, looks, strict=True) if slot < len(look)]
        clips = _spread([clip for stretch, look in both for clip in _clips(scan, stretch, look)])
        runs = [distances(expert, clip.mouths, seconds, mel) for clip, seconds, mel in clips]
        if sum(map(len, runs)) >= _LEAST_WINDOWS and (agreed := agreement(runs)) is not None:
            found.append(agreed)
    return max(found, key=lambda one: (one.offset.confidence, one.offset.correlation), default=None)


#: A clip, when its frames are shown, and the sound of that clock.
_Heard = tuple[Clip, NDArray[np.float64], NDArray[np.float32]]


def _clips(scan: Scan, stretch: SoundStretch, look: _Look) -> Iterator[_Heard]:
    """The clips of one face that a stretch is heard with, as far as it reaches."""
    for clip in scan.clips:
        first = clip.frame - stretch.start
        at = first - look.track.start
        count = min(len(clip.jpegs), len(stretch.seconds) - first, len(look.used) - at)
        if first < 0 or at < 0 or count <= 0 or not look.used[at : at + count].all():
            continue
        if same_place(look.track.points[at], clip.points):
            yield replace(clip, jpegs=clip.jpegs[:count]), stretch.seconds[first : first + count], stretch.mel


def _spread(clips: list[_Heard]) -> list[_Heard]:
    """So many of them as are looked at, all over the video."""
    if len(clips) <= _MOST_CLIPS:
        return clips
    return [clips[i] for i in np.linspace(0, len(clips) - 1, _MOST_CLIPS).astype(int)]


def _between(found: Measurements, low: int, high: int) -> Measurements:
    """The measurements of frames [low, high), counted from `low`."""
    rows = slice(*np.searchsorted(found.frame, (low, high)).tolist())
    columns = {name: values[rows] for name, values in vars(found).items()}
    return Measurements(**{**columns, "frame": columns["frame"] - low, "cuts": found.cuts[low:high]})


def _estimate(
    predicted: NDArray[np.float32], places: Sequence[int], looks: Sequence[Sequence[_Look]], slot: int
) -> Offset | None:
    """Of the faces that stand at `slot` in each stretch, taken together: mostly one and the same."""
    both = [(look[slot], at) for look, at in zip(looks, places, strict=True) if slot < len(look)]
    seconds = np.concatenate([one.seconds + at / COLUMNS_PER_SECOND for one, at in both])
    opening = np.concatenate([one.opening for one, _ in both])
    seen_seconds = sum(float(np.ptp(one.seconds)) for one, _ in both if len(one.seconds))
    if seen_seconds < LEAST_SECONDS or len(opening) < 8:
        return None
    return estimate_offset(predicted, opening, seconds)
