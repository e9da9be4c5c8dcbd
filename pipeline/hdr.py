"""HDR10 mastering data as each encoder's own options; knows FFmpeg's two structures, no streams."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from tasks.picture import Colour

#: PyAV 18 cannot give an output stream these two structures.
_IN_STREAM = ("HDR10 mastering data is written into the pictures' stream, not into the file's header",)
MASTERING, LIGHT = "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"


@dataclass(frozen=True)
class Mastering:
    """The display a picture was graded on (SMPTE ST 2086); candelas per square metre."""

    red: tuple[Fraction, Fraction]
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    luminance: tuple[Fraction, Fraction]
    "Lowest, highest."


def parse_mastering(data: bytes) -> Mastering | None:
    """Of AVMasteringDisplayMetadata (libavutil/mastering_display_metadata.h); None where incomplete."""
    if len(data) < 88:
        return None
    numbers = struct.unpack("=22i", data[:88])
    if not (numbers[20] and numbers[21]) or 0 in numbers[1:20:2]:
        return None
    value = [Fraction(n, d) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    pairs = [(value[i], value[i + 1]) for i in range(0, 10, 2)]
    return Mastering(*pairs)


def parse_light(data: bytes) -> tuple[int, int] | None:
    """MaxCLL and MaxFALL of AVContentLightMetadata."""
    if len(data) < 8:
        return None
    content, frame = struct.unpack("=2I", data[:8])
    return content, frame


def hdr_options(encoder: str, colour: Colour, side_data: Mapping[str, bytes]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Options to be joined to the encoder's own, and what is written elsewhere or not at all, in words."""
    by_name = {k.upper().replace(" ", "_"): v for k, v in side_data.items()}
    mastering = parse_mastering(by_name.get(MASTERING, b""))
    light = parse_light(by_name.get(LIGHT, b""))
    if mastering is None and light is None:
        return {}, ()
    if encoder == "libx264":
        return {"x264-params": _joined("mastering-display", _integers(mastering), "cll", light)}, _IN_STREAM
    if encoder == "libx265":
        return {
            "x265-params": f"hdr10=1:{_joined('master-display', _integers(mastering), 'max-cll', light)}"
        }, _IN_STREAM
    if encoder == "libsvtav1":
        return {"svtav1-params": _joined("mastering-display", _decimals(mastering), "content-light", light)}, _IN_STREAM
    return {}, (f"HDR10 mastering data dropped: {encoder} cannot write it; use --codec hevc",)


def _joined(mastering_name: str, mastering: str, light_name: str, light: tuple[int, int] | None) -> str:
    parts = [f"{mastering_name}={mastering}"] if mastering else []
    parts += [f"{light_name}={light[0]},{light[1]}"] if light else []
    return ":".join(parts)


def _integers(mastering: Mastering | None) -> str:
    """In steps of 0.00002 and 0.0001 cd/m², highest luminance first, as x264 and x265 read it."""
    if mastering is None:
        return ""
    low, high = (round(v * 10000) for v in mastering.luminance)
    return (
        "".join(f"{n}({round(x * 50000)},{round(y * 50000)})" for n, (x, y) in _points(mastering)) + f"L({high},{low})"
    )


def _decimals(mastering: Mastering | None) -> str:
    if mastering is None:
        return ""
    low, high = mastering.luminance
    points = "".join(f"{n}({float(x):.5f},{float(y):.5f})" for n, (x, y) in _points(mastering))
    return f"{points}L({float(high):.4f},{float(low):.4f})"


def _points(mastering: Mastering) -> tuple[tuple[str, tuple[Fraction, Fraction]], ...]:
    return ("G", mastering.green), ("B", mastering.blue), ("R", mastering.red), ("WP", mastering.white)
