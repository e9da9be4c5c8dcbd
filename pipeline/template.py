"""A part opened as the model for the output's picture stream; knows mp4 boxes, no packets.

PyAV 18 cannot give an output stream its HDR10 mastering data, but copies what a model's header tells, for
every container and codec.  So the model is the part with two more boxes in its header.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import av.container

from pipeline.boxes import box_layout
from pipeline.hdr import Hdr10, header_boxes
from pipeline.seekable import SeekableReader

#: From a movie to the list of its first track's sample entries; parts have one track and one entry.
_PATH = (b"trak", b"mdia", b"minf", b"stbl", b"stsd")
#: Version, flags and count before the entries of `stsd`.
_BEFORE_ENTRIES = 8


def open_template(part: Path, hdr: Hdr10) -> "av.container.InputContainer":
    """The part, its header telling `hdr` too; close it after use."""
    boxes = header_boxes(hdr)
    if not boxes:
        return av.open(str(part))
    file = part.open("rb")
    layout = box_layout(lambda start, end: _read(file, start, end), part.stat().st_size)
    if layout is None or layout.movie is None or layout.movie[1] != layout.size:  # Pictures would move.
        file.close()
        return av.open(str(part))
    start, end = layout.movie
    return av.open(_OtherEnd(file, start, with_boxes(_read(file, start, end), boxes)), "r")


def with_boxes(movie: bytes, boxes: bytes) -> bytes:
    """A `moov` box with `boxes` at the end of its first sample entry; as it is where there is no such entry."""
    at, end, grown = 8, len(movie), [0]
    for wanted in _PATH:
        found = next((b for b in _boxes(movie, at, end) if b[0] == wanted), None)
        if found is None:
            return movie
        grown.append(found[1])
        at, end = found[1] + 8, found[2]
    entry = next(_boxes(movie, at + _BEFORE_ENTRIES, end), None)
    if entry is None:
        return movie
    longer = bytearray(movie)
    for place in (*grown, entry[1]):
        (size,) = struct.unpack_from(">I", movie, place)
        struct.pack_into(">I", longer, place, size + len(boxes))
    longer[entry[2] : entry[2]] = boxes
    return bytes(longer)


class _OtherEnd(SeekableReader):
    """A file whose bytes from `start` on are others; closes it with itself."""

    def __init__(self, file: BinaryIO, start: int, end: bytes) -> None:
        super().__init__(start + len(end))
        self._file, self._start, self._end = file, start, end

    def read(self, count: int = -1) -> bytes:
        here = self._position
        if count < 0:
            return self.readall()
        if here < self._start:
            data = _read(self._file, here, min(here + count, self._start))
        else:
            data = self._end[here - self._start : here - self._start + count]
        self._position += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of the boxes that begin in [start, end)."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            return
        yield kind, start, start + size
        start += size


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)
