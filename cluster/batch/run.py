"""A batch from its items to its end: looks ahead, gives turns, waits; one bad video never harms the others."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cluster.batch.admission import Admission, Turn
from cluster.batch.ahead import LookAhead
from cluster.batch.journeys import DEFER_SECONDS, Journey, Means
from cluster.dispatch.dispatcher import Dispatcher
from cluster.dispatch.journal import Journal
from cluster.events import FINAL_PHASES, Event, Noted, RunBegan, RunEnded, VideoChanged
from cluster.fleet.values import Fleet
from cluster.manifest.values import Item
from cluster.scheduling.scheduler import Scheduler
from pipeline.claims import RENEW_SECONDS, Claims, Owner
from pipeline.storage import Storage

log = logging.getLogger("reelyard")

#: Journeys open at once: so many for each slot, and so many more, to have the next units ready.
_JOURNEYS_A_SLOT, _JOURNEYS_MORE, _MOST_JOURNEYS = 2, 6, 1024
#: How long the next turn is waited for where nothing tells that there is one: another driver's item may be free.
_TURN_SECONDS = 1.0
#: How long what runs may take to end when a run is stopped.
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class BatchSettings:
    """How a batch goes, whatever its items."""

    command: str = "reelyard batch"
    "As a person would type it to go on."
    most_journeys: int | None = None
    "Videos in flight at once; by the number of slots where not given."


class Batch:
    """One run over items; `run` blocks until every item has ended."""

    def __init__(
        self,
        items: Sequence[Item],
        fleet: Fleet,
        journal: Journal,
        storage: Storage,
        remedy: Callable[[Item], str],
        settings: BatchSettings = BatchSettings(),
        outputs_there: Collection[str] = frozenset(),
    ) -> None:
        self._items = items
        self._journal = journal
        self._settings = settings
        self._admission = Admission(items, outputs_there)
        self._turns = threading.Condition()
        self._open: dict[str, Journey] = {}
        self._phases: dict[str, str] = {}
        journal.listen(self._hear)
        dispatcher = Dispatcher(fleet, Scheduler(), journal, why_no_work=self._busy_with)
        claims = Claims(storage, Owner.here())
        self._means = Means(dispatcher, fleet, journal, storage, claims, remedy)
        self._ahead = LookAhead(self._means, self._admission, self._turns)

    def _hear(self, event: Event) -> None:
        """Keeps the phase of every video."""
        if isinstance(event, VideoChanged):
            self._phases[event.video] = event.phase

    def run(self) -> dict[str, str]:
        """The last phase of every item, by name; on KeyboardInterrupt what runs is ended first."""
        self._journal.tell(RunBegan, len(self._items), _now(), self._settings.command)
        for item in self._items:
            self._journal.tell(VideoChanged, item.name, "waiting", item.job.source, item.job.output)
        status = "stopped"
        try:
            with self._renewing_claims():
                self._work()
            status = _status(self._phases)
        finally:
            self._means.dispatcher.close()
            for decision in self._means.fleet.decisions:
                self._journal.tell(Noted, decision.what, decision.choice, decision.reason)
            self._journal.tell(RunEnded, status)
        return dict(self._phases)

    def _work(self) -> None:
        looks = self._ahead.begin()
        journeys: list[threading.Thread] = []
        try:
            while not self._admission_over():
                journeys = [thread for thread in journeys if thread.is_alive()]
                turn = self._next_turn(room=len(journeys) < self._most_journeys())
                if turn is not None:
                    journeys.append(self._begin(turn))
            for thread in journeys:
                while thread.is_alive():
                    thread.join(timeout=0.5)
        except BaseException:
            self._end([*looks, *journeys])
            raise

    def _admission_over(self) -> bool:
        with self._turns:
            return self._admission.over and not self._open

    def _next_turn(self, room: bool) -> Turn | None:
        with self._turns:
            turn = self._admission.next(time.monotonic()) if room else None
            if turn is None:
                self._turns.wait(timeout=_TURN_SECONDS)
            return turn

    def _most_journeys(self) -> int:
        if self._settings.most_journeys is not None:
            return self._settings.most_journeys
        return min(_MOST_JOURNEYS, _JOURNEYS_A_SLOT * self._means.dispatcher.slots + _JOURNEYS_MORE)

    def _begin(self, turn: Turn) -> threading.Thread:
        journey = Journey(self._means, turn)
        with self._turns:
            self._open[turn.item.name] = journey
        thread = threading.Thread(target=self._travel, args=(turn, journey), daemon=True, name="journey")
        thread.start()
        return thread

    def _travel(self, turn: Turn, journey: Journey) -> None:
        ended = True
        try:
            ended = journey.run()
        finally:
            with self._turns:
                del self._open[turn.item.name]
                if ended:
                    self._admission.finished(turn.item)
                else:
                    self._admission.defer(turn.item, time.monotonic() + DEFER_SECONDS)
                self._turns.notify_all()

    def _busy_with(self) -> str:
        """What videos are busy with while no unit is queued."""
        phases = Counter(self._phases.values())
        for phase in ("scanning", "probing", "stitching"):
            if phases[phase]:
                return phase
        return "waiting for a first look" if self._admission.not_looked_at else "nothing left to start"

    @contextmanager
    def _renewing_claims(self) -> Iterator[None]:
        over = threading.Event()

        def renew() -> None:
            while not over.wait(RENEW_SECONDS):
                self._means.claims.renew()

        thread = threading.Thread(target=renew, daemon=True, name="claims")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=5.0)

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        self._ahead.stop()
        with self._turns:
            journeys = list(self._open.values())
        for journey in journeys:
            journey.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))


def _status(phases: dict[str, str]) -> str:
    bad = sum(1 for phase in phases.values() if phase in ("failed", "refused"))
    if any(phase not in FINAL_PHASES or phase == "stopped" for phase in phases.values()):
        return "stopped"
    return "rendered" if not bad else "failed" if bad == len(phases) else "partial"


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")
