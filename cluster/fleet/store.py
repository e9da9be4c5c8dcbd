"""What streams of batches may take of a node's object store, and what is shared through it once."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cluster import transport
from cluster.budget import STORE_SHARE, StoreBudget, plan_store
from cluster.messages import Shared
from pipeline.index import SourceIndex
from pipeline.work import Lease

#: Frames of all indexes that stay in the store though nobody works on their videos: some 50 bytes each.
SPARE_FRAMES = 200_000


def lease_budget(index: SourceIndex, lease: Lease, hops: int, store_bytes: int, leases: int) -> StoreBudget:
    """Windows that fit when `leases` of this kind are in flight on a node with such a store.

    Raises:
        ResourceShortage: not even one of them fits.
    """
    encode, shown = lease.works[0].encode, index.format
    growth = max(1.0, encode.width * encode.height / (shown.width * shown.height))
    return plan_store(int(lease.batch_frames * shown.frame_bytes * growth), hops, store_bytes, leases)


class StoreAccount:
    """Bytes of one node's store, given out in the order of asking; used in one event loop."""

    def __init__(self, store_bytes: int) -> None:
        self._free = int(STORE_SHARE * store_bytes)
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def reserved(self, count: int) -> AsyncIterator[None]:
        """`count` bytes for the time of the block; waits until they are free."""
        if self._waiting or count > self._free:
            asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            entry = (count, asked)
            self._waiting.append(entry)
            try:
                await asked
            except asyncio.CancelledError:
                if asked.done() and not asked.cancelled():
                    self._give(count)
                else:
                    self._waiting.remove(entry)
                    self._give(0)
                raise
        else:
            self._free -= count
        try:
            yield
        finally:
            self._give(count)

    def _give(self, count: int) -> None:
        self._free += count
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, asked = self._waiting.popleft()
            if not asked.cancelled():
                self._free -= wanted
                asked.set_result(None)


class SharedIndexes:
    """The index of each video that is worked on, in the object store once; the latest stay for a while after that."""

    def __init__(self, spare_frames: int = SPARE_FRAMES) -> None:
        self._kept: dict[int, _Kept] = {}
        self._spare_frames = spare_frames

    def take(self, index: SourceIndex) -> Shared:
        kept = self._kept.pop(id(index), None) or _Kept(index, transport.share(index))
        kept.users += 1
        self._kept[id(index)] = kept
        return kept.shared

    def give(self, index: SourceIndex) -> None:
        self._kept[id(index)].users -= 1
        spare = [key for key, kept in self._kept.items() if not kept.users]
        frames = sum(len(self._kept[key].index.frame_pts) for key in spare)
        for key in spare:  # The one taken longest ago first.
            if frames > self._spare_frames:
                frames -= len(self._kept.pop(key).index.frame_pts)

    def close(self) -> None:
        """Leave nothing in the store."""
        self._kept.clear()

    @property
    def used(self) -> int:
        """How many are worked on."""
        return sum(1 for kept in self._kept.values() if kept.users)

    def __len__(self) -> int:
        return len(self._kept)


@dataclass(eq=False)
class _Kept:
    index: SourceIndex
    shared: Shared
    users: int = 0
