"""Networks' blocks that a device can be given: in host memory as far as a budget goes, the others in files.

Weights never change, so a block is written once and then only dropped.  A file has no name: the system takes it back
when its process ends, however that ends, and nobody else ever sees it.  Its block is mapped, so what is read of it is
the system's to drop again.
"""

import logging
import mmap
import tempfile
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tasks.residency.policy import Holding, Resident, room_in_host

log = logging.getLogger("reelyard")


class HostBlocks:
    """Blocks by name, each from `keep` to `forget`."""

    def __init__(
        self,
        budget_bytes: int,
        *,
        pinned: bool,
        moved: Callable[[str, Tensor], None],
        tell: Callable[[str], None] = log.info,
    ) -> None:
        """`moved` is given each block that lies elsewhere from then on; `tell` what a report should say."""
        self._holding = Holding(budget_bytes)
        self._pinned, self._moved, self._tell = pinned, moved, tell
        self._memory: dict[str, Tensor] = {}
        self._files: dict[str, Tensor] = {}
        "Mapped."
        self._lent: set[str] = set()
        "Lie on the device too: nobody needs their blocks here now."
        self._queue: tuple[str, ...] = ()
        self._uses = 0
        self._lock = threading.RLock()
        self.reads = self.writes = 0
        "Of files, so far."

    @property
    def in_memory(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._memory)

    @property
    def in_files(self) -> bool:
        """Whether any block lies in a file alone."""
        with self._lock:
            return bool(self._files.keys() - self._memory.keys())

    def foresee(self, queue: Sequence[str]) -> None:
        """What the device will use, in order, as far as that is known."""
        with self._lock:
            self._queue = tuple(queue)

    def keep(self, name: str, block: Tensor) -> None:
        """Take a block over; it, or others that are needed later, may go to a file at once."""
        with self._lock:
            self._memory[name] = block
            if not self._make_room(name, block.numel(), self._queue):
                self._lay(name, block.numel())
                self._write(name)

    def forget(self, name: str) -> None:
        """Its network keeps the block that it shows; the room is given back with it."""
        with self._lock:
            self._memory.pop(name, None)
            self._files.pop(name, None)
            self._lent.discard(name)
            self._holding = self._holding.without([name])

    def block(self, name: str) -> Tensor:
        """Where it lies now; only to be read."""
        with self._lock:
            return self._memory[name] if name in self._memory else self._files[name]

    def lend(self, name: str) -> Tensor:
        """The block for a copy to the device, first read from its file into memory where that pays."""
        with self._lock:
            if name in self._memory:
                self._lay(name, self._memory[name].numel())
            else:
                mapped = self._files[name]
                stays = self._make_room(name, mapped.numel(), _after_first(self._queue, name))
                self._put(name, self.read(mapped) if stays else None)
                self.reads += 1
            self._lent.add(name)
            return self.block(name)

    def next_to_read(self) -> tuple[str, Tensor] | None:
        """The file whose block is needed soonest, if memory has room for it, which is then kept for `arrived`."""
        with self._lock:
            waiting = (name for name in self._queue if name not in self._lent and name not in self._memory)
            name = next((name for name in waiting if name in self._files), None)
            if name is None or not self._make_room(name, self._files[name].numel(), self._queue):
                return None
            return name, self._files[name]

    def read(self, mapped: Tensor) -> Tensor | None:
        """The block in memory, pinned where a GPU reads it; None where the system has none for it after all."""
        try:
            return torch.empty(mapped.shape, dtype=torch.uint8, pin_memory=self._pinned).copy_(mapped)
        except RuntimeError as error:
            self._tell(f"a network stays in its file: {str(error).splitlines()[0]}")
            return None

    def arrived(self, name: str, block: Tensor | None) -> None:
        """What `next_to_read` named was read; whoever needed it meanwhile has read it too."""
        with self._lock:
            if name not in self._memory and name in self._files:
                self.reads += 1
                wanted = name in self._holding.names and name not in self._lent
                self._put(name, block if wanted else None)

    def returned(self, name: str) -> None:
        """The device has it no more."""
        with self._lock:
            self._lent.discard(name)

    def _make_room(self, name: str, size_bytes: int, queue: Sequence[str]) -> bool:
        """Whether it is to stay in memory; those that it takes the place of have then left."""
        victims = room_in_host(name, size_bytes, self._holding, queue, frozenset(self._lent))
        if victims is None:
            return False
        for victim in victims:
            self._write(victim)
        self._lay(name, size_bytes)
        return True

    def _put(self, name: str, block: Tensor | None) -> None:
        """Into the room that was made for it, or that room given back."""
        if block is None:
            self._holding = self._holding.without([name])
        else:
            self._memory[name] = block
            self._moved(name, block)

    def _lay(self, name: str, size_bytes: int) -> None:
        self._uses += 1
        self._holding = self._holding.with_resident(Resident(name, size_bytes, self._uses))

    def _write(self, name: str) -> None:
        """Out of memory; a disk that has no room for it leaves it there."""
        block = self._memory.get(name)
        if block is None:  # Still being read: its room is another's now, and `arrived` finds none.
            self._holding = self._holding.without([name])
            return
        if name not in self._files:
            try:
                self._files[name] = _mapped(block)
            except OSError as error:
                self._tell(f"{name} stays in host memory: no file in {tempfile.gettempdir()} can hold it: {error}")
                return
            self.writes += 1
            self._tell(f"{name} waits in a file: host memory for networks is {self._holding.budget_bytes:,} bytes")
        del self._memory[name]
        self._holding = self._holding.without([name])
        self._moved(name, self._files[name])


def _mapped(block: Tensor) -> Tensor:
    """The same bytes in a file without a name."""
    with tempfile.TemporaryFile(prefix="reelyard-") as file:
        file.write(block.numpy().data)
        file.flush()
        # Copy on write only for torch's sake, which warns of memory that it may not write to: nobody does.
        view = mmap.mmap(file.fileno(), block.numel(), access=mmap.ACCESS_COPY)
    return torch.frombuffer(view, dtype=torch.uint8)


def _after_first(queue: Sequence[str], name: str) -> tuple[str, ...]:
    """The queue once its next use of `name` is over."""
    if name not in queue:
        return tuple(queue)
    at = queue.index(name)
    return (*queue[:at], *queue[at + 1 :])
