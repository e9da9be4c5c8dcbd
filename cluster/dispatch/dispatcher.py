"""Hands units to cells: one thread that hears what journeys ask and what cells tell, and lets the scheduler decide."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any, cast

from cluster.dispatch.idle import IdleAccount
from cluster.dispatch.journal import Journal
from cluster.dispatch.tickets import Ticket, given_up
from cluster.events import (
    CellDraining,
    CellStarted,
    CellStopped,
    FramesPassed,
    LeaseBegan,
    LeaseEnded,
    Noted,
    UnitDone,
)
from cluster.fleet.values import CellDown, CellDrains, CellUp, Ended, Fleet, Passed, Shortage, Yielded
from cluster.scheduling.scheduler import Scheduler
from cluster.scheduling.values import Attempt, Cancel, Failure, GiveUp, Start, Unit
from pipeline.part import Part
from pipeline.pool import Decision
from tasks.errors import ResourceShortage, SegmentError

log = logging.getLogger("reelyard")

#: The loop turns at least this often: idle seconds are counted, stalls are looked for.
_TURN_SECONDS = 2.5
#: Messages that come within so long of one another are heard together: every turn costs a millisecond, and a cell
#: that waits for its next lease has another in flight.
_TOGETHER_SECONDS = 0.03
#: An attempt without a frame for so long is taken to hang; before its first frame models may load.
STALL_SECONDS, FIRST_FRAME_SECONDS = 300.0, 900.0
#: Units that are worth one cell more.
_UNITS_A_CELL = 2
#: A cancelled attempt that gives no sign for so long is done with.
_GONE_SECONDS = 60.0


@dataclass(eq=False)
class _Running:
    """An attempt on its way."""

    attempt: Attempt
    ticket: Ticket
    heard: float
    "When it last gave a sign."
    moved: bool = False
    cancelled: str = ""
    "Why, where it was."


@dataclass(frozen=True)
class _Asked:
    ticket: Ticket


@dataclass(frozen=True)
class _Withdrawn:
    video: str


class Dispatcher:
    """Between the journeys' threads and a fleet; all state is touched by its own thread alone."""

    def __init__(
        self,
        fleet: Fleet,
        scheduler: Scheduler,
        journal: Journal,
        *,
        why_no_work: Callable[[], str] = lambda: "no work ready",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`why_no_work`: what journeys are busy with while no unit is queued, for the account of idle slots."""
        self._fleet = fleet
        self._scheduler = scheduler
        self._journal = journal
        self._clock = clock
        self._inbox = cast("Queue[Any]", fleet.told)
        self._tickets: dict[tuple[str, str], Ticket] = {}
        self._running: dict[int, _Running] = {}
        self._idle = IdleAccount(journal, why_no_work)
        self._shortage: str | None = None
        self._slots: dict[str, int] = {}
        self._wanted = 1
        self._more_asked = False
        self._stalls_looked_for = clock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="dispatch")
        self._thread.start()

    @property
    def slots(self) -> int:
        """Of all cells that stand."""
        return sum(self._slots.values())

    def ask(self, ticket: Ticket) -> None:
        """Have the units of a ticket worked on; one ticket for scanning and one for rendering a video at a time."""
        self._inbox.put(_Asked(ticket))

    def withdraw(self, video: str) -> None:
        """Drop what is queued of a video and end what runs."""
        self._inbox.put(_Withdrawn(video))

    def close(self) -> None:
        """End the thread; attempts on their way are cancelled."""
        self._closed.set()
        self._inbox.put(None)
        self._thread.join(timeout=30.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._turn()
            except Exception as error:
                log.exception("the dispatcher failed")
                self._fail_all(SegmentError(f"the dispatcher failed: {error!r}; please report this", "dispatch"))
        for number in list(self._running):
            self._fleet.cancel(number)
        self._idle.close(self._clock())

    def _turn(self) -> None:
        for message in self._messages():
            self._hear(message)
        now = self._clock()
        if now - self._stalls_looked_for >= _TURN_SECONDS:
            self._stalls_looked_for = now
            self._end_stalled(now)
        for decision in self._scheduler.decide(now):
            self._carry_out(decision, now)
        self._idle.count(self._scheduler.idle(now), now)
        self._fleet.tell_queue(self._scheduler.queued() > 0)
        if self._more_asked:
            self._more_asked = False
            self._grow()

    def _grow(self) -> None:
        """Ask for a cell for every two units that wait or run; what was asked for once is not given back."""
        units = self._scheduler.queued() + sum(len(running.attempt.units) for running in self._running.values())
        if (cells := -(-units // _UNITS_A_CELL)) > self._wanted:
            self._wanted = cells
            self._fleet.want(cells)

    def _messages(self) -> list[Any]:
        """All that wait; blocks until there is one, or time alone may change the answer.

        What comes together, as the last part of a lease and its end, is heard in one turn.
        """
        wake = self._scheduler.wake(self._clock())
        patience = _TURN_SECONDS if wake is None else min(_TURN_SECONDS, max(0.005, wake - self._clock()))
        found = []
        try:
            found.append(self._inbox.get(timeout=patience))
            time.sleep(_TOGETHER_SECONDS)
            while True:
                found.append(self._inbox.get_nowait())
        except Empty:
            return found

    def _hear(self, message: Any) -> None:
        handlers: Mapping[type, Callable[[Any, float], None]] = {
            _Asked: self._asked, _Withdrawn: self._withdrawn, Passed: self._passed, Yielded: self._yielded,
            Ended: self._ended, CellUp: self._cell_up, CellDrains: self._cell_drains, CellDown: self._cell_down,
            Shortage: self._short,
        }  # fmt: skip
        if message is not None:
            handlers[type(message)](message, self._clock())

    def _asked(self, asked: _Asked, now: float) -> None:
        ticket = asked.ticket
        self._more_asked = True
        if self._shortage is not None:
            ticket.results.put(ResourceShortage(self._shortage))
            return
        self._tickets[ticket.video.name, ticket.units[0].work] = ticket
        self._scheduler.add(
            ticket.video, ticket.units, now, together=ticket.together, later_megapixels=ticket.later_megapixels
        )

    def _withdrawn(self, withdrawn: _Withdrawn, now: float) -> None:
        for key in [key for key in self._tickets if key[0] == withdrawn.video]:
            del self._tickets[key]
        self._scheduler.withdraw(withdrawn.video, now)

    def _passed(self, passed: Passed, now: float) -> None:
        running = self._running.get(passed.attempt)
        if running is None:
            return
        running.heard, running.moved = now, True
        attempt = running.attempt
        self._scheduler.passed(passed.attempt, passed.frames, now)
        if attempt.duplicate_of is None:
            running.ticket.progress(attempt.work, passed.frames)
            self._journal.tell(FramesPassed, attempt.work, passed.frames, attempt.video, attempt.number)

    def _yielded(self, yielded: Yielded, now: float) -> None:
        running = self._running.get(yielded.attempt)
        if running is None:
            return
        running.heard, running.moved = now, True
        attempt = running.attempt
        results = {r.segment if isinstance(r, Part) else r.number: r for r in yielded.results}
        units = [unit for unit in attempt.units if unit.number in results]
        for unit in self._scheduler.units_done(attempt.number, units, now):
            result = results[unit.number]
            running.ticket.results.put(result)
            size = result.bytes if isinstance(result, Part) else 0
            self._journal.tell(UnitDone, attempt.number, attempt.video, attempt.work, unit.number, unit.frames, size)

    def _ended(self, ended: Ended, now: float) -> None:
        running = self._running.pop(ended.attempt, None)
        if running is None:
            return
        error = ended.error
        failure = None if error is None else Failure(error.kind, error.stage, error.worker, error.message)
        if running.cancelled:
            failure = Failure("Stopped", "", "", running.cancelled)
        self._scheduler.ended(ended.attempt, failure, now)
        self._tell_end(running, failure)

    def _tell_end(self, running: _Running, failure: Failure | None) -> None:
        attempt = running.attempt
        if failure is None:
            self._journal.tell(LeaseEnded, attempt.number, "done")
            return
        outcome = {"Stopped": "cancelled", "WorkerLost": "lost"}.get(failure.kind, "failed")
        self._journal.tell(
            LeaseEnded, attempt.number, outcome, failure.stage, failure.worker, failure.kind, failure.message
        )
        if outcome != "cancelled":
            what = f"{'segment' if attempt.work == 'render' else 'scan unit'} {attempt.units[0].number}"
            running.ticket.failed |= {unit.number: failure.message for unit in attempt.units}
            self._journal.tell(Noted, "failure", failure.kind, failure.message, attempt.video)
            log.warning("%s, %s on %s: %s", attempt.video, what, attempt.cell, failure.message)

    def _cell_up(self, up: CellUp, now: float) -> None:
        cell = up.cell
        self._shortage = None
        self._slots[cell.name] = cell.slots
        self._scheduler.cell_up(cell, now)
        self._journal.tell(CellStarted, cell.name, cell.node, cell.kind, cell.slots)

    def _cell_drains(self, drains: CellDrains, now: float) -> None:
        self._scheduler.cell_draining(drains.cell, now + drains.deadline_seconds, now)
        self._journal.tell(CellDraining, drains.cell, drains.deadline_seconds)

    def _cell_down(self, down: CellDown, now: float) -> None:
        lost = [running for running in self._running.values() if running.attempt.cell == down.cell]
        self._slots.pop(down.cell, None)
        self._scheduler.cell_down(down.cell, now)
        for running in lost:
            del self._running[running.attempt.number]
            self._tell_end(running, Failure("WorkerLost", "", down.cell, f"{down.cell} is gone: {down.reason}"))
        self._journal.tell(CellStopped, down.cell, down.reason)

    def _short(self, shortage: Shortage, now: float) -> None:
        self._shortage = shortage.message
        self._fail_all(ResourceShortage(shortage.message))

    def _fail_all(self, error: Exception) -> None:
        for ticket in self._tickets.values():
            ticket.results.put(error)  # type: ignore[arg-type]
        self._tickets.clear()

    def _end_stalled(self, now: float) -> None:
        """No run sits at 99 %: what gives no sign is ended, and what does not end is done with."""
        for number, running in list(self._running.items()):
            silent = now - running.heard
            if running.cancelled:
                if silent > _GONE_SECONDS:
                    self._ended(Ended(number), now)
            elif silent > (STALL_SECONDS if running.moved else FIRST_FRAME_SECONDS):
                cell = running.attempt.cell
                message = f"{cell} gave no frame for {silent:.0f} s"
                self._fleet.cancel(number)
                self._ended(Ended(number, SegmentError(message, "cell", cell, "WorkerLost")), now)

    def _carry_out(self, decision: Start | Cancel | GiveUp, now: float) -> None:
        if isinstance(decision, Start):
            self._start(decision.attempt, now)
        elif isinstance(decision, GiveUp):
            self._give_up(decision)
        elif (running := self._running.get(decision.attempt)) is not None and not running.cancelled:
            running.cancelled, running.heard = decision.reason, now
            self._fleet.cancel(decision.attempt)

    def _start(self, attempt: Attempt, now: float) -> None:
        ticket = self._tickets.get((attempt.video, attempt.work))
        if ticket is None:  # Withdrawn in the same turn.
            self._scheduler.ended(attempt.number, Failure("Stopped", "", "", "withdrawn"), now)
            return
        self._running[attempt.number] = _Running(attempt, ticket, now)
        for unit in attempt.units:
            if (message := ticket.failed.pop(unit.number, None)) is not None:
                what = f"{'segment' if unit.work == 'render' else 'scan unit'} {unit.number}"
                ticket.decisions.append(Decision("retry", what, message))
        self._fleet.start(attempt, ticket.work_of([unit.number for unit in attempt.units]))
        self._journal.tell(
            LeaseBegan, attempt.number, attempt.cell, attempt.video, attempt.work,
            tuple(unit.number for unit in attempt.units), sum(unit.frames for unit in attempt.units),
            attempt.duplicate_of, attempt.on_cpu,
        )  # fmt: skip

    def _give_up(self, decision: GiveUp) -> None:
        unit = decision.unit
        ticket = self._tickets.pop((unit.video, unit.work), None)
        if ticket is not None:
            place = f"{'segment' if unit.work == 'render' else 'scan unit'} {unit.number}"
            ticket.results.put(given_up(unit, decision.failures, decision.quarantined, place + ticket.frames_of(unit)))


__all__ = ["Dispatcher", "Unit"]
