"""Drawn pictures looked at while they are rendered: which, where what was seen lies, and the verdict over a video.

What is seen of a segment lies beside its part, written before the part is: a part without it is rendered again where
a check is asked for.  A verdict reads the segments one at a time.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.segments import Segment
from pipeline.storage import Storage
from pipeline.work import SegmentWork
from tasks.quality import KINDS, Quality, WorstFrame, falls_short, joined_looks
from tasks.task import Arrays, UnitMeasurement

#: Two frames that follow one another are looked at in each so many.
PERIOD_FRAMES: Final = 6
#: The picture does not go on where the source frame moves by more than this.
_JUMP_FRAMES: Final = 4

Put = Callable[[bytes, str], object]


def watched_pictures(segment: Segment, first: int, end: int) -> list[int]:
    """Indexes into a batch of output frames [first, end) that are looked at: pairs now and then, and at borders."""
    frames = np.arange(first, end)
    at_border = (frames < segment.start + 2) | (frames >= segment.end - 2)
    chosen = (frames % PERIOD_FRAMES < 2) | at_border
    return [int(i) for i in np.flatnonzero(chosen)]


class LooksOfSegment:
    """What is seen of one segment, until all of it is rendered."""

    def __init__(self) -> None:
        self._by_task: dict[int, list[Arrays]] = {}

    def add(self, looks: Sequence[tuple[int, Arrays]]) -> None:
        for position, arrays in looks:
            self._by_task.setdefault(position, []).append(arrays)

    def store(self, put: Put, uri: str) -> None:
        """Written whole, and forgotten."""
        buffer = io.BytesIO()
        arrays = {
            f"{position}/{name}": values
            for position, looks in self._by_task.items()
            for name, values in joined_looks(looks).items()
        }
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        put(buffer.getvalue(), uri)
        self._by_task = {}


@dataclass(frozen=True)
class LooksAt:
    """Where what was seen of output frames [start, end) lies."""

    start: int
    end: int
    uri: str


def looks_of(works: Sequence[SegmentWork]) -> tuple[LooksAt, ...]:
    """Of all segments, in order."""
    return tuple(LooksAt(work.segment.start, work.segment.end, work.quality_uri) for work in works)


def stored_looks(storage: Storage, looks: Sequence[LooksAt], position: int) -> Iterator[UnitMeasurement]:
    """What was seen of one task's drawing, a segment at a time."""
    for one in looks:
        with np.load(io.BytesIO(storage.read(one.uri)), allow_pickle=False) as stored:
            own = {key.partition("/")[2]: stored[key] for key in stored if key.startswith(f"{position}/")}
        yield UnitMeasurement(one.start, one.end, own)


@dataclass(frozen=True)
class Verdict:
    """How good a video came out, and what of it is outside its limits."""

    asked: bool = False
    "Whether anybody wanted to know."
    measures: Mapping[str, float] = field(default_factory=dict)
    looked_at: int = 0
    "Frames."
    gate: tuple[tuple[str, float], ...] = ()
    short: tuple[str, ...] = ()
    "What is outside its limit, in words."
    worst: tuple[WorstFrame, ...] = ()
    seconds: tuple[float, ...] = ()
    "When each of `worst` is shown."

    @property
    def facts(self) -> dict[str, object]:
        """For the report, without pictures."""
        worst = [
            {"frame": one.frame, "seconds": round(at, 3), "measure": one.measure, "value": round(one.value, 4)}
            for one, at in zip(self.worst, self.seconds, strict=True)
        ]
        return {
            "measures": dict(self.measures),
            "meaning": {name: KINDS[name].meaning for name in self.measures},
            "frames looked at": self.looked_at,
            "gate": dict(self.gate),
            "falls short": list(self.short),
            "worst frames": worst,
        }


def verdict_of(found: Quality, gate: tuple[tuple[str, float], ...], start_seconds: npt.NDArray[np.float64]) -> Verdict:
    """A task's quality held against the gate of a job."""
    seconds = tuple(float(start_seconds[one.frame]) for one in found.worst)
    short = tuple(falls_short(found.measures, gate))
    return Verdict(True, found.measures, found.looked_at, gate, short, found.worst, seconds)


def known_verdict(looked_at: int, measures: Mapping[str, float], gate: tuple[tuple[str, float], ...]) -> Verdict:
    """What was found of an output when it was made, held against another gate; its worst frames are not known."""
    return Verdict(True, measures, looked_at, gate, tuple(falls_short(measures, gate)))


def picture_jumps(source_frames: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(n,) where the picture of an output frame does not continue the one before."""
    return np.append(True, np.abs(np.diff(source_frames)) > _JUMP_FRAMES)[: len(source_frames)]
