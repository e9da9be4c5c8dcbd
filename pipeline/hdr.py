"""HDR10 mastering data in the words of encoders and of mp4 headers; knows FFmpeg's two structures, no streams."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

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
    """MaxCLL and MaxFALL of AVContentLightMetadata; None where both are 0, which means unknown (CTA-861.3)."""
    if len(data) < 8:
        return None
    content, frame = struct.unpack("=2I", data[:8])
    return (content, frame) if content or frame else None


@dataclass(frozen=True)
class Hdr10:
    """What a source tells of the pictures' grading; False where it tells nothing."""

    mastering: Mastering | None = None
    light: tuple[int, int] | None = None
    "MaxCLL and MaxFALL, candelas per square metre."

    def __bool__(self) -> bool:
        return self.mastering is not None or self.light is not None


def parse_hdr10(side_data: Mapping[str, bytes]) -> Hdr10:
    """Of side data by FFmpeg's names."""
    by_name = {k.upper().replace(" ", "_"): v for k, v in side_data.items()}
    return Hdr10(parse_mastering(by_name.get(MASTERING, b"")), parse_light(by_name.get(LIGHT, b"")))


def hdr_options(encoder: str, hdr: Hdr10) -> dict[str, str]:
    """Options to be joined to the encoder's own; none where it cannot write it into its stream."""
    if not hdr:
        return {}
    if encoder == "libx264":
        return {"x264-params": _joined("mastering-display", _integers(hdr.mastering), "cll", hdr.light)}
    if encoder == "libx265":
        words = _joined("master-display", _integers(hdr.mastering), "max-cll", hdr.light)
        return {"x265-params": f"hdr10=1:{words}"}
    if encoder == "libsvtav1":
        words = _joined("mastering-display", _decimals(hdr.mastering), "content-light", hdr.light)
        return {"svtav1-params": words}
    return {}


def header_boxes(hdr: Hdr10) -> bytes:
    """The boxes `mdcv` and `clli` of an mp4 or mov (ISO/IEC 14496-12, 12.1.6 and 12.1.7), each where it is told."""
    boxes = b""
    if hdr.mastering is not None:
        points = [_steps(v, 50000, 16) for _, point in _points(hdr.mastering) for v in point]
        low, high = (_steps(v, 10000, 32) for v in hdr.mastering.luminance)
        boxes += struct.pack(">I4s8H2I", 32, b"mdcv", *points, high, low)
    if hdr.light is not None:
        boxes += struct.pack(">I4s2H", 12, b"clli", *(min(v, 0xFFFF) for v in hdr.light))
    return boxes


def _steps(value: Fraction, per_unit: int, bits: int) -> int:
    return min(max(round(value * per_unit), 0), (1 << bits) - 1)


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
