"""Cuts the source frames that are asked for into runs a decoder goes through once; pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.index import EXACT, FLAGS, PTS, SourceIndex

Frames = npt.NDArray[np.int64]

#: Frames jumped over before another start is cheaper than decoding through them.
_JUMP_FRAMES = 48
#: Bytes of pictures held to show a stretch backwards.
_REVERSED_BYTES = 256_000_000


@dataclass(frozen=True)
class Run:
    """Positions [start, end) of what is asked for, decoded in one go; backwards: shown in reverse."""

    start: int
    end: int
    backwards: bool


def plan_runs(wanted: Frames, index: SourceIndex) -> Iterator[Run]:
    """Runs that cover `wanted` in order: forward as far as it goes, reversed in bounded windows."""
    most = max(2, _REVERSED_BYTES // index.format.frame_bytes)
    start = 0
    while start < len(wanted):
        backwards = start + 1 < len(wanted) and wanted[start + 1] < wanted[start]
        end = _backward_end(wanted, start, most) if backwards else _forward_end(wanted, start, index)
        yield Run(start, end, bool(backwards))
        start = end


def _forward_end(wanted: Frames, start: int, index: SourceIndex) -> int:
    steps = np.diff(wanted[start:])
    stops = np.flatnonzero((steps < 0) | (steps > _JUMP_FRAMES))
    for stop in stops.tolist():
        here, there = int(wanted[start + stop]), int(wanted[start + stop + 1])
        if there < here or split_before(index, there) > here:
            return start + stop + 1
    return len(wanted)


def _backward_end(wanted: Frames, start: int, most: int) -> int:
    """Where a stretch that runs backwards ends, turns, jumps far, or holds enough different frames."""
    held, end = 1, start + 1
    while end < len(wanted):
        step = int(wanted[end - 1] - wanted[end])
        if step < 0 or step > _JUMP_FRAMES or (step > 0 and held >= most):
            break
        held += step > 0
        end += 1
    return end


def split_before(index: SourceIndex, frame: int) -> int:
    """The last split point at or before a frame."""
    return int(index.split_points[np.searchsorted(index.split_points, frame, side="right") - 1])


def rows_of(index: SourceIndex, low: int, high: int) -> tuple[int, int]:
    """First and last packet to feed so that frames [low, high] come out exact.

    The last may lie behind the next keyframe: pictures that lead it need what went before.
    """
    rows = index.frame_packets[low : high + 1]
    return start_row(index, int(rows.min()), int(index.frame_pts[low])), int(rows.max())


def start_row(index: SourceIndex, row: int, pts: int) -> int:
    """The last exact start at or before `row` that is shown no later than `pts`, else the first there is."""
    exact = np.flatnonzero(index.packets[:, FLAGS] & EXACT)
    before = exact[(exact <= row) & (index.packets[exact, PTS] <= pts)]
    return int(before[-1]) if len(before) else int(exact[0]) if len(exact) else 0
