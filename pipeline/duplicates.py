"""Whether two sources are copies of one: a key of their content, whatever they are called and wherever they lie.

Sampled, so that a long video costs 1 MiB of reading: two sources of one key have the same packet
table to the last timestamp and size, and the same bytes wherever it was looked.
"""

import hashlib

from pipeline.index import SourceIndex
from pipeline.keys import digest_of
from pipeline.storage import Storage
from tasks.errors import SourceError

#: Looked at: the first and last bytes, and so many stretches between them; smaller sources whole.
_EDGE_BYTES, _STRETCHES, _STRETCH_BYTES = 256 << 10, 8, 64 << 10
_WHOLE_BYTES = 2 * _EDGE_BYTES + _STRETCHES * _STRETCH_BYTES


def content_key(storage: Storage, index: SourceIndex) -> str:
    """40 hex digits; equal for copies, another for a source that was encoded again or changed where it is looked at.

    Raises:
        SourceError: the source is no longer the one of the index.
        StorageError: it cannot be read.
    """
    size = index.identity.size
    sha = hashlib.sha256()
    for start, end in sampled_ranges(size):
        data = storage.read_range(index.uri, start, end, index.identity)
        if len(data) != end - start:
            raise SourceError(
                f"{index.uri}: found {len(data)} bytes from {start}, expected {end - start}; "
                "it was changed while it was looked at: leave it alone and run again"
            )
        sha.update(data)
    tables = (index.packets, index.frame_pts, index.extradata, index.streams, index.chapters, index.metadata)
    return digest_of(size, sha.hexdigest(), *tables)


def sampled_ranges(size: int) -> tuple[tuple[int, int], ...]:
    """[start, end) of the bytes that stand for all of `size`; in order, apart from each other."""
    if size <= _WHOLE_BYTES:
        return ((0, size),) if size else ()
    room = size - 2 * _EDGE_BYTES - _STRETCH_BYTES
    starts = [_EDGE_BYTES + room * number // (_STRETCHES - 1) for number in range(_STRETCHES)]
    stretches = [(start, start + _STRETCH_BYTES) for start in starts]
    return ((0, _EDGE_BYTES), *stretches, (size - _EDGE_BYTES, size))
