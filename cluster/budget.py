"""How much of Ray's object store a run needs, and what is done where there is less; pure arithmetic.

Every hop of a cell holds at most window + 1 batches for each lease in flight: `window` made
ahead and one with the consumer.  Batches are never spilled to disk: a run that does not fit
shrinks its windows, then its leases in flight, then is refused.
"""

from dataclasses import dataclass

from tasks.errors import ResourceShortage
from tasks.picture import BATCH_BYTES

#: Share of the store that batches may fill; the rest is for indexes, leases and Ray itself.
STORE_SHARE = 0.6
#: Batches made ahead of the consumer of a hop.
WINDOW = 2
#: Leases worked on at the same time by one cell: the drain of one is filled by the next.
LEASES_IN_FLIGHT = 2
#: Smallest store that a local Ray is started with.
SMALLEST_STORE_BYTES = 150 * 2**20


@dataclass(frozen=True)
class StoreBudget:
    """What streams of batches may take of the object store."""

    leases: int
    hops: int
    window: int
    batch_bytes: int
    store_bytes: int

    @property
    def needed_bytes(self) -> int:
        return self.leases * self.hops * (self.window + 1) * self.batch_bytes

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= STORE_SHARE * self.store_bytes

    def arithmetic(self) -> str:
        """The sum as a person would check it."""
        return (
            f"{self.leases} leases x {self.hops} hops x {self.window + 1} batches x {_mb(self.batch_bytes)}"
            f" = {_mb(self.needed_bytes)} of {_mb(int(STORE_SHARE * self.store_bytes))}"
            f" ({STORE_SHARE:.0%} of a {_mb(self.store_bytes)} object store)"
        )


def plan_store(batch_bytes: int, hops: int, store_bytes: int, leases: int = LEASES_IN_FLIGHT) -> StoreBudget:
    """The widest windows, then the most leases, that fit.

    Raises:
        ResourceShortage: not even one lease with windows of one batch fits.
    """
    tries = [(leases, WINDOW), *((n, 1) for n in range(leases, 0, -1))]
    budgets = [StoreBudget(n, hops, window, batch_bytes, store_bytes) for n, window in tries]
    for budget in budgets:
        if budget.fits:
            return budget
    raise ResourceShortage(
        f"Ray's object store is too small for this video: {budgets[-1].arithmetic()}; "
        "give more memory to /dev/shm (docker run --shm-size=2g), a larger object_store_memory, "
        "or use --in-process"
    )


def local_store_bytes(memory_bytes: int, shared_memory_bytes: int) -> int:
    """Store of a local Ray: enough for two hops of usual batches, never over 30 % of the memory."""
    usual = LEASES_IN_FLIGHT * 2 * (WINDOW + 1) * BATCH_BYTES / STORE_SHARE
    room = min(0.3 * memory_bytes, 0.9 * shared_memory_bytes if shared_memory_bytes else memory_bytes)
    return max(SMALLEST_STORE_BYTES, int(min(usual, room)))


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
