"""What a source is: every packet of its picture stream, its frames, where it may be split.

Values only: `pipeline.probe` makes a `SourceIndex`, everything later reads it.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from tasks.picture import PictureFormat

#: Bumped by hand when the meaning of an index changes; part of its cache key.
INDEX_VERSION = 1

#: Columns of `SourceIndex.packets`.
COLUMNS = 6
PTS, DTS, DURATION, POS, SIZE, FLAGS = range(COLUMNS)
#: Bits of the flags; EXACT: a decoder that starts at this packet gives exact pictures from its pts on.
KEYFRAME, DISCARD, EXACT = 1, 2, 4
NO_VALUE = np.iinfo(np.int64).min


@dataclass(frozen=True)
class SourceIdentity:
    """By which a source is known again: `key` changes when its bytes may have changed."""

    key: str
    "Hex digest of etag and size, else of size, mtime, and the first and last MiB."
    size: int
    weak: bool
    "True where no etag was given; named in the report."
    etag: str = ""
    "As the store gave it; ranged reads are conditional on it."


@dataclass(frozen=True)
class StreamInfo:
    """One stream of the container, as found."""

    number: int
    kind: str
    "video | audio | subtitle | data | attachment"
    codec: str
    time_base: Fraction
    language: str = ""
    title: str = ""
    disposition: int = 0
    "FFmpeg's disposition flags (default, forced, attached picture …)."
    sample_rate: int = 0
    channels: int = 0
    duration_seconds: float | None = None


@dataclass(frozen=True)
class Chapter:
    start_seconds: Fraction
    end_seconds: Fraction
    title: str


@dataclass(frozen=True, eq=False)
class SourceIndex:
    """The picture stream of a source, packet by packet, and all that goes with it."""

    uri: str
    identity: SourceIdentity
    container: str
    "The demuxer's names, as `mov,mp4,m4a,3gp,3g2,mj2`."
    mode: str
    "random: any segment can be decoded alone; linear: decoded once, in order."
    reason: str
    "Why the mode is linear, else empty."
    stream: StreamInfo
    extradata: bytes
    format: PictureFormat
    "Of decoded frames as they move through Reelyard (after `conversion`)."
    decoded_pixel_format: str
    "FFmpeg's name of what the decoder gives, before `conversion`."
    conversion: str
    "Why decoded frames are converted (grey, RGB, palette, alpha dropped), else empty."
    display_matrix: tuple[int, ...] | None
    "Nine 16.16 integers to carry to the output, None where there is none."
    packets: npt.NDArray[np.int64]
    "(P, 6) in decode order: pts, dts, duration, pos, size, flags; NO_VALUE where unknown."
    frame_pts: npt.NDArray[np.int64]
    "(F,) strictly increasing pts of the frames that are shown, in `stream.time_base`."
    frame_packets: npt.NDArray[np.int64]
    "(F,) row of `packets` of each frame; all -1 where `counted`."
    end_pts: int
    "Where the last frame ends."
    split_points: npt.NDArray[np.int64]
    "Frame numbers where decoding may start anew and come out exact; begins with 0."
    average_rate: Fraction | None
    "Frames a second where constant, or the mean."
    variable_rate: bool
    origin_seconds: Fraction
    "What is subtracted from every timestamp: 0, or the start of a clock that starts anywhere (TS, PS)."
    ranged: bool
    "True where `pos` and `size` are the payload's own bytes: a segment is one ranged read."
    still: bool
    "One picture without a duration of its own."
    streams: tuple[StreamInfo, ...] = ()
    "Every stream of the container, the picture stream among them."
    chapters: tuple[Chapter, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    codec_hdr: dict[str, bytes] = field(default_factory=dict)
    "HDR10 mastering display and content light level side data by FFmpeg's name, where found."
    prefix: bytes = b""
    "Put before the packet a decoder starts with: what it must know of the encoder (see pipeline.split)."
    dropped: tuple[str, ...] = ()
    "What cannot be kept, in words for the report (Dolby Vision RPU, alpha …)."

    @property
    def frames(self) -> int:
        return len(self.frame_pts)

    @property
    def counted(self) -> bool:
        """Whether packets do not tell frames: frame k is the k-th that decoding from the start gives."""
        return bool(self.frame_packets[0] < 0)

    @property
    def flat(self) -> bool:
        """Whether the pictures are stills or a GIF, which move as 4:2:0 of 8 bits."""
        return self.still or self.container == "gif"

    @property
    def row_numbers(self) -> npt.NDArray[np.int64]:
        """(P,) frame number of each packet, -1 where it shows none."""
        numbers = np.full(len(self.packets), -1, np.int64)
        numbers[self.frame_packets] = np.arange(self.frames)
        return numbers
