"""Which planes a decoded picture moves as, what its colours mean, and how it stands.

The rules, one place each:
- planar YCbCr moves as it is; alpha is dropped; semi-planar and packed YCbCr become planar;
- grey becomes 4:2:0 with neutral chroma; RGB video becomes 4:4:4 of the same depth;
- still pictures, palettes and GIF become 4:2:0 of 8 bits, limited range;
- what is not tagged is BT.709 from 720 lines or 1280 columns up, else BT.601, limited range.
"""

import math
import re
from dataclasses import dataclass

import av

from tasks.picture import Colour, Orientation, PixelLayout, pixel_layout

_UNSPECIFIED = (0, 2, 3)
_GREY = re.compile(r"^gray(?:(9|10|12|14|16)(le|be))?$")
_FULL_RANGE = 2
#: Where 4:1:1 and 4:1:0 go: the next finer subsampling that moves as planes.
_SUBSAMPLING = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440", (2, 0): "422", (2, 2): "420"}
_DEPTHS = (8, 9, 10, 12, 14, 16)


@dataclass(frozen=True)
class Conversion:
    """How decoded frames become the planes that move."""

    layout: PixelLayout
    how: str
    "planes: the first three planes as they are; grey: luma and neutral chroma; scale: through swscale."
    reason: str
    "For the report; empty where nothing is changed."
    to_limited: bool = False
    "True where swscale also brings full range to limited (RGB, stills)."


def conversion_of(pixel_format: str, *, flat: bool) -> Conversion:
    """The conversion for FFmpeg's `pixel_format`; `flat`: a still picture or GIF."""
    layout = pixel_layout(pixel_format)
    if layout is not None and (not flat or pixel_format == "yuv420p"):
        return Conversion(layout, "planes", "")
    video = av.VideoFormat(pixel_format, 64, 64)
    if flat or video.has_palette:
        reason = f"{pixel_format} moves as yuv420p, limited range"
        return Conversion(_layout("yuv420p"), "scale", reason, to_limited=True)
    without_alpha = pixel_layout(pixel_format.replace("yuva", "yuv"))
    if without_alpha is not None:
        return Conversion(without_alpha, "planes", f"{pixel_format} moves as {without_alpha.name}")
    grey = _GREY.match(pixel_format)
    if grey is not None and grey[2] != "be":
        name = _name("420", _depth(video))
        return Conversion(_layout(name), "grey", f"{pixel_format} moves as {name} with neutral chroma")
    name = _name("444" if video.is_rgb else _subsampling(video), _depth(video))
    return Conversion(_layout(name), "scale", f"{pixel_format} moves as {name}", to_limited=video.is_rgb)


def _layout(name: str) -> PixelLayout:
    layout = pixel_layout(name)
    assert layout is not None, name
    return layout


def _name(subsampling: str, depth: int) -> str:
    return f"yuv{subsampling}p" if depth == 8 else f"yuv{subsampling}p{depth}le"


def _depth(video: "av.VideoFormat") -> int:
    most = max(component.bits for component in video.components)
    return next((depth for depth in _DEPTHS if depth >= most), 16)


def _subsampling(video: "av.VideoFormat") -> str:
    if len(video.components) < 3:
        return "420"
    chroma = video.components[1]
    shifts = (round(math.log2(64 / chroma.width)), round(math.log2(64 / chroma.height)))
    return _SUBSAMPLING.get(shifts, "444")


def has_alpha(video: "av.VideoFormat") -> bool:
    """Whether pixels of the format may be transparent."""
    return any(component.is_alpha for component in video.components) or video.name == "pal8"


def colour_of(frame: "av.VideoFrame", conversion: Conversion, tags: tuple[int, int, int, int] | None = None) -> Colour:
    """The colour of the planes that move; `tags` (matrix, primaries, transfer, range) of the container fill gaps."""
    found = (int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc), int(frame.color_range))
    filled = [a if a not in _UNSPECIFIED else b for a, b in zip(found[:3], (tags or found)[:3], strict=True)]
    matrix, primaries, transfer = filled
    range_ = found[3] or (tags or found)[3]
    rule = 1 if frame.height >= 720 or frame.width >= 1280 else 6
    guessed = matrix in _UNSPECIFIED or frame.format.is_rgb
    # Pictures of computers and cameras are sRGB, whose primaries are BT.709's.
    light = 1 if conversion.to_limited else rule
    grey = frame.format.name.startswith(("gray", "ya"))
    full = range_ == _FULL_RANGE or frame.format.name.startswith("yuvj") or (grey and range_ == 0)
    return Colour(
        matrix=rule if guessed else matrix,
        primaries=light if primaries in _UNSPECIFIED else primaries,
        transfer=light if transfer in _UNSPECIFIED else transfer,
        full_range=full and not conversion.to_limited,
        guessed=guessed,
    )


def orientation_of(matrix: tuple[int, ...] | None) -> Orientation | None:
    """How to turn a stored picture with this display matrix upright; None for an odd angle.

    FFmpeg's matrix (a b u, c d v, x y w) brings stored (p, q) to (a p + c q, b p + d q).
    """
    if matrix is None:
        return Orientation()
    a, b, c, d = (value / 65536 for value in (matrix[0], matrix[1], matrix[3], matrix[4]))
    small = 1e-3 * max(abs(a), abs(b), abs(c), abs(d))
    if abs(b) <= small and abs(c) <= small and a and d:
        return Orientation(False, a < 0, d < 0)
    if abs(a) <= small and abs(d) <= small and b and c:
        return Orientation(True, c < 0, b < 0)
    return None


def matrix_of(orientation: Orientation) -> tuple[int, ...] | None:
    """The display matrix that says so, None for an upright picture."""
    if orientation == Orientation():
        return None
    x, y = (-65536 if mirror else 65536 for mirror in (orientation.mirror_x, orientation.mirror_y))
    a, b, c, d = (0, y, x, 0) if orientation.transpose else (x, 0, 0, y)
    return (a, b, 0, c, d, 0, 0, 0, 1 << 30)


def matrix_of_rotation(degrees: int) -> tuple[int, ...] | None:
    """The display matrix of a turn anticlockwise, None for none (libavutil/display.c, av_display_rotation_get)."""
    if degrees == 0:
        return None
    cos, sin = (round(65536 * part(math.radians(-degrees))) for part in (math.cos, math.sin))
    return (cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30)
