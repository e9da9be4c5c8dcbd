"""A part: one segment encoded, and the small value that tells of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction

from tasks.picture import Colour


@dataclass(frozen=True)
class EncodeSpec:
    """All that decides the encoder's bytes; hashed into every part's key."""

    encoder: str
    "FFmpeg's name: libx264, libx265, libsvtav1, libvpx-vp9, prores_ks, ffv1, h264_nvenc …"
    pixel_format: str
    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction | None
    "Nominal rate, or the mean where times vary: for rate control and level, never for times."
    options: tuple[tuple[str, str], ...]
    "Private options of the encoder, sorted, thread settings included."
    colour: Colour
    sample_aspect_ratio: Fraction
    field_order: str = "progressive"
    gop_frames: int = 250
    codec_tag: str = ""
    notes: tuple[str, ...] = ()
    "What was converted or padded, in words for the report."


@dataclass(frozen=True)
class Part:
    """An encoded segment in work storage; about 1 KB."""

    segment: int
    start: int
    end: int
    "Output frames [start, end)."
    key: str
    uri: str
    "Of the object; named by its content, so that two drivers racing never mix theirs."
    bytes: int
    sha256: str
    extradata_sha256: str
    pts_sha256: str
    "Of the int64 pts that the part's frames stand for."
    reorder_frames: int
    "D of the decode order: how far dts must run ahead of pts."
    counts: Mapping[str, int] = field(default_factory=dict)
    "Frames by what happened to them: repeated, kept: no face …"
    seconds: Mapping[str, float] = field(default_factory=dict)
    "CPU or wall seconds by stage."
    worker: str = ""


@dataclass(frozen=True)
class PartDetails:
    """What others than the encoder know of a part when it is committed."""

    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    worker: str = ""


def write_sidecar(part: Part) -> bytes:
    """JSON that tells of the part."""
    return json.dumps({**asdict(part), "counts": dict(part.counts), "seconds": dict(part.seconds)}).encode()


def read_sidecar(data: bytes) -> Part:
    """The part that a sidecar tells of.

    Raises:
        ValueError: not a sidecar of this version.
    """
    try:
        return Part(**json.loads(data))
    except TypeError as error:
        raise ValueError(f"not a part's sidecar: {error}") from error


def sidecar_uri(part_uri: str) -> str:
    """Where the sidecar of a work's `part_uri` lies; it is written last, so its presence means done."""
    return f"{part_uri}.json"


def content_uri(part_uri: str, sha256: str) -> str:
    """Where the part itself lies: beside its sidecar, named by its content."""
    stem, dot, ending = part_uri.rpartition(".")
    return f"{stem}-{sha256[:16]}.{ending}" if dot and "/" not in ending else f"{part_uri}-{sha256[:16]}"
