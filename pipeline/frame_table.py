"""Which packets show frames, in what order, and where decoding may start; pure arithmetic."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from pipeline.index import DISCARD, DTS, EXACT, FLAGS, KEYFRAME, NO_VALUE, PTS

Table = npt.NDArray[np.int64]

#: Beyond this between two exact starts a source is decoded once, in order.
LONGEST_GOP_SECONDS = 20


@dataclass(frozen=True, eq=False)
class FrameTable:
    """The frames of a source out of its packets."""

    frame_packets: Table
    "(F,) row of each frame, by pts."
    split_points: Table
    "(S,) frames that are an exact start; begins with 0."
    undecodable: int
    "Pictures before the first exact start, which no player can show."
    irregular: str
    "Why packets do not tell the frames, else empty."


def tabulate_frames(packets: Table, hidden: list[int], seen: frozenset[int], fed: frozenset[int]) -> FrameTable:
    """The table; `seen` are the rows whose pictures came out when rows `fed` were decoded."""
    rows = np.arange(len(packets))
    exact = np.flatnonzero(packets[:, FLAGS] & EXACT)
    shown = (packets[:, FLAGS] & DISCARD) == 0
    shown[hidden] = False
    candidates = int(shown.sum())
    if len(exact):
        first = int(exact[0])
        leading = (rows < first) | ((packets[:, PTS] < packets[first, PTS]) & (packets[:, PTS] != NO_VALUE))
        leading[[row for row in seen if row >= 0]] = False
        shown &= ~leading
    frame_packets = rows[shown][np.argsort(packets[shown, PTS], kind="stable")]
    irregular = _irregular(packets, frame_packets, len(exact), seen, fed)
    split_points = _split_points(packets, frame_packets) if not irregular else np.zeros(1, np.int64)
    return FrameTable(frame_packets, split_points, candidates - len(frame_packets), irregular)


def _irregular(packets: Table, frame_packets: Table, exact: int, seen: frozenset[int], fed: frozenset[int]) -> str:
    pts = packets[frame_packets, PTS]
    dts = packets[:, DTS]
    dts = dts[dts != NO_VALUE]
    if not exact:
        return "no keyframe from which a decoder starts exactly"
    if np.any(pts == NO_VALUE):
        return "packets without a timestamp"
    if len(np.unique(pts)) != len(pts):
        return "timestamps that repeat"
    if np.any(np.diff(dts) < 0):
        return "timestamps that run backwards"
    frames = frozenset(frame_packets.tolist())
    if frames & fed != frames & seen or -1 in seen:
        return "packets that show no picture of their own"
    return ""


def _split_points(packets: Table, frame_packets: Table) -> Table:
    """Frames whose packet is an exact start, and behind which nothing decoded earlier is shown."""
    exact = (packets[frame_packets, FLAGS] & EXACT) != 0
    earliest_after = np.minimum.accumulate(frame_packets[::-1])[::-1]
    split = exact & (earliest_after == frame_packets)
    split[0] = True
    return np.flatnonzero(split)


def too_long_between(splits: Table, pts: Table, end: int, time_base: Fraction) -> float | None:
    """Seconds of the longest stretch without an exact start, None where it is short enough."""
    longest = float(np.diff(np.append(pts[splits], end)).max() * time_base)
    return longest if longest > LONGEST_GOP_SECONDS else None


def with_exact_starts(packets: Table, exact: list[int]) -> Table:
    """The packets with EXACT set on these rows."""
    packets = packets.copy()
    packets[exact, FLAGS] |= EXACT
    return packets


def keyframe_rows(packets: Table) -> Table:
    """Rows the container calls keyframes."""
    return np.flatnonzero(packets[:, FLAGS] & KEYFRAME)
