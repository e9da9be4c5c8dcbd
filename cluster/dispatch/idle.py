"""The account of slots that stand free, by cell and reason; told now and then, so that its sums are exact."""

from collections.abc import Callable, Mapping

from cluster.dispatch.journal import Journal
from cluster.events import SlotsIdle

#: How often sums are told.
_TELL_SECONDS = 5.0
#: What the scheduler says where nothing is queued: the journeys know what they are busy with.
NO_WORK = "no work ready"


class IdleAccount:
    """Fed with what is free at a moment; that is taken to hold until the next moment."""

    def __init__(self, journal: Journal, why_no_work: Callable[[], str]) -> None:
        self._journal = journal
        self._why = why_no_work
        self._free: Mapping[str, tuple[str, int]] = {}
        self._since: float | None = None
        self._told = 0.0
        self._sums: dict[tuple[str, str], float] = {}

    def count(self, free: Mapping[str, tuple[str, int]], now: float) -> None:
        """`free`: cell -> (reason, slots) from `now` on."""
        self._add(now)
        why = self._why() if any(reason == NO_WORK for reason, _ in free.values()) else ""
        self._free = {cell: (why if reason == NO_WORK else reason, n) for cell, (reason, n) in free.items()}
        if now - self._told >= _TELL_SECONDS:
            self._tell(now)

    def close(self, now: float) -> None:
        self._add(now)
        self._tell(now)

    def _add(self, now: float) -> None:
        if self._since is not None:
            for cell, (reason, slots) in self._free.items():
                key = (cell, reason)
                self._sums[key] = self._sums.get(key, 0.0) + slots * (now - self._since)
        self._since = now

    def _tell(self, now: float) -> None:
        for (cell, reason), seconds in self._sums.items():
            self._journal.tell(SlotsIdle, cell, reason, round(seconds, 3))
        self._sums.clear()
        self._told = now
