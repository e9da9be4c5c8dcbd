"""Where a timeline is cut; a function of source and job alone, never of machine or load."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.index import SourceIndex
from pipeline.timeline import Timeline

#: Bounds and goal of a segment's length in seconds.
SHORTEST_SECONDS, USUAL_SECONDS, LONGEST_SECONDS = 10.0, 15.0, 30.0


@dataclass(frozen=True)
class Segment:
    """Output frames [start, end): the unit of rendering, commit and retry."""

    number: int
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class ScanUnit:
    """Source frames [start, end) measured alone; cut by the source only, never by the segments."""

    number: int
    start: int
    end: int


def plan_segments(index: SourceIndex, timeline: Timeline, segment_seconds: float | None = None) -> tuple[Segment, ...]:
    """Segments that cover the timeline once, in order, on valid split points where there are any.

    `segment_seconds` asks for another usual length; a segment then lasts from half to twice of it.
    """
    usual = segment_seconds or USUAL_SECONDS
    shortest, longest = (usual / 2, usual * 2) if segment_seconds else (SHORTEST_SECONDS, LONGEST_SECONDS)
    ticks = 1 / float(timeline.time_base)
    borders = _borders(
        np.append(timeline.pts, timeline.end_pts) / ticks,
        _split_mask(index, timeline),
        (shortest, usual, longest),
    )
    return tuple(Segment(i, a, b) for i, (a, b) in enumerate(itertools.pairwise(borders)))


def plan_scan_units(index: SourceIndex, timeline: Timeline) -> tuple[ScanUnit, ...]:
    """Runs of source frames that the timeline shows, cut at split points of the source.

    A video looped is scanned once; a trimmed one only inside the trim.
    """
    low, high = int(timeline.source_frames.min()), int(timeline.source_frames.max()) + 1
    edges = np.append(index.frame_pts, index.end_pts) * float(index.stream.time_base)
    mask = np.zeros(index.frames, dtype=bool)
    mask[index.split_points] = True
    borders = np.array(_borders(edges, mask, (SHORTEST_SECONDS, USUAL_SECONDS, LONGEST_SECONDS)))
    inner = borders[(borders > low) & (borders < high)].tolist()
    runs = [low, *inner, high]
    return tuple(ScanUnit(i, a, b) for i, (a, b) in enumerate(itertools.pairwise(runs)))


def _split_mask(index: SourceIndex, timeline: Timeline) -> npt.NDArray[np.bool_]:
    """(n,) True where an output frame is a split point reached going forwards."""
    split = np.zeros(index.frames, dtype=bool)
    split[index.split_points] = True
    forward = np.ones(len(timeline), dtype=bool)
    forward[1:] = np.diff(timeline.source_frames) != 0
    return split[timeline.source_frames] & forward


def _borders(
    edges: npt.NDArray[np.float64], split: npt.NDArray[np.bool_], lengths: tuple[float, float, float]
) -> list[int]:
    """Frame numbers 0 < b1 < … < n, each at the split point nearest the usual length, else exactly there."""
    shortest, usual, longest = lengths
    count = len(edges) - 1
    candidates = np.flatnonzero(split)
    times = edges[candidates]
    borders = [0]
    while edges[count] - edges[borders[-1]] > usual + shortest:
        here = edges[borders[-1]]
        low, high = np.searchsorted(times, [here + shortest, np.nextafter(here + longest, np.inf)])
        if low < high:
            chosen = int(candidates[low + np.argmin(np.abs(times[low:high] - (here + usual)))])
        else:
            chosen = int(np.searchsorted(edges, here + usual, side="left"))
        chosen = max(chosen, borders[-1] + 1)
        if chosen >= count:
            break
        borders.append(chosen)
    return [*borders, count]
