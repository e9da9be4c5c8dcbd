"""Whose turn it is: items wait until they were looked at, then go by priority, fair share and length; knows no thread.

An item that shows what an earlier one shows is its duplicate: it waits for that one's end.  "Earlier"
must not depend on who was looked at first, so an item goes only when all before it were looked at.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from cluster.manifest.values import Item
from pipeline.job import RenderJob
from pipeline.look import Look


@dataclass(frozen=True)
class Turn:
    """An item to go on with; `like` is the finished item whose output it takes over."""

    item: Item
    look: Look
    like: Item | None = None


@dataclass(eq=False)
class _Waiting:
    item: Item
    look: Look | None = None
    settled: bool = False
    "Refused, admitted or told to be a duplicate: no longer a candidate."
    like: Item | None = None
    not_before: float = 0.0


@dataclass
class Admission:
    """The items of a run, in the order in which they are looked at: what has no output yet, priority, then line."""

    items: Sequence[Item]
    outputs_there: Collection[str] = frozenset()
    "Those seem to be done: looked at last, so that a run that is resumed goes on at once."
    _waiting: dict[str, _Waiting] = field(init=False)
    _first_of: dict[object, Item] = field(default_factory=dict, init=False)
    _looked: int = field(default=0, init=False)
    _order: list[_Waiting] = field(init=False)
    _share: dict[str, float] = field(default_factory=dict, init=False)
    _finished: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._order = [_Waiting(item) for item in sorted(self.items, key=self._look_rank)]
        self._waiting = {waiting.item.name: waiting for waiting in self._order}

    def _look_rank(self, item: Item) -> tuple[bool, int, int]:
        return (self._seems_done(item), -item.priority, item.line)

    def _seems_done(self, item: Item) -> bool:
        return not item.job.overwrite and item.job.output in self.outputs_there

    @property
    def seem_done(self) -> tuple[Item, ...]:
        """Items whose outputs are there, whoever made them."""
        return tuple(item for item in self.in_order if self._seems_done(item))

    @property
    def in_order(self) -> tuple[Item, ...]:
        return tuple(waiting.item for waiting in self._order)

    def recalled(self, item: Item, look: Look) -> None:
        """The item was done by an earlier run: it has no turn, and what shows the same takes over its output."""
        self.refused(item)
        if look.content:
            self._first_of.setdefault(_what(item.job, look), item)

    def knows(self, item: Item) -> bool:
        """Whether the item needs no look any more."""
        waiting = self._waiting[item.name]
        return waiting.settled or waiting.look is not None

    def looked(self, item: Item, look: Look) -> None:
        self._waiting[item.name].look = look
        self._settle_order()

    def refused(self, item: Item) -> None:
        """The item has no turn."""
        self._waiting[item.name].settled = True
        self._finished.add(item.name)
        self._settle_order()

    def _settle_order(self) -> None:
        while self._looked < len(self._order):
            waiting = self._order[self._looked]
            if waiting.look is None and not waiting.settled:
                return
            self._looked += 1
            if waiting.look is not None and waiting.look.content:
                first = self._first_of.setdefault(_what(waiting.item.job, waiting.look), waiting.item)
                waiting.like = first if first is not waiting.item else None

    def next(self, now: float) -> Turn | None:
        """The item whose turn it is now; None where none can go yet."""
        ready = [waiting for waiting in self._order[: self._looked] if self._can_go(waiting, now)]
        if not ready:
            return None
        chosen = min(ready, key=self._rank)
        chosen.settled = True
        assert chosen.look is not None
        item = chosen.item
        self._share[item.group] = self._share.get(item.group, 0.0) + chosen.look.megapixels / item.weight
        return Turn(item, chosen.look, chosen.like)

    def _can_go(self, waiting: _Waiting, now: float) -> bool:
        if waiting.settled or waiting.look is None or waiting.not_before > now:
            return False
        return waiting.like is None or waiting.like.name in self._finished

    def _rank(self, waiting: _Waiting) -> tuple[float, float, float, int]:
        item, look = waiting.item, waiting.look
        megapixels = look.megapixels if look else 0.0
        return (-item.priority, self._share.get(item.group, 0.0), -megapixels, item.line)

    def defer(self, item: Item, until: float) -> None:
        """Another driver is at it: its turn comes again, after everything else that can go."""
        waiting = self._waiting[item.name]
        waiting.settled, waiting.not_before = False, until
        if waiting.look is not None:
            self._share[item.group] -= waiting.look.megapixels / item.weight

    def finished(self, item: Item) -> None:
        self._finished.add(item.name)

    @property
    def over(self) -> bool:
        """True where every item had its turn."""
        return all(waiting.settled for waiting in self._order)

    @property
    def not_looked_at(self) -> int:
        return sum(1 for waiting in self._order if waiting.look is None and not waiting.settled)


def _what(job: RenderJob, look: Look) -> object:
    """Equal for jobs whose outputs show the same."""
    return (look.content, replace(job, source="", output="", work=None), job.output.rpartition(".")[2])
