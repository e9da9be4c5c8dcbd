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
    alpha: bool = False
    to_limited: bool = False
    "True where swscale also brings full range to limited (stills)."


def conversion_of(pixel_format: str, *, flat: bool) -> Conversion:
    """The conversion for FFmpeg's `pixel_format`; `flat`: a still picture or GIF."""
    layout = pixel_layout(pixel_format)
    if layout is not None and not (flat and layout.name != "yuv420p"):
        return Conversion(layout, "planes", "") if not flat else _flat(pixel_format, False)
    video = av.VideoFormat(pixel_format, 64, 64)
    alpha = _has_alpha(video)
    if flat or video.has_palette:
        return _flat(pixel_format, alpha)
    without_alpha = pixel_layout(pixel_format.replace("yuva", "yuv")) if alpha else None
    if without_alpha is not None:
        return Conversion(without_alpha, "planes", f"alpha of {pixel_format} dropped", True)
    grey = _GREY.match(pixel_format)
    depth = _depth(video)
    if grey is not None and grey[2] != "be":
        name = _name("420", depth)
        return Conversion(_layout(name), "grey", f"{pixel_format} moves as {name} with neutral chroma")
    name = _name("444" if video.is_rgb else _subsampling(video), depth)
    reason = f"{pixel_format} converted to {name}" + (", alpha dropped" if alpha else "")
    return Conversion(_layout(name), "scale", reason, alpha, video.is_rgb)


def _flat(pixel_format: str, alpha: bool) -> Conversion:
    reason = f"picture of {pixel_format} converted to yuv420p" + (", alpha dropped" if alpha else "")
    return Conversion(_layout("yuv420p"), "scale", reason, alpha, True)


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


def _has_alpha(video: "av.VideoFormat") -> bool:
    return any(component.is_alpha for component in video.components) or video.name == "pal8"


def colour_of(
    frame: "av.VideoFrame", conversion: Conversion, tags: tuple[int, int, int, int] | None = None
) -> Colour:
    """The colour of the planes that move; `tags` (matrix, primaries, transfer, range) of the container fill gaps."""
    found = (int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc), int(frame.color_range))
    matrix, primaries, transfer, range_ = (
        a if a not in _UNSPECIFIED[: 2 if i < 3 else 1] else b
        for i, (a, b) in enumerate(zip(found, tags or found, strict=True))
    )
    rule = 1 if frame.height >= 720 or frame.width >= 1280 else 6
    guessed = matrix in _UNSPECIFIED or frame.format.is_rgb
    grey = frame.format.name.startswith(("gray", "ya"))
    full = range_ == _FULL_RANGE or frame.format.name.startswith("yuvj") or (grey and range_ == 0)
    return Colour(
        matrix=rule if guessed else matrix,
        primaries=rule if primaries in _UNSPECIFIED else primaries,
        transfer=rule if transfer in _UNSPECIFIED else transfer,
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
