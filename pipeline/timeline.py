"""Which source frame each output frame shows, and when; pure arithmetic on pts.

All times are integers in the timeline's time base.  Nothing here knows files or pictures.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pipeline.index import SourceIndex
from pipeline.job import RenderJob
from tasks.errors import JobError
from tasks.picture import PictureFormat
from tasks.task import OutputFrames

Frames = npt.NDArray[np.int64]

#: Frame rate of a still picture where none is asked for.
STILL_FRAME_RATE = Fraction(25)
#: Seconds a still picture without a voice is held.
STILL_SECONDS = 5


@dataclass(frozen=True, eq=False)
class Timeline:
    """n output frames: what each shows and when it starts."""

    kind: str
    "identity | trim | still | loop | ping-pong | hold | cut | frame-rate, joined by +"
    time_base: Fraction
    pts: Frames
    "(n,) strictly increasing."
    end_pts: int
    "Where the last frame ends."
    source_frames: Frames
    "(n,) source frame numbers in presentation order."
    frame_rate: Fraction | None
    "Nominal rate for the encoder; None where it is not known."
    audio_start_seconds: Fraction
    "Source time (origin subtracted) that lies at output time 0; streams carried over are shifted by it."
    audio_end_seconds: Fraction | None
    "Source time where streams carried over are cut; None: to their end."
    carries_streams: bool
    "False where looping makes the source's own audio and subtitles meaningless."

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def monotonic(self) -> bool:
        """True where source frames never run backwards: a linear source can be read in one pass."""
        return bool(np.all(np.diff(self.source_frames) >= 0))

    @property
    def duration_seconds(self) -> Fraction:
        return (self.end_pts - min(0, int(self.pts[0]))) * self.time_base

    def output_frames(self, format: PictureFormat) -> OutputFrames:
        """The same for tasks: seconds as float64, made from integers at this edge only."""
        edges = np.append(self.pts, self.end_pts).astype(np.float64) * float(self.time_base)
        return OutputFrames(self.source_frames, edges[:-1], np.diff(edges), format)


def plan_timeline(index: SourceIndex, job: RenderJob, audio_seconds: Fraction | None) -> Timeline:
    """The timeline of a job; `audio_seconds` is the length of the new voice, None without one.

    Raises:
        JobError: trim leaves no frame, or lies past the end.
    """
    base = _still(index, job, audio_seconds) if index.still else _trimmed(index, job)
    if job.frame_rate is not None and not index.still:
        base = _at_rate(base, job.frame_rate)
    if audio_seconds is not None and not index.still and job.fit.startswith("audio:"):
        base = _fitted(base, audio_seconds, job.fit.removeprefix("audio:"))
    return base


def _still(index: SourceIndex, job: RenderJob, audio_seconds: Fraction | None) -> Timeline:
    rate = job.frame_rate or STILL_FRAME_RATE
    length = audio_seconds if audio_seconds is not None else Fraction(STILL_SECONDS)
    count = max(1, -(-length * rate // 1))
    pts = np.arange(count, dtype=np.int64) * rate.denominator
    return Timeline(
        "still", Fraction(1, rate.numerator), pts, int(count) * rate.denominator,
        np.zeros(count, np.int64), rate, Fraction(0), None, False,
    )  # fmt: skip


def _trimmed(index: SourceIndex, job: RenderJob) -> Timeline:
    time_base = index.stream.time_base
    origin = index.origin_seconds / time_base
    pts = index.frame_pts - round(origin)
    end = index.end_pts - round(origin)
    rate = None if index.variable_rate else index.average_rate
    start_seconds, end_seconds = job.trim
    if start_seconds is None and end_seconds is None:
        numbers = np.arange(len(pts), dtype=np.int64)
        return Timeline("identity", time_base, pts, end, numbers, rate, Fraction(0), None, True)
    low = -(-(start_seconds or 0) // time_base) if start_seconds else int(pts[0])
    high = -(-end_seconds // time_base) if end_seconds is not None else end
    chosen = np.flatnonzero((pts >= low) & (pts < high))
    if not len(chosen):
        raise JobError(
            f"{index.uri}: --trim leaves no frame; the video lasts {float(end * time_base):.3f} s; "
            "choose a range inside it"
        )
    first = int(pts[chosen[0]]) if start_seconds else 0
    last = chosen[-1]
    stop = min(high, int(pts[last + 1]) if last + 1 < len(pts) else end)
    return Timeline(
        "trim", time_base, pts[chosen] - first, stop - first, chosen.astype(np.int64), rate,
        first * time_base, stop * time_base if end_seconds is not None else None, True,
    )  # fmt: skip


def _at_rate(base: Timeline, rate: Fraction) -> Timeline:
    """Constant `rate`: each output frame shows the frame on screen at its middle."""
    time_base = Fraction(1, rate.numerator)
    start = base.pts[0] * base.time_base
    first = round(start / (time_base * rate.denominator))
    count = max(1, round((base.end_pts * base.time_base - start) * rate))
    numbers = np.arange(count, dtype=object)
    # Middle of output frame k on the base's clock, exact: the rate of a long video must not drift.
    middles = [(2 * (first + int(k)) + 1) / (2 * rate) / base.time_base for k in numbers]
    ticks = np.array([m.__floor__() for m in middles], dtype=np.int64)
    shown = np.clip(np.searchsorted(base.pts, ticks, side="right") - 1, 0, len(base) - 1)
    pts = (np.arange(count, dtype=np.int64) + first) * rate.denominator
    return Timeline(
        _join(base.kind, "frame-rate"), time_base, pts, int(pts[-1]) + rate.denominator,
        base.source_frames[shown], rate,
        base.audio_start_seconds, base.audio_end_seconds, base.carries_streams,
    )  # fmt: skip


def _fitted(base: Timeline, audio_seconds: Fraction, how: str) -> Timeline:
    """The base cut, or drawn out by `how`, to the length of the voice."""
    target = -(-audio_seconds // base.time_base)
    pts, end = base.pts - base.pts[0], base.end_pts - int(base.pts[0])
    if end >= target:
        keep = max(1, int(np.searchsorted(pts, target, side="left")))
        stop = int(pts[keep]) if keep < len(pts) else end
        return _fit(base, "cut", pts[:keep], stop, base.source_frames[:keep])
    if how == "hold":
        step = _usual_gap(pts, end)
        more = np.arange(end, target, step, dtype=np.int64)
        held = np.full(len(more), base.source_frames[-1])
        return _fit(base, how, np.append(pts, more), int(more[-1]) + step, np.append(base.source_frames, held))
    forward = np.diff(np.append(pts, end))
    order = np.arange(len(pts), dtype=np.int64)
    # A turn shows neither end frame twice; a source of one frame is only held.
    cycle = np.concatenate([order, order[-2:0:-1]]) if how == "ping-pong" and len(pts) > 2 else order
    durations = forward[cycle]
    rounds = int(-(-target // int(durations.sum())))
    tiled = np.tile(durations, rounds)
    edges = np.concatenate([[0], np.cumsum(tiled)]).astype(np.int64)
    count = int(np.searchsorted(edges, target, side="left"))
    return _fit(base, how, edges[:count], int(edges[count]), base.source_frames[np.tile(cycle, rounds)[:count]])


def _fit(base: Timeline, how: str, pts: Frames, end: int, source_frames: Frames) -> Timeline:
    return Timeline(
        _join(base.kind, how), base.time_base, pts, end, source_frames, base.frame_rate,
        base.audio_start_seconds, base.audio_end_seconds, how == "cut" and base.carries_streams,
    )  # fmt: skip


def _usual_gap(pts: Frames, end: int) -> int:
    gaps = np.diff(np.append(pts, end))
    return max(1, int(np.median(gaps)))


def _join(kind: str, more: str) -> str:
    return more if kind == "identity" else f"{kind}+{more}"
