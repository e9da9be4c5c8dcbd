"""A pretend card: a budget in bytes, allocation failures at any call, and a record of what lay on it."""

from collections.abc import Iterable, Mapping, Sequence

from tasks.errors import OutOfVram


class Card:
    """A mover whose device has `capacity_bytes`; the calls numbered in `failing` fail, counted from 0."""

    def __init__(self, sizes: Mapping[str, int], capacity_bytes: int, failing: Iterable[int] = ()) -> None:
        self.sizes = dict(sizes)
        self.capacity_bytes = capacity_bytes
        self.failing = frozenset(failing)
        self.calls = 0
        self.here: set[str] = set()
        self.peak_bytes = 0
        self.brought: list[str] = []

    @property
    def used_bytes(self) -> int:
        return sum(self.sizes[name] for name in self.here)

    def bring(self, name: str) -> None:
        assert name not in self.here, "brought twice"
        self.allocate(self.sizes[name])
        self.here.add(name)
        self.brought.append(name)
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def settle(self, name: str) -> None:
        assert name in self.here

    def evict(self, name: str) -> None:
        self.here.remove(name)

    def foresee(self, queue: Sequence[str]) -> None:
        self.foreseen = tuple(queue)

    def allocate(self, size_bytes: int) -> None:
        """Room beside the models, given back at once."""
        call, self.calls = self.calls, self.calls + 1
        if call in self.failing or self.used_bytes + size_bytes > self.capacity_bytes:
            raise OutOfVram(f"call {call} found no {size_bytes} bytes")
