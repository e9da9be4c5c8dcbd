"""The encoders that may be used, and what values each takes; a table, it decides nothing."""

from dataclasses import dataclass

_X26X_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
PRORES_PROFILES = ("proxy", "lt", "standard", "hq", "4444", "4444xq")


@dataclass(frozen=True)
class Encoder:
    """What one of FFmpeg's encoders takes; bounds are inclusive."""

    name: str
    codec: str
    presets: tuple[str, ...] = ()
    preset: str = ""
    crf: tuple[int, int, int] | None = None
    "Lowest, highest, default."
    qp: tuple[int, int] | None = None
    "Lowest, highest; 0 is lossless."
    any_size: bool = False
    "Takes odd widths and heights with subsampled chroma."
    interlaced: bool = False
    hardware: bool = False
    formats: tuple[str, ...] = ()
    "Pixel formats of a hardware encoder; a software one is asked."


SOFTWARE = (
    Encoder("libx264", "h264", _X26X_PRESETS, "veryfast", (0, 51, 18), (0, 51), interlaced=True),
    Encoder("libx265", "hevc", _X26X_PRESETS, "veryfast", (0, 51, 20), (0, 51)),
    # SVT-AV1's lossless mode is not: off by one and two at 10 bits, wrong pictures at preset 12 [measured].
    Encoder("libsvtav1", "av1", tuple(map(str, range(14))), "10", (1, 63, 24), (1, 63), any_size=True),
    Encoder("libvpx-vp9", "vp9", tuple(map(str, range(9))), "5", (0, 63, 24), (0, 63), any_size=True),
    Encoder("prores_ks", "prores", PRORES_PROFILES, any_size=True, interlaced=True),
    Encoder("ffv1", "ffv1", qp=(0, 0), any_size=True, interlaced=True),
)
_NVENC_PRESETS = tuple(f"p{n}" for n in range(1, 8))
HARDWARE = tuple(
    Encoder(
        f"{codec}_nvenc",
        codec,
        _NVENC_PRESETS,
        "p4",
        (0, 51, 20),
        (0, 51),
        hardware=True,
        formats=("yuv420p", "yuv444p") if codec == "h264" else ("yuv420p",),
    )
    for codec in ("h264", "hevc", "av1")
)
ENCODERS = {e.name: e for e in (*SOFTWARE, *HARDWARE)}
