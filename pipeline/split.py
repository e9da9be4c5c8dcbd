"""Whether decoding may start at a packet and come out exact; reads the bytes of one packet.

A demuxer's keyframe flag is not enough: H.264 with periodic intra-refresh carries it on packets
from which a decoder needs many frames to recover (a recovery point SEI with a count above 0).
"""

from collections.abc import Iterator

_H264_SLICE, _H264_IDR, _H264_SEI = 1, 5, 6
_SEI_RECOVERY_POINT = 6
#: Of x264's user data (encoder/set.c, x264_sei_version_write).
_X264_UUID = bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef")
#: NAL unit types 16 to 21 of H.265 (table 7-1): BLA, IDR and CRA pictures.
_HEVC_RANDOM_ACCESS = range(16, 22)
#: Bytes of a keyframe's packet that hold its headers up to the first slice.
HEAD_BYTES = 4096


def is_split_point(codec: str, extradata: bytes, packet: bytes) -> bool:
    """Whether a keyframe's packet (or its first `HEAD_BYTES`) starts a decoder exactly."""
    if codec == "h264":
        return _h264(extradata, packet)
    if codec == "hevc":
        kinds = ((unit[0] >> 1) & 0x3F for unit in nal_units(packet, length_bytes(codec, extradata)) if unit)
        return next((kind in _HEVC_RANDOM_ACCESS for kind in kinds if kind < 32), False)
    return True


def is_shown(codec: str, packet: bytes | memoryview) -> bool:
    """Whether a packet gives a picture: VP8 keeps reference pictures that are never shown."""
    return codec != "vp8" or not packet or bool(packet[0] & 0x10)


def decoder_prefix(codec: str, extradata: bytes, packet: bytes) -> bytes:
    """What of a stream's first packet a decoder must have seen wherever it starts, ready to put before a packet.

    Encoders name themselves once, and FFmpeg's decoders work around the faults of old ones: x264 before
    build 151 in 4:4:4 (h264_cabac.c), DivX and Xvid in many ways (mpeg4videodec.c).
    """
    if codec == "mpeg4":
        start = packet.find(b"\0\0\1\xb6")
        return packet[:start] if start > 0 and b"\0\0\1\xb2" in packet[:start] else b""
    if codec == "h264":
        size = length_bytes(codec, extradata)
        for unit in nal_units(packet, size):
            if unit[:1] and unit[0] & 0x1F == _H264_SEI and _X264_UUID in unit[:64]:
                return (len(unit).to_bytes(size, "big") if size else b"\0\0\1") + unit
    return b""


def length_bytes(codec: str, extradata: bytes) -> int:
    """Bytes of the length before each NAL unit (avcC, hvcC); 0 for start codes (Annex B)."""
    if codec == "h264" and len(extradata) > 6 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    if codec == "hevc" and len(extradata) > 22 and (extradata[0] or extradata[1] or extradata[2] > 1):
        return (extradata[21] & 3) + 1
    return 0


def nal_units(packet: bytes, length_size: int) -> Iterator[bytes]:
    """The NAL units of a packet in order; the last may be cut where the packet is."""
    if not length_size:
        yield from _start_code_units(packet)
        return
    position = 0
    while position + length_size < len(packet):
        size = int.from_bytes(packet[position : position + length_size], "big")
        position += length_size
        yield packet[position : position + size]
        position += size


def _start_code_units(packet: bytes) -> Iterator[bytes]:
    start = packet.find(b"\0\0\1")
    while start >= 0:
        following = packet.find(b"\0\0\1", start + 3)
        yield packet[start + 3 : following if following >= 0 else len(packet)]
        start = following


def _h264(extradata: bytes, packet: bytes) -> bool:
    for unit in nal_units(packet, length_bytes("h264", extradata)):
        kind = unit[0] & 0x1F if unit else 0
        if kind == _H264_IDR:
            return True
        if kind == _H264_SEI:
            count = _recovery_frame_count(unit[1:].replace(b"\0\0\3", b"\0\0"))
            if count is not None:
                return count == 0
        if kind == _H264_SLICE:
            return False
    return False


def _recovery_frame_count(sei: bytes) -> int | None:
    """`recovery_frame_cnt` of the first recovery point message, None where there is none (H.264 D.1.8)."""
    position = 0
    while position + 2 <= len(sei) and sei[position] != 0x80:
        kind, position = _sei_number(sei, position)
        size, position = _sei_number(sei, position)
        if kind == _SEI_RECOVERY_POINT:
            return _unsigned_exp_golomb(sei[position : position + size])
        position += size
    return None


def _sei_number(sei: bytes, position: int) -> tuple[int, int]:
    """A number written as bytes of 255 and a last one; and where it ends."""
    value = 0
    while position < len(sei) and sei[position] == 255:
        value, position = value + 255, position + 1
    return value + (sei[position] if position < len(sei) else 0), position + 1


def _unsigned_exp_golomb(data: bytes) -> int:
    bits = "".join(f"{byte:08b}" for byte in data[:9])
    zeros = len(bits) - len(bits.lstrip("0"))
    code = bits[zeros : 2 * zeros + 1]
    return int(code, 2) - 1 if code else 0
