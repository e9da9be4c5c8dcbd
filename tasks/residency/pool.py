"""The models of one device: brought before they are used, evicted when others need the room; knows no torch.

What leaves and what comes is `policy`'s choice and bytes are moved by a `Mover`; the pool is the state
between them, shared by the threads that render on the device.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from tasks.errors import OutOfVram
from tasks.residency.policy import Holding, Resident, coldest_first, needed_bytes, next_prefetch, room_for


class Mover(Protocol):
    """Moves one model's bytes; what it raises leaves the model where it was."""

    def bring(self, name: str) -> None:
        """Start the copy to the device; may return before it is done.

        Raises:
            OutOfVram: the device did not give the room.
        """

    def settle(self, name: str) -> None:
        """Whatever is computed from now on finds the model there."""

    def evict(self, name: str) -> None:
        """Give its room on the device back."""

    def foresee(self, queue: Sequence[str]) -> None:
        """What will be used, in order, as far as that is known; for whoever keeps what is not there."""


@dataclass(frozen=True)
class Moves:
    """What the pool has done so far."""

    loads: int = 0
    "That someone waited for."
    prefetches: int = 0
    evictions: int = 0
    failed_loads: int = 0


class Pool:
    """Models by name within a byte budget, from `add` to `close`."""

    def __init__(self, mover: Mover, budget_bytes: int) -> None:
        self._mover = mover
        self.wanted_bytes = budget_bytes
        self._holding = Holding(budget_bytes)
        self._sizes: dict[str, int] = {}
        self._pinned: set[str] = set()
        self._queue: tuple[str, ...] = ()
        self._uses = 0
        self._changed = threading.Condition()
        self._busy = threading.local()
        self.moves = Moves()

    @property
    def holding(self) -> Holding:
        with self._changed:
            return self._holding

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of every model that is known, on the device or not."""
        with self._changed:
            return dict(self._sizes)

    def add(self, name: str, size_bytes: int, *, pinned: bool = False) -> None:
        """Make a model known; it comes to the device when first used, a pinned one then stays."""
        with self._changed:
            self._sizes[name] = size_bytes
            if pinned:
                self._pinned.add(name)

    def remove(self, name: str) -> None:
        """Forget a model, which nobody uses; its room is given back."""
        with self._changed:
            if name in self._holding.names:
                self._mover.evict(name)
                self._holding = self._holding.without([name])
            self._pinned.discard(name)
            del self._sizes[name]
            self._changed.notify_all()

    def expect(self, queue: Sequence[str]) -> None:
        """Tell what will be used next, in order, as far as it is known; each use takes its name off the front."""
        with self._changed:
            self._look_ahead(tuple(queue))

    @contextmanager
    def use(self, *names: str) -> Iterator[None]:
        """All of `names` lie on the device and stay until the end; waits for other threads' models to go.

        A thread asks for all that it needs at once: it may not use the pool within a use.

        Raises:
            OutOfVram: they never fit together, or the device gives no room although nothing else can leave.
        """
        if getattr(self._busy, "uses", False):
            raise ValueError(f"{', '.join(names)} asked for within another use: ask for all models at once")
        with self._changed:
            self._widen(names)
            self._gather(frozenset(names))
            for name in names:
                self._count_user(name, 1)
            self._look_ahead(_after(self._queue, names))
        self._busy.uses = True
        try:
            for name in names:
                self._mover.settle(name)
            yield
        finally:
            self._busy.uses = False
            with self._changed:
                for name in names:
                    self._count_user(name, -1)
                self._changed.notify_all()

    def prefetch(self) -> str | None:
        """Bring the next model of the queue that is absent, if no sooner one leaves for it; its name if so."""
        with self._changed:
            move = next_prefetch(self._holding, self._queue, self._sizes)
            if move is None:
                return None
            self._evict(move.evict)
            try:
                self._mover.bring(move.bring)
            except OutOfVram:
                self.moves = replace(self.moves, failed_loads=self.moves.failed_loads + 1)
                return None
            self._lay(move.bring)
            self.moves = replace(self.moves, prefetches=self.moves.prefetches + 1)
            return move.bring

    def limit(self, budget_bytes: int) -> None:
        """Another budget from now on, evicting at once what it does not hold and what can leave."""
        with self._changed:
            self._holding = replace(self._holding, budget_bytes=min(budget_bytes, self.wanted_bytes))
            victims = room_for(0, self._holding, self._queue)
            self._evict(self._cold() if victims is None else victims)
            self._changed.notify_all()

    def want(self, budget_bytes: int) -> None:
        """Another budget to be had when nothing is short; a smaller one after a shortage stays."""
        with self._changed:
            shrunk = self._holding.budget_bytes < self.wanted_bytes
            self.wanted_bytes = budget_bytes
        self.limit(min(self.holding.budget_bytes, budget_bytes) if shrunk else budget_bytes)

    def least_bytes(self, names: Sequence[str]) -> int | None:
        """What is left when all leave but `names` and what cannot; None where nobody else could leave."""
        with self._changed:
            cold = self._cold(frozenset(names))
            staying = (self._holding.names | frozenset(names)) - frozenset(cold)
            return sum(self._sizes[name] for name in staying) if cold else None

    def close(self) -> None:
        """Give all room back; no model may be in use."""
        with self._changed:
            self._evict([resident.name for resident in self._holding.residents])

    def _look_ahead(self, queue: tuple[str, ...]) -> None:
        self._queue = queue
        self._mover.foresee(queue)

    def _widen(self, names: Sequence[str]) -> None:
        """A budget that shrank for one model gives way to what another cannot do without."""
        whole = replace(self._holding, budget_bytes=self.wanted_bytes)
        needed = needed_bytes(names, self._sizes, whole)
        self._holding = replace(self._holding, budget_bytes=max(needed, self._holding.budget_bytes))

    def _gather(self, names: frozenset[str]) -> None:
        """All of `names` onto the device, or none of them in use: so two threads never wait for each other."""
        while absent := sorted(names - self._holding.names):
            size_bytes = sum(self._sizes[name] for name in absent)
            victims = room_for(size_bytes, self._holding, self._queue, keep=names)
            if victims is None:
                self._changed.wait()
                continue
            self._evict(victims)
            for name in absent:
                self._bring(name, names)

    def _bring(self, name: str, keep: frozenset[str]) -> None:
        """Load a model; where the device refuses, the coldest leave one by one until it does not."""
        while name not in self._holding.names:
            try:
                self._mover.bring(name)
            except OutOfVram:
                self.moves = replace(self.moves, failed_loads=self.moves.failed_loads + 1)
                cold = self._cold(keep)
                if not cold:
                    raise
                self._evict(cold[:1])
            else:
                self._lay(name)
                self.moves = replace(self.moves, loads=self.moves.loads + 1)

    def _lay(self, name: str) -> None:
        new = Resident(name, self._sizes[name], self._uses, name in self._pinned)
        self._holding = self._holding.with_resident(new)

    def _evict(self, names: Sequence[str]) -> None:
        for name in names:
            self._mover.evict(name)
            self._holding = self._holding.without([name])
            self.moves = replace(self.moves, evictions=self.moves.evictions + 1)

    def _cold(self, keep: frozenset[str] = frozenset()) -> tuple[str, ...]:
        movable = [resident for resident in self._holding.residents if resident.movable]
        return tuple(r.name for r in coldest_first(movable, self._queue) if r.name not in keep)

    def _count_user(self, name: str, change: int) -> None:
        self._uses += 1
        resident = self._holding.find(name)
        self._holding = self._holding.with_resident(
            replace(resident, users=resident.users + change, last_use=self._uses)
        )


def _after(queue: tuple[str, ...], used: Sequence[str]) -> tuple[str, ...]:
    """`queue` without the uses at its front that have just happened."""
    left = list(used)
    while queue and queue[0] in left:
        left.remove(queue[0])
        queue = queue[1:]
    return queue
