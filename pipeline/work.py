"""What travels to a cell: segments to render, complete enough that nothing else need be asked.

A `Lease` is decoded in one go and gives one part per `SegmentWork`.  Random sources are leased a
segment or a few at a time, a linear source as one lease of all its missing segments.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.part import EncodeSpec
from pipeline.segments import ScanUnit, Segment
from tasks.task import TaskInputs


@dataclass(frozen=True)
class Decoding:
    """How a source's pictures are decoded, for a scan as for a render."""

    damaged: str = "fail"
    "fail | repeat: what becomes of a frame that does not decode."
    deinterlace: bool = False


@dataclass(frozen=True)
class UnitWork:
    """A scan unit, and where its measurement goes."""

    unit: ScanUnit
    uri: str


@dataclass(frozen=True, eq=False)
class SegmentWork:
    """One segment: which frames, what the tasks read, how it is encoded, where its part goes."""

    segment: Segment
    source_frames: npt.NDArray[np.int64]
    "(n,) source frame of each output frame [segment.start, segment.end)."
    pts: npt.NDArray[np.int64]
    "(n,) in the time base of `encode`."
    end_pts: int
    inputs: tuple[TaskInputs, ...]
    "One for each task of the chain."
    encode: EncodeSpec
    key: str
    part_uri: str
    quality_uri: str = ""
    "Where what is seen of its drawn pictures goes; empty where nobody asks."


@dataclass(frozen=True, eq=False)
class Lease:
    """Works in output order, and how their pictures are decoded and moved."""

    works: tuple[SegmentWork, ...]
    batch_frames: int
    damaged: str = "fail"
    deinterlace: bool = False
    bake_rotation: bool = False
    built: str = ""
    "URI under which nodes keep for each other what they build for networks; empty: each for itself."

    def __post_init__(self) -> None:
        if not self.works:
            raise ValueError("a lease without work")
