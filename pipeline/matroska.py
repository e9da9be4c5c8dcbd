"""Writes a sample aspect ratio into a finished Matroska or WebM file; knows EBML, no media library.

FFmpeg's muxer writes the display size from a field that PyAV cannot set, so for codecs whose stream
does not tell the ratio itself (VP9, AV1, ProRes, FFV1) it would be lost.  The two elements go into the
picture track's header; the bytes they take come out of the gap that the muxer leaves after the seek
head, so that nothing behind the header moves.
"""

from fractions import Fraction
from pathlib import Path

_SEGMENT, _SEEK_HEAD, _SEEK, _SEEK_POSITION = 0x18538067, 0x114D9B74, 0x4DBB, 0x53AC
_VOID, _INFO, _TRACKS, _TRACK_ENTRY, _VIDEO, _CLUSTER = 0xEC, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675
_PIXEL_WIDTH, _PIXEL_HEIGHT, _DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = (
    0xB0,
    0xBA,
    0x54B0,
    0x54BA,
    0x54B2,
)
#: The header lies in the file's first bytes; cover pictures come after it.
_HEAD_BYTES = 1 << 20

Element = tuple[int, int, int, int]
"Id, where it starts, where its content starts, where it ends."


def write_aspect(path: Path, ratio: Fraction) -> bool:
    """Whether the first picture track now tells `ratio` (width of a sample over its height).

    False, and the file untouched, where the header is not as expected.
    """
    with path.open("r+b") as file:
        head = bytearray(file.read(_HEAD_BYTES))
        changed = _with_aspect(bytes(head), ratio)
        if changed is None:
            return False
        file.seek(0)
        file.write(changed)
        return True


def _with_aspect(head: bytes, ratio: Fraction) -> bytes | None:
    """The same number of bytes with the ratio in them."""
    segment = next((e for e in _elements(head, 0, len(head)) if e[0] == _SEGMENT), None)
    if segment is None:
        return None
    found = {e[0]: e for e in reversed(list(_elements(head, segment[2], len(head))))}
    if not all(k in found for k in (_SEEK_HEAD, _VOID, _INFO, _TRACKS)):
        return None
    tracks, void, seek_head = found[_TRACKS], found[_VOID], found[_SEEK_HEAD]
    rebuilt = _tracks_with_aspect(head, tracks, ratio)
    if rebuilt is None or not seek_head[3] <= void[1] < void[3] <= found[_INFO][1] < tracks[1]:
        return None
    added = len(rebuilt) - (tracks[3] - tracks[1])
    left = void[3] - void[1] - added
    if left < 2:
        return None
    length = 8 if left > 9 else 1
    gap = bytes([_VOID]) + _size(left - 1 - length, length) + bytes(left - 1 - length)
    seeks = _moved_seeks(head, seek_head, segment[2], range(void[3], tracks[3]), -added)
    between = head[seek_head[3] : void[1]]
    return head[: seek_head[1]] + seeks + between + gap + head[void[3] : tracks[1]] + rebuilt + head[tracks[3] :]


def _tracks_with_aspect(head: bytes, tracks: Element, ratio: Fraction) -> bytes | None:
    """The Tracks element with the display size in its first video entry."""
    for entry in _elements(head, tracks[2], tracks[3]):
        for video in _elements(head, entry[2], entry[3]) if entry[0] == _TRACK_ENTRY else ():
            if video[0] != _VIDEO:
                continue
            inside = _elements(head, video[2], video[3])
            fields = {e[0]: int.from_bytes(head[e[2] : e[3]], "big") for e in inside}
            if _DISPLAY_WIDTH in fields or not fields.keys() >= {_PIXEL_WIDTH, _PIXEL_HEIGHT}:
                return None
            width, height = _display_size(fields[_PIXEL_WIDTH], fields[_PIXEL_HEIGHT], ratio)
            # The muxer marks the unit as unknown, which would void the size.
            kept = b"".join(head[e[1] : e[3]] for e in inside if e[0] != _DISPLAY_UNIT)
            size = _element(_DISPLAY_WIDTH, _number(width)) + _element(_DISPLAY_HEIGHT, _number(height))
            new_video = _element(_VIDEO, kept + size)
            new_entry = _element(_TRACK_ENTRY, head[entry[2] : video[1]] + new_video + head[video[3] : entry[3]])
            return _element(_TRACKS, head[tracks[2] : entry[1]] + new_entry + head[entry[3] : tracks[3]])
    return None


def _display_size(width: int, height: int, ratio: Fraction) -> tuple[int, int]:
    """Whole pixels of exactly this ratio where one side allows it, else the nearest width."""
    if width * ratio.numerator % ratio.denominator and height * ratio.denominator % ratio.numerator == 0:
        return width, height * ratio.denominator // ratio.numerator
    return round(width * ratio), height


def _moved_seeks(head: bytes, seek_head: Element, base: int, moved: range, by: int) -> bytes:
    """The seek head with the positions of moved elements changed, no byte longer."""
    changed = bytearray(head[seek_head[1] : seek_head[3]])
    for seek in _elements(head, seek_head[2], seek_head[3]):
        for field in _elements(head, seek[2], seek[3]) if seek[0] == _SEEK else ():
            position = int.from_bytes(head[field[2] : field[3]], "big")
            if field[0] == _SEEK_POSITION and base + position in moved:
                value = (position + by).to_bytes(field[3] - field[2], "big")
                changed[field[2] - seek_head[1] : field[3] - seek_head[1]] = value
    return bytes(changed)


def _elements(head: bytes, start: int, end: int) -> list[Element]:
    """Elements that begin in [start, end), as far as they lie in `head`; stops at the first cluster."""
    found = []
    while start < min(end, len(head)):
        id_length = 9 - head[start].bit_length()
        size_at = start + id_length
        if id_length > 4 or size_at >= len(head) or head[size_at] == 0:
            break
        length = 9 - head[size_at].bit_length()
        identity = int.from_bytes(head[start:size_at], "big")
        size = int.from_bytes(head[size_at : size_at + length], "big") & ((1 << (7 * length)) - 1)
        found.append((identity, start, size_at + length, size_at + length + size))
        if identity == _CLUSTER:
            break
        start = size_at + length + size
    return found


def _element(identity: int, content: bytes) -> bytes:
    length = next(n for n in range(1, 9) if len(content) < (1 << (7 * n)) - 1)
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + _size(len(content), length) + content


def _size(size: int, length: int) -> bytes:
    return ((1 << (7 * length)) | size).to_bytes(length, "big")


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
