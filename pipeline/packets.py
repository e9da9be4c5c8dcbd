"""The compressed packets of a run of index rows: by ranged reads, or through the demuxer.

Each packet carries its row of the index as its timestamp, so that frames are known again however
broken the file's own clock is.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import av
import av.container
import numpy as np
import numpy.typing as npt

from pipeline.index import DTS, FLAGS, KEYFRAME, NO_VALUE, POS, PTS, SIZE, SourceIndex
from pipeline.source import picture_stream, quiet_decoders
from pipeline.split import is_split_point
from pipeline.storage import Storage
from tasks.errors import SourceError
from tasks.heap import return_freed_planes

AnyPacket: TypeAlias = "av.Packet[Any]"
Packets = Iterator["av.Packet[Any]"]

Table = npt.NDArray[np.int64]

#: A read ends where it would grow beyond this, or jump over a hole larger than that.
_REMOTE_READ_BYTES, _LOCAL_READ_BYTES, _HOLE_BYTES = 64 << 20, 8 << 20, 4 << 20
#: Packets looked at behind a seek before another is tried, and seeks tried before the start.
_PACKETS_BEHIND_SEEK, _SEEKS = 64, 4

#: Decoders that need nothing of a container but extradata and size, by codec.
RANGED_DECODERS = {
    "h264": "h264", "hevc": "hevc", "av1": "libdav1d", "vp9": "vp9", "vp8": "vp8", "mpeg4": "mpeg4",
    "mpeg2video": "mpeg2video", "prores": "prores", "mjpeg": "mjpeg", "ffv1": "ffv1", "dnxhd": "dnxhd",
}  # fmt: skip


def new_decoder(index: SourceIndex, thread_count: int) -> "av.VideoCodecContext":
    """A decoder that knows the index only."""
    quiet_decoders()
    decoder = cast("av.VideoCodecContext", av.VideoCodecContext.create(RANGED_DECODERS[index.stream.codec], "r"))
    decoder.extradata = index.extradata or None
    decoder.width, decoder.height = index.format.width, index.format.height
    return prepare_decoder(decoder, index.stream.codec, thread_count)


def prepare_decoder(decoder: "av.VideoCodecContext", codec: str, thread_count: int) -> "av.VideoCodecContext":
    """The same decoder set so that the same packets give the same frames in the same order."""
    return_freed_planes()
    decoder.thread_count = thread_count
    decoder.thread_type = "SLICE"
    if codec == "h264":
        # Without reorder bounds in the stream the decoder guesses, and drops what it guessed wrong.
        decoder.options = {**decoder.options, "strict": "1"}
    return decoder


def ranged_packets(storage: Storage, index: SourceIndex, first: int, last: int) -> Packets:
    """Rows [first, last], read by ranges that follow the file's order; usually one."""
    largest = _REMOTE_READ_BYTES if storage.local_path(index.uri) is None else _LOCAL_READ_BYTES

    def read(start: int, end: int) -> bytes:
        return storage.read_range(index.uri, start, end, index.identity)

    for row, data in row_bytes(read, index.packets, first, last, largest):
        if len(data) < int(index.packets[row, SIZE]):
            raise SourceError(
                f"{index.uri}: picture {row} has {len(data)} bytes, expected {int(index.packets[row, SIZE])}; "
                "the file was cut short while copied: copy it again"
            )
        packet = av.Packet(cast(bytes, data))
        packet.pts = packet.dts = row
        yield packet


def row_bytes(
    read: Callable[[int, int], bytes], packets: Table, first: int, last: int, largest: int
) -> Iterator[tuple[int, memoryview]]:
    """(row, its bytes) of rows [first, last] by few reads; fewer bytes where the file ends."""
    for a, b, start, end in _windows(packets, first, last, largest):
        data = memoryview(read(start, end))
        for row in range(a, b):
            at = int(packets[row, POS]) - start
            yield row, data[at : at + int(packets[row, SIZE])]


def _windows(packets: Table, first: int, last: int, largest: int) -> Iterator[tuple[int, int, int, int]]:
    """(row, row, byte, byte): rows [a, b) lie in bytes [start, end)."""
    a, start, end = first, int(packets[first, POS]), int(packets[first, POS])
    for row in range(first, last + 1):
        low = int(packets[row, POS])
        high = low + int(packets[row, SIZE])
        joined = (min(start, low), max(end, high))
        if row > a and (joined[1] - joined[0] > largest or low - end > _HOLE_BYTES or start - high > _HOLE_BYTES):
            yield a, row, start, end
            a, joined = row, (low, high)
        start, end = joined
    yield a, last + 1, start, end


def demuxed_packets(container: "av.container.InputContainer", index: SourceIndex, first: int, last: int) -> Packets:
    """Rows [first, last] through an open demuxer, which is left anywhere.

    Raises:
        SourceError: the demuxer gives other packets than when the index was made.
    """
    row = first
    for packet in _from_row(container, index, first):
        if packet.size != int(index.packets[row, SIZE]):
            raise SourceError(
                f"{index.uri}: packet {row} has {packet.size} bytes, expected {int(index.packets[row, SIZE])}; "
                "the file changed, or its container is damaged: copy it again"
            )
        packet.pts = packet.dts = row
        yield packet
        row += 1
        if row > last:
            return


def _from_row(container: "av.container.InputContainer", index: SourceIndex, first: int) -> Packets:
    """The demuxer's packets of the picture stream from row `first` on."""
    stream = picture_stream(container, index.stream.number)
    for target in _seek_targets(index, first):
        try:
            container.seek(target, stream=stream, backward=True)
        except av.error.FFmpegError:
            break
        packets = _picture_packets(container, stream)
        if (found := _locate(packets, index, first)) is not None:
            yield found
            yield from packets
            return
    container.seek(0, backward=True, unsupported_byte_offset=index.container in ("mpegts", "mpeg"))
    packets = _picture_packets(container, stream)
    for row, packet in enumerate(packets):
        if row == first:
            yield packet
            yield from packets
            return


def _picture_packets(container: "av.container.InputContainer", stream: "av.VideoStream") -> Packets:
    return (packet for packet in packets_of(container, stream) if packet.size)


def packets_of(container: "av.container.InputContainer", stream: "av.VideoStream") -> Packets:
    """The demuxer's packets of the stream, then one without bytes as the decoder's end mark.

    Raises:
        av.error.InvalidDataError: the container breaks off, or brings up streams it did not announce.
    """
    try:
        yield from container.demux(stream)
    except IndexError as error:
        raise av.error.InvalidDataError(1, "a stream that was not announced") from error


def _locate(packets: "Packets", index: SourceIndex, first: int) -> "AnyPacket | None":
    """The packet of row `first` among those behind a seek; None where the seek landed past it."""
    row = None
    for looked, packet in enumerate(packets):
        row = _row_of(packet, index) if row is None else row + 1
        if row == first:
            return packet
        if (row is None and looked >= _PACKETS_BEHIND_SEEK) or (row is not None and row > first):
            return None
    return None


def _row_of(packet: "AnyPacket", index: SourceIndex) -> int | None:
    """The row with the packet's place and size, and its clock where several share them."""
    rows = index.packets
    same = rows[:, SIZE] == packet.size
    if packet.pos is not None and packet.pos >= 0:
        same &= rows[:, POS] == packet.pos
    found = np.flatnonzero(same)
    if len(found) > 1:
        for column, value in ((DTS, packet.dts), (PTS, packet.pts)):
            if value is not None and len(sharper := found[rows[found, column] == value]):
                found = sharper
    return int(found[0]) if len(found) == 1 else None


def _seek_targets(index: SourceIndex, first: int) -> Iterator[int]:
    """Timestamps to seek to: the row's own, then those of keyframes before it."""
    keyframes = np.flatnonzero(index.packets[: first + 1, FLAGS] & KEYFRAME)[::-1]
    for row in dict.fromkeys([first, *keyframes[:_SEEKS].tolist()]):
        dts, pts = int(index.packets[row, DTS]), int(index.packets[row, PTS])
        if dts != NO_VALUE or pts != NO_VALUE:
            yield dts if dts != NO_VALUE else pts


def prefixed(packet: AnyPacket, prefix: bytes) -> AnyPacket:
    """The packet with other units before its own."""
    whole = av.Packet(prefix + bytes(packet))
    whole.pts, whole.dts = packet.pts, packet.dts
    return whole


def starts_exactly(index: SourceIndex, packet: "AnyPacket") -> bool:
    """Whether a decoder may really start here; the index knows only a sample of an mp4's keyframes."""
    return is_split_point(index.stream.codec, index.extradata, bytes(packet))
