"""Which models stay on a device of so many bytes, as pure choices over frozen values; knows no torch.

One rule decides every eviction: the model whose next use is farthest goes first.  The known queue is
the future; what does not stand in it comes after all that does, the least recently used of it first.
So a complete queue gives Belady's order and an empty one plain LRU.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tasks.errors import OutOfVram


@dataclass(frozen=True)
class Resident:
    """A model that lies on the device."""

    name: str
    size_bytes: int
    last_use: int = 0
    "Grows with every use; compared only, never measured."
    pinned: bool = False
    "Stays whatever comes."
    users: int = 0
    "Renders that run with it now; above 0 it cannot go."

    @property
    def movable(self) -> bool:
        return not self.pinned and not self.users


@dataclass(frozen=True)
class Holding:
    """What lies on one device, and how much may."""

    budget_bytes: int
    residents: tuple[Resident, ...] = ()

    @property
    def used_bytes(self) -> int:
        return sum(resident.size_bytes for resident in self.residents)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(resident.name for resident in self.residents)

    def find(self, name: str) -> Resident:
        return next(resident for resident in self.residents if resident.name == name)

    def with_resident(self, new: Resident) -> "Holding":
        return replace(self, residents=(*self.without([new.name]).residents, new))

    def without(self, names: Iterable[str]) -> "Holding":
        gone = frozenset(names)
        return replace(self, residents=tuple(r for r in self.residents if r.name not in gone))


@dataclass(frozen=True)
class Move:
    """Models that leave, in order, and then the one that comes."""

    evict: tuple[str, ...]
    bring: str


@dataclass(frozen=True)
class Budget:
    """What models may fill: the device's free memory less what rendering itself takes."""

    free_bytes: int
    "Truly free at start, as the driver tells it, other processes counted."
    activation_bytes: int
    "The most that one batch takes besides the models, measured for each model, batch and resolution."
    share: float = 1.0
    "Of the device: below 1 where several actors render on it."
    headroom: float = 0.05
    "Of the free memory, for what allocators lose between blocks."

    @property
    def model_bytes(self) -> int:
        return max(0, int(self.free_bytes * self.share * (1 - self.headroom)) - self.activation_bytes)

    def __str__(self) -> str:
        """The arithmetic, for the start of a run and for `doctor`."""
        return (
            f"{_gb(self.model_bytes)} for models = {_gb(self.free_bytes)} free × {self.share:.2f} share "
            f"× {1 - self.headroom:.2f} − {_gb(self.activation_bytes)} for a batch"
        )


def room_for(
    size_bytes: int, holding: Holding, queue: Sequence[str], keep: frozenset[str] = frozenset()
) -> tuple[str, ...] | None:
    """Whom to evict so that `size_bytes` more fit, farthest next use first; None where it cannot be now.

    `queue` names the models in the order in which they will be used, as far as that is known.
    Nothing pinned, in use or in `keep` is ever named, and nobody whose room is not needed.
    """
    missing = holding.used_bytes + size_bytes - holding.budget_bytes
    movable = [resident for resident in holding.residents if resident.movable and resident.name not in keep]
    if missing > sum(resident.size_bytes for resident in movable):
        return None
    chosen: list[Resident] = []
    for resident in coldest_first(movable, queue):
        if missing <= 0:
            break
        chosen.append(resident)
        missing -= resident.size_bytes
    return tuple(resident.name for resident in _without_spare(chosen, -missing))


def coldest_first(residents: Iterable[Resident], queue: Sequence[str]) -> list[Resident]:
    """Farthest next use first; those not in `queue` before all others, least recently used first."""
    first = _first_uses(queue)
    return sorted(residents, key=lambda r: (-first.get(r.name, len(queue)), r.last_use, r.name))


def next_prefetch(holding: Holding, queue: Sequence[str], sizes: Mapping[str, int]) -> Move | None:
    """The model to bring before it is asked for: the first of `queue` that is absent, if that costs nothing.

    Only those leave for it whose own next use comes later; None where it has no room on these terms, since
    one further down the queue must not take the room from it.
    """
    absent = next((name for name in queue if name not in holding.names and name in sizes), None)
    if absent is None:
        return None
    sooner = frozenset(queue[: queue.index(absent)])
    victims = room_for(sizes[absent], holding, queue, keep=sooner)
    return None if victims is None else Move(victims, absent)


def room_in_host(
    name: str, size_bytes: int, host: Holding, queue: Sequence[str], lent: frozenset[str] = frozenset()
) -> tuple[str, ...] | None:
    """Whose blocks leave host memory for files so that `name`'s stays there too; None where that costs more.

    `lent` lie on the device: whatever comes next, they are brought again only after they were evicted, so their
    blocks go first.  Of the others those go that are used last, and none that is used sooner than `name`.
    """
    future = [one for one in queue if one not in lent]
    victims = room_for(size_bytes, host.without([name]), future)
    if victims is None:
        return None
    first = _first_uses(future)
    own = first.get(name, len(future))
    return victims if all(first.get(victim, len(future)) >= own for victim in victims) else None


def needed_bytes(names: Sequence[str], sizes: Mapping[str, int], holding: Holding) -> int:
    """Bytes of models that are used together and of the pinned ones beside them.

    Raises:
        OutOfVram: they never fit, whatever leaves.
    """
    together = frozenset(names) | {resident.name for resident in holding.residents if resident.pinned}
    needed = sum(sizes[name] for name in together)
    if needed > holding.budget_bytes:
        raise OutOfVram(
            f"{', '.join(sorted(together))} take {_gb(needed)} together, but the device's budget for models is "
            f"{_gb(holding.budget_bytes)}; use a GPU with more memory, a larger share of this one (--gpus-per-cell), "
            "or --device cpu"
        )
    return needed


def _first_uses(queue: Sequence[str]) -> dict[str, int]:
    return {name: position for position, name in reversed(list(enumerate(queue)))}


def _without_spare(chosen: Sequence[Resident], spare_bytes: int) -> list[Resident]:
    """`chosen` less those, the soonest used first, whose room is not needed after all."""
    kept: list[Resident] = []
    for resident in reversed(chosen):
        if resident.size_bytes <= spare_bytes:
            spare_bytes -= resident.size_bytes
        else:
            kept.append(resident)
    return kept[::-1]


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 10_000_000 else f"{size_bytes:,} bytes"
