"""The index of an mp4 or mov read without its pictures: zeros stand for the payload.

FFmpeg's own demuxer then gives every packet's times, place and size; only the boxes outside
`mdat` and the first MiB of the payload are fetched.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.seekable import SeekableReader

_TOP_LEVEL = {
    b"ftyp",
    b"moov",
    b"mdat",
    b"free",
    b"skip",
    b"wide",
    b"pnot",
    b"styp",
    b"uuid",
    b"meta",
    b"sidx",
}
_BLOCK_BYTES = 256 << 10
_KEPT_BLOCKS = 32
#: Bytes of payload given as they are, so that the demuxer's own look at the streams finds something.
_REAL_PAYLOAD_BYTES = 1 << 20
_MOST_BOXES = 1000

ReadRange = Callable[[int, int], bytes]


@dataclass(frozen=True)
class BoxLayout:
    """Where the top-level boxes of an mp4 or mov lie."""

    size: int
    payloads: tuple[tuple[int, int], ...]
    "(start, end) of the inside of each mdat, in order, cut at the file's end."
    movie: tuple[int, int] | None
    "(start, end) of moov."
    fragmented: bool


def box_layout(read: ReadRange, size: int) -> BoxLayout | None:
    """The boxes of a file of `size` bytes, None where it is no mp4 or mov; one small read a box."""
    position, payloads, movie, fragmented = 0, [], None, False
    for _ in range(_MOST_BOXES):
        if position + 8 > size or fragmented:
            break
        kind, inside, end = _box(read(position, min(size, position + 16)), position, size)
        if position == 0 and kind not in _TOP_LEVEL:
            return None
        if kind == b"mdat":
            payloads.append((inside, min(end, size)))
        elif kind == b"moov":
            movie = (position, min(end, size))
        fragmented = kind == b"moof"
        if end <= position:
            break
        position = end
    return BoxLayout(size, tuple(payloads), movie, fragmented)


def _box(head: bytes, position: int, size: int) -> tuple[bytes, int, int]:
    """(kind, start of the inside, end) of the box whose first bytes are `head`."""
    length, kind = int.from_bytes(head[:4], "big"), head[4:8]
    if length == 1 and len(head) == 16:
        return kind, position + 16, position + int.from_bytes(head[8:16], "big")
    if length == 0:
        return kind, position + 8, size
    return kind, position + 8, position + length


class ZeroFilledReader(SeekableReader):
    """The file with zeros in the payload beyond its first MiB; fetches the rest in blocks of 256 KiB."""

    def __init__(self, read: ReadRange, layout: BoxLayout) -> None:
        super().__init__(layout.size)
        self._read_range = read
        self._zeros: list[tuple[int, int]] = []
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        left = _REAL_PAYLOAD_BYTES
        for start, end in layout.payloads:
            real = min(left, end - start)
            left -= real
            if start + real < end:
                self._zeros.append((start + real, end))

    def read(self, count: int = -1) -> bytes:
        """At most `count` bytes; fewer where real bytes end and zeros begin, or the reverse."""
        here = self._position
        if count < 0:
            return self.readall()
        end = min(self._size, here + count)
        if here >= end:
            return b""
        zero = next(((a, b) for a, b in self._zeros if here < b), (self._size, self._size))
        data = bytes(min(end, zero[1]) - here) if here >= zero[0] else self._real(here, min(end, zero[0]))
        self._position += len(data)
        return data

    def _real(self, start: int, end: int) -> bytes:
        number, offset = divmod(start, _BLOCK_BYTES)
        if number not in self._blocks:
            first = number * _BLOCK_BYTES
            self._blocks[number] = self._read_range(first, min(self._size, first + _BLOCK_BYTES))
            if len(self._blocks) > _KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        return self._blocks[number][offset : offset + end - start]
