"""What a picture is made of: planes, depth, colour, orientation; knows nothing of files or time.

`FrameBatch` is what moves between decode, render and encode: N pictures as planes in the
source's own depth and subsampling, in stored orientation.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

#: Decoded pixel formats that move as planes unchanged; all others are converted to one of them.
_PLANAR = re.compile(r"^yuv(j?)(420|422|440|444)p(?:(9|10|12|14|16)le)?$")
_SHIFTS = {"420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}


@dataclass(frozen=True)
class PixelLayout:
    """Planar Y, Cb, Cr: bits per sample and the chroma planes' size as powers of two.

    A chroma plane is `ceil(width / 2**chroma_shift_x)` by `ceil(height / 2**chroma_shift_y)`.
    """

    name: str
    "FFmpeg's name of the pixel format, without the deprecated `j`."
    depth: int
    "8 to 16; samples are uint8 at depth 8, else uint16 in the low bits."
    chroma_shift_x: int
    chroma_shift_y: int

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        return np.dtype(np.uint8) if self.depth == 8 else np.dtype(np.uint16)


def pixel_layout(name: str) -> PixelLayout | None:
    """The layout of a planar YCbCr format by FFmpeg's name, None for any other format."""
    match = _PLANAR.match(name)
    if match is None:
        return None
    _, subsampling, depth = match.groups()
    return PixelLayout(name.replace("yuvj", "yuv"), int(depth or 8), *_SHIFTS[subsampling])


@dataclass(frozen=True)
class Colour:
    """How samples mean light, by the code points of ITU-T H.273."""

    matrix: int
    "1 BT.709, 5 or 6 BT.601, 9 BT.2020 non-constant luminance, 7 SMPTE 240M, 4 FCC."
    primaries: int
    transfer: int
    "1 BT.709, 6 BT.601, 13 sRGB, 16 PQ, 18 HLG."
    full_range: bool
    chroma_location: int = 0
    guessed: bool = False
    "True where the source said nothing and the stated rule decided."

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (16, 18)


@dataclass(frozen=True)
class Orientation:
    """How a stored picture is turned to stand upright: transpose first, then mirror."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False


@dataclass(frozen=True)
class PictureFormat:
    """Everything about a picture but its samples; width and height are as stored."""

    layout: PixelLayout
    width: int
    height: int
    colour: Colour
    sample_aspect_ratio: Fraction = Fraction(1)
    orientation: Orientation | None = Orientation()
    "None: turned by an angle that is no multiple of 90 degrees; tasks refuse it."
    field_order: str = "progressive"
    "progressive | tff | bff"

    @cached_property
    def plane_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the Y, Cb and Cr planes."""
        chroma = (
            _ceil_shift(self.height, self.layout.chroma_shift_y),
            _ceil_shift(self.width, self.layout.chroma_shift_x),
        )
        return ((self.height, self.width), chroma, chroma)

    @property
    def frame_bytes(self) -> int:
        return sum(h * w for h, w in self.plane_shapes) * self.layout.dtype.itemsize

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) as shown."""
        turned = self.orientation is not None and self.orientation.transpose
        return (self.width, self.height) if turned else (self.height, self.width)


def _ceil_shift(size: int, shift: int) -> int:
    return -(-size // (1 << shift))


@dataclass(frozen=True)
class FrameBatch:
    """N pictures of one format; arrays are read-only for whoever is given them.

    Raises:
        ValueError: a plane's shape or dtype is not the format's, or the counts differ.
    """

    format: PictureFormat
    planes: tuple[Plane, ...]
    "Y, Cb, Cr, each (N, height, width) of `format.plane_shapes`, C-contiguous."
    first_frame: int
    "Number of the first picture in the output; the others follow without a gap."
    pts: npt.NDArray[np.int64]
    "(N,) presentation times in the output's time base."
    source_frames: npt.NDArray[np.int64]
    "(N,) number in presentation order of the source frame that each picture shows."

    def __post_init__(self) -> None:
        count = len(self.pts)
        for plane, shape in zip(self.planes, self.format.plane_shapes, strict=True):
            if plane.shape != (count, *shape) or plane.dtype != self.format.layout.dtype:
                raise ValueError(
                    f"a plane is {plane.shape} {plane.dtype}, expected {(count, *shape)} {self.format.layout.dtype}"
                )
        if len(self.source_frames) != count:
            raise ValueError(f"{len(self.source_frames)} source frames for {count} pictures")

    def __len__(self) -> int:
        return len(self.pts)


#: Bytes of pictures that move together.
BATCH_BYTES = 48_000_000


def frames_per_batch(*frame_bytes: int) -> int:
    """Pictures in a batch: 48 MB of the larger of input and output frames, from 1 to 64."""
    return max(1, min(64, BATCH_BYTES // max(frame_bytes)))
