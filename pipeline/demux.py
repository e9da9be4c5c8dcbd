"""Walks the packets of a picture stream once, and keeps of each only where and when it is."""

from array import array
from dataclasses import dataclass, field

import av
import av.container
import numpy as np
import numpy.typing as npt

from pipeline.index import COLUMNS, DISCARD, FLAGS, KEYFRAME, NO_VALUE, POS
from pipeline.packets import packets_of
from pipeline.split import is_shown, is_split_point
from tasks.errors import SourceError

#: Of the first pictures to look at: packets, and pixels in all.
_FEWEST_HEAD_PACKETS, _MOST_HEAD_PACKETS, _HEAD_PIXELS = 8, 40, 60_000_000


def head_packets(width: int, height: int) -> int:
    """How many of the first packets are looked at: fewer of large pictures."""
    return max(_FEWEST_HEAD_PACKETS, min(_MOST_HEAD_PACKETS, _HEAD_PIXELS // max(1, width * height)))


@dataclass
class PacketWalk:
    """What one pass over the packets found."""

    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    "pts, dts, duration, pos, size, flags of each packet, one after another: 48 bytes a packet."
    exact: list[int] = field(default_factory=list)
    "Rows whose bytes were seen to start a decoder exactly."
    hidden: list[int] = field(default_factory=list)
    "Rows that never show a picture."
    head: dict[int, bytes] = field(default_factory=dict)
    "The first packets from the first exact start on, by row."
    new_parameters: bool = False
    "True where a packet brings new parameter sets: the index's own are not enough."
    encrypted: bool = False

    def __len__(self) -> int:
        """How many packets were walked past."""
        return len(self.numbers) // COLUMNS

    @property
    def packets(self) -> npt.NDArray[np.int64]:
        """(P, 6) a copy."""
        return np.array(self.numbers, dtype=np.int64).reshape(-1, COLUMNS)


def walk_packets(
    container: "av.container.InputContainer", stream: "av.VideoStream", uri: str, *, payload: bool
) -> PacketWalk:
    """All packets of the stream in decode order; with `payload` their bytes are real and looked at.

    Raises:
        SourceError: the container breaks off in the middle.
    """
    walk, context = PacketWalk(), stream.codec_context
    look = _Look(
        context.codec.canonical_name,
        context.extradata or b"",
        head_packets(context.width, context.height),
        payload,
    )
    try:
        for packet in packets_of(container, stream):
            if packet.size:
                _note(walk, packet, look)
    except av.error.FFmpegError as error:
        raise SourceError(
            f"{uri}: the container breaks off after {len(walk)} pictures ({error.strerror}); copy the file again"
        ) from error
    return walk


def mark_keyframes(stream: "av.VideoStream", walk: PacketWalk) -> None:
    """Sets the keyframe flags that the container's table has: over zeros FFmpeg's parser clears them."""
    places = {entry.pos for entry in stream.index_entries if entry.is_keyframe}
    packets = walk.packets
    packets[np.isin(packets[:, POS], list(places)), FLAGS] |= KEYFRAME
    walk.numbers = array("q", packets.tobytes())


@dataclass(frozen=True)
class _Look:
    """How closely packets are looked at."""

    codec: str
    extradata: bytes
    head_packets: int
    payload: bool


def _note(walk: PacketWalk, packet: "av.Packet[av.VideoStream]", look: _Look) -> None:
    row = len(walk)
    flags = KEYFRAME * packet.is_keyframe | DISCARD * packet.is_discard
    pts, dts, pos = (value if value is not None else NO_VALUE for value in (packet.pts, packet.dts, packet.pos))
    walk.numbers.extend((pts, dts, packet.duration or 0, pos, packet.size, flags))
    walk.new_parameters |= row > 0 and packet.has_sidedata("new_extradata")
    walk.encrypted |= packet.has_sidedata("encryption_info")
    in_head = len(walk.head) < look.head_packets
    if not look.payload or not (packet.is_keyframe or in_head or look.codec == "vp8"):
        return
    data = bytes(packet)
    if not is_shown(look.codec, data):
        walk.hidden.append(row)
    if packet.is_keyframe and is_split_point(look.codec, look.extradata, data):
        if not walk.exact:
            walk.head, in_head = {}, True
        walk.exact.append(row)
    if in_head:
        walk.head[row] = data
