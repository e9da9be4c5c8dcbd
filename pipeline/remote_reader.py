"""A seekable reader over ranged requests: blocks, a few kept, larger ones when read in order."""

from collections import OrderedDict
from collections.abc import Callable

from pipeline.seekable import SeekableReader

_BLOCK_BYTES = 1 << 20
_LARGEST_REQUEST_BLOCKS = 8
_KEPT_BLOCKS = 16


class RemoteReader(SeekableReader):
    """Bytes of an object of `size` bytes; `fetch(start, end)` gives each range.  At most 16 MiB held."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        super().__init__(size)
        self._fetch = fetch
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next_block = -1
        self._request_blocks = 1

    def read(self, count: int = -1) -> bytes:
        """At most `count` bytes, fewer at a block's border; all that is left where negative."""
        if count < 0:
            return self.readall()
        if self._position >= self._size or count == 0:
            return b""
        number, offset = divmod(self._position, _BLOCK_BYTES)
        data = self._block(number)[offset : offset + count]
        self._position += len(data)
        return data

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        in_order = number == self._next_block
        self._request_blocks = min(_LARGEST_REQUEST_BLOCKS, self._request_blocks * 2) if in_order else 1
        start = number * _BLOCK_BYTES
        end = min(self._size, start + self._request_blocks * _BLOCK_BYTES)
        data = self._fetch(start, end)
        if len(data) != end - start:
            raise OSError(5, f"asked for bytes {start} to {end}, received {len(data)}")
        for i in range(0, len(data), _BLOCK_BYTES):
            self._blocks[number + i // _BLOCK_BYTES] = data[i : i + _BLOCK_BYTES]
        self._next_block = number + self._request_blocks
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]
