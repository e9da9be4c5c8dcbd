"""Decodes the first pictures of a source: what they are made of, and that they decode at all."""

import contextlib
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import av
import av.container

from pipeline.demux import PacketWalk
from pipeline.formats import has_alpha, matrix_of_rotation
from pipeline.frames import decode_or_skip
from pipeline.packets import AnyPacket, prepare_decoder
from tasks.errors import SourceError

_BOTTOM_FIELD_FIRST = (3, 4)
_HDR_SIDE_DATA = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
_LOST_SIDE_DATA = {
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata",
    "A53_CC": "closed captions inside the pictures",
}


@dataclass(frozen=True)
class FirstLook:
    """What the first pictures show."""

    frame: "av.VideoFrame"
    "The first picture."
    rows: frozenset[int]
    "Packets whose pictures came out."
    fed: frozenset[int]
    "Packets that were fed and not refused: each should show its picture."
    tags: tuple[int, int, int, int]
    "Matrix, primaries, transfer, range as the container says."
    field_order: str
    display_matrix: tuple[int, ...] | None
    hdr: dict[str, bytes]
    transparent: bool
    "True where some sample of an alpha plane is not opaque."
    lost: tuple[str, ...]


def look_at_first(uri: str, stream: "av.VideoStream", walk: PacketWalk) -> FirstLook:
    """The look at the packets in `walk.head`.

    Raises:
        SourceError: none of them decodes.
    """
    context = stream.codec_context
    codec = context.codec.canonical_name
    tags = (
        int(context.colorspace),
        int(context.color_primaries),
        int(context.color_trc),
        int(context.color_range),
    )
    prepare_decoder(context, codec, 1)
    frames: list[av.VideoFrame] = []
    rows: list[int] = []
    summary = _Summary()
    refused: list[int] = []
    for row, data in (*walk.head.items(), (-1, None)):
        for frame in decode_or_skip(context, _packet(row, data), refused):
            frames = frames or [frame]
            rows.append(frame.pts if frame.pts is not None else -1)
            summary.add(frame, codec)
    if not frames:
        why = "it is encrypted" if walk.encrypted else "it is damaged or encrypted"
        raise SourceError(
            f"{uri}: none of its first {len(walk.head)} pictures decodes ({codec}, {context.width}x{context.height}); "
            f"{why}: use an intact, unprotected copy"
        )
    return FirstLook(
        frames[0], frozenset(rows), frozenset(walk.head) - frozenset(refused), tags,
        summary.field_order(int(context.field_order)), summary.matrix, summary.hdr, summary.transparent,
        tuple(summary.lost),
    )  # fmt: skip


def _packet(row: int, data: bytes | None) -> "AnyPacket | None":
    if data is None:
        return None
    packet = av.Packet(data)
    packet.pts = packet.dts = row
    return packet


class _Summary:
    """Side data of the pictures seen so far."""

    def __init__(self) -> None:
        self.matrix: tuple[int, ...] | None = None
        self.hdr: dict[str, bytes] = {}
        self.lost: dict[str, None] = {}
        self.scans: Counter[bool] = Counter()
        self.transparent = False

    def add(self, frame: "av.VideoFrame", codec: str) -> None:
        self.scans[frame.interlaced_frame] += 1
        self.transparent |= _is_transparent(frame)
        for name, data in side_data(frame, codec):
            if name == "DISPLAYMATRIX":
                self.matrix = self.matrix or struct.unpack("<9i", data[:36])
            elif name in _HDR_SIDE_DATA:
                self.hdr.setdefault(name, data)
            elif name in _LOST_SIDE_DATA:
                self.lost[_LOST_SIDE_DATA[name]] = None

    def field_order(self, code: int) -> str:
        if not self.scans[True]:
            return "progressive"
        return "bff" if code in _BOTTOM_FIELD_FIRST else "tff"


#: Codecs whose frames' side data PyAV 18 may touch: an Exif or ICC block of a picture carries a
#: dictionary that it frees twice, which kills the process (av/sidedata/sidedata.py, SideData.__init__).
_SIDE_DATA_CODECS = (
    "h264", "hevc", "av1", "vp9", "vp8", "mpeg1video", "mpeg2video", "mpeg4", "h263", "prores", "dnxhd", "ffv1", "vvc",
)  # fmt: skip


def side_data(frame: "av.VideoFrame", codec: str) -> list[tuple[str, bytes]]:
    """(FFmpeg's name, bytes) of a frame's side data, as far as it may be looked at."""
    if codec in _SIDE_DATA_CODECS:
        # Kinds that PyAV does not know are a ValueError.
        with contextlib.suppress(ValueError):
            return [(data.type.name, bytes(data)) for data in cast(Any, frame.side_data)]
    matrix = matrix_of_rotation(frame.rotation)
    return [("DISPLAYMATRIX", struct.pack("<9i", *matrix))] if matrix is not None else []


def _is_transparent(frame: "av.VideoFrame") -> bool:
    if not has_alpha(frame.format):
        return False
    return bool(frame.reformat(format="rgba", threads=1).to_ndarray()[..., 3].min() < 255)
