"""Which cell works on what, and when; driven by a run and by a simulator alike, and knows neither.

The caller tells what happens and asks `decide` after every change and at `wake`; the same calls give the same
decisions.  Units of a lease that have not begun are taken over by a free slot as a Start of them elsewhere
(`duplicate_of` names the attempt); the first attempt is told to end, by a Cancel, when all else it had is done.
"""

import heapq
from collections.abc import Mapping, Sequence

from cluster.scheduling import learning
from cluster.scheduling.answers import Again, Stop, answer
from cluster.scheduling.books import Books
from cluster.scheduling.order import Level, pop_lease
from cluster.scheduling.placing import DRAINING, Choice, Placing, left_of
from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.state import Bundle, CellState, Record, Running, VideoState, key_of
from cluster.scheduling.tail import Tail
from cluster.scheduling.values import Attempt, Cancel, Cell, Decision, Failure, GiveUp, Unit, Video

_USUAL = SchedulerSettings()


class Scheduler:
    """`now` is in seconds of one clock that never goes back."""

    def __init__(self, settings: SchedulerSettings = _USUAL) -> None:
        self._settings = settings
        self._books = Books(settings)
        self._placing = Placing(self._books)
        self._tail = Tail(settings, self._books.costs, self._placing)
        self._draining: dict[str, float] = {}
        self._rests: list[float] = []
        self._next_look = 0.0

    # What happens

    def cell_up(self, cell: Cell, now: float) -> None:
        """A cell stands and may be given work."""
        self.cell_down(cell.name, now)
        self._books.open_cell(cell)

    def cell_draining(self, name: str, deadline: float, now: float) -> None:
        """A cell's node goes at `deadline`: nothing is started there that would end later."""
        if name in self._books.cells:
            self._books.cells[name].deadline = deadline
            self._draining[name] = deadline

    def cell_down(self, name: str, now: float) -> None:
        """A cell is gone with its attempts: their units go back, and one is blamed only if it was alone there."""
        self._draining.pop(name, None)
        cell = self._books.close_cell(name)
        lost = list(cell.running.values()) if cell else []
        for running in lost:
            self._books.leave(running, now)
        for running in lost:
            failure = Failure("WorkerLost", "", name, f"cell {name} went away")
            self._settle(running, failure if len(lost) == 1 else None, now)

    def add(
        self,
        video: Video,
        units: Sequence[Unit],
        now: float,
        *,
        together: bool = False,
        later_megapixels: float = 0.0,
    ) -> None:
        """Units of a video are ready.

        `together`: they are one lease, in order, and never doubled (a linear source).  `later_megapixels`: work
        of this video that will come; it replaces what was said before.
        """
        state = self._books.video(video)
        if state.closed:
            return
        fresh = tuple(unit for unit in units if key_of(unit) not in state.done)
        self._books.announce(state, later_megapixels)
        if together:
            state.together.update(map(key_of, fresh))
        self._books.ready(state, [fresh] if together and fresh else [(unit,) for unit in fresh])

    def withdraw(self, video: str, now: float) -> None:
        """Nothing more of a video is wanted; it may be added anew."""
        state = self._books.videos.pop(video, None)
        if state is not None:
            self._books.close_video(state, "its video is not wanted any more")

    def passed(self, attempt: int, frames: int, now: float) -> None:
        """So many frames more went through an attempt."""
        running = self._books.running.get(attempt)
        if running is not None:
            learning.progressed(self._books, running, frames, now)

    def units_done(self, attempt: int, units: Sequence[Unit], now: float) -> list[Unit]:
        """Units of an attempt were committed since it last told of any.

        Returns those that no other attempt had done already; none where their video is given up.
        """
        running = self._books.running.get(attempt)
        if running is not None and not running.cancelled:
            learning.finished(self._books, running, units, now)
        return [unit for unit in units if self._done(unit, running)]

    def _done(self, unit: Unit, running: Running | None) -> bool:
        state = running.video if running else self._books.videos.get(unit.video)
        key = key_of(unit)
        if state is None or state.closed or key in state.done:
            return False
        state.done.add(key)
        state.records.pop(key, None)
        for holder in list(state.holders.get(key, ())):
            if not holder.undone() and (holder is not running or holder.taken):
                self._books.cancel(holder, "the rest of it is done by another attempt")
        return True

    def ended(self, attempt: int, failure: Failure | None, now: float) -> None:
        """An attempt is over: its slot is free, what it left undone goes back."""
        running = self._books.running.get(attempt)
        if running is None:
            return
        self._books.leave(running, now)
        if failure is None or failure.kind == "Stopped":
            failure = Failure("WorkerLost", "", running.cell.cell.name, "it ended before its work was done")
        self._settle(running, failure, now)

    # What follows

    def decide(self, now: float) -> list[Decision]:
        """What to do now; each decision is told once."""
        self._expire(now)
        self._books.end_waits(now)
        if self._books.order.units and self._books.free:
            self._fill(now)
        if self._books.free and self._books.running and now >= self._next_look and not self._books.order.units:
            self._next_look = now + self._settings.look_seconds
            self._take_over(now)
        told, self._books.told = self._books.told, []
        return [one for one in told if not isinstance(one, Cancel) or one.attempt in self._books.running]

    def wake(self, now: float) -> float | None:
        """The moment at which time alone may change the answer; None: never."""
        books = self._books
        moments = [at for at in self._draining.values() if at > now]
        if books.waiting:
            moments.append(books.waiting[0][0])
        if books.order.units:
            self._rests = [at for at in self._rests if at > now]
            moments += self._rests
            moments += filter(None, [self._placing.wake(now)])
        elif books.free and books.running and len(books.cells) > 1:
            moments.append(max(now, self._next_look))
        return min(moments, default=None)

    def idle(self, now: float) -> Mapping[str, tuple[str, int]]:
        """Cell -> (why, free slots), of every cell with free slots."""
        books = self._books
        quiet = "no work ready"
        if books.waiting:
            quiet = "waiting to retry"
        elif books.running and books.later <= 0:
            quiet = "tail"
        ready = bool(books.order.units)
        found = {}
        for name, cell in books.free.items():
            why = DRAINING if cell.deadline is not None else "resting after failures" if cell.rest_until > now else ""
            found[name] = (why or (cell.declined if ready else "") or quiet, cell.free)
        for name in self._draining:
            cell = books.cells[name]
            if cell.expired and len(cell.running) < cell.cell.slots:
                found[name] = (DRAINING, cell.cell.slots - len(cell.running))
        return found

    def queued(self) -> int:
        """Units that no attempt holds, those that wait for another try included."""
        return self._books.order.units + sum(len(entry[3]) for entry in self._books.waiting)

    def running(self) -> Sequence[Attempt]:
        """In the order in which they were started."""
        return tuple(running.attempt for running in self._books.running.values())

    def remaining_seconds(self, now: float) -> float | None:
        """Until all that is known of is done, by what was measured so far; None before anything was."""
        books = self._books
        if not books.costs.learnt or not books.cells:
            return None
        served = sum(left_of(books.costs, cell, now) for cell in books.cells.values())
        for level in books.order.levels():
            served += sum(mp * books.costs.pool_rate(*kind) for kind, mp in level.megapixels.items())
        later = (video for video in books.videos.values() if video.later)
        served += sum(video.later * books.costs.pool_rate(video.video.recipe, "render") for video in later)
        pace = sum(1 / cell.slowness.value for cell in books.cells.values() if cell.deadline is None)
        return served / max(1.0, pace)

    # Leases

    def _fill(self, now: float) -> None:
        """Every free slot takes what it may; the emptiest cells first, then those that are warm, then the fastest."""
        free = self._books.free.values()
        rested = [cell for cell in free if cell.rest_until <= now]
        heap = [_turn(cell) for cell in (rested if len(self._books.cells) > 1 else free)]
        heapq.heapify(heap)
        self._placing.begin()
        while heap and self._books.order.units:
            cell = heapq.heappop(heap)[-1]
            cell.declined = self._give(cell, now)
            if not cell.declined and cell.free > 0:
                heapq.heappush(heap, _turn(cell))

    def _give(self, cell: CellState, now: float) -> str:
        """One lease for a cell; why not, where nothing suits."""
        reason = ""
        for level in list(self._books.order.levels()):
            choice = self._placing.choose(cell, level, now)
            if isinstance(choice, Choice):
                self._lease(cell, choice, now)
                return ""
            reason = reason or choice
        return reason

    def _lease(self, cell: CellState, choice: Choice, now: float) -> None:
        state, level, books = choice.video, choice.level, self._books
        if choice.marked is not None:
            units: Bundle = level.marked[choice.marked][1]
            level.unmark(choice.marked)
        else:
            most = self._most_units(cell, level, state)
            fixed = books.costs.fixed_seconds(state.video.recipe)
            target = max(self._settings.lease_seconds, fixed / self._settings.fixed_share)
            rate = books.costs.rate(state.video.recipe, state.ready[0][2][0].work, cell.cell.kind)
            units = pop_lease(state, level, target, most, rate)
        state.remaining -= books.weighed(units)
        if not state.started:
            state.started = True
            level.began(state)
        units = tuple(unit for unit in units if key_of(unit) not in state.done)
        if units:
            books.start(cell, state, units, now, on_cpu=choice.on_cpu)

    def _most_units(self, cell: CellState, level: Level, state: VideoState) -> int:
        """Of one lease: few where little is left to share, one where a cell is new to the work, slow or leaving."""
        work = state.ready[0][2][0].work
        known = self._books.costs.measured(state.video.recipe, work, cell.cell.kind)
        if not known or cell.deadline is not None or cell.slowness.value >= self._settings.slow_factor:
            return 1
        return min(self._settings.most_units, level.units // (self._books.slots + 1))

    def _take_over(self, now: float) -> None:
        """Free slots help where something would end late."""
        free = [c for c in self._books.free.values() if c.deadline is None and c.rest_until <= now]
        candidates = self._tail.candidates(self._books.running.values(), now) if free else []
        for cell in sorted(free, key=lambda c: (len(c.running), c.slowness.value, c.order)):
            while candidates and cell.free > 0 and (takeover := self._tail.pick(cell, candidates, now)):
                victim = takeover.victim
                if takeover.stolen:
                    victim.taken.update(map(key_of, takeover.units))
                self._books.start(cell, victim.video, takeover.units, now, duplicate_of=victim.attempt.number)

    # Ends

    def _expire(self, now: float) -> None:
        """What still runs on a cell whose time is up is leased elsewhere."""
        for name, deadline in self._draining.items():
            cell = self._books.cells[name]
            if deadline <= now and not cell.expired:
                cell.expired = True
                self._books.note_free(cell)
                for running in [one for one in cell.running.values() if not one.cancelled]:
                    self._books.cancel(running, "its node goes away")
                    self._go_back(running.video, running.undone(), None, now)

    def _settle(self, running: Running, failure: Failure | None, now: float) -> None:
        """What an attempt left undone goes back; the first such unit is the one that failed."""
        state, undone = running.video, running.undone()
        if running.cancelled or state.closed or not undone:
            return
        reply = self._answer(running, undone[0], failure, now) if failure else None
        if isinstance(reply, Stop):
            past = state.records[key_of(undone[0])]
            self._books.told.append(GiveUp(undone[0], tuple(past.failures), reply.quarantined))
            self._books.close_video(state, "another unit of its video was given up")
        else:
            self._go_back(state, undone, reply, now)

    def _answer(self, running: Running, unit: Unit, failure: Failure, now: float) -> Again | Stop:
        state, cell = running.video, running.cell
        past = state.records.setdefault(key_of(unit), Record())
        learning.suspect(self._books, cell, state, unit, failure, now)
        if cell.rest_until > now:
            self._rests.append(cell.rest_until)
        return answer(
            past,
            failure,
            cell,
            on_cpu=running.attempt.on_cpu,
            cells_up=self._books.cells_up(),
            key=f"{state.video.name}/{unit.work}/{unit.number}/{len(past.failures)}",
            settings=self._settings,
        )

    def _go_back(self, state: VideoState, units: Sequence[Unit], reply: Again | None, now: float) -> None:
        """Units are ready again where no other attempt is to do them; the one that failed after its wait."""
        left = [unit for unit in units if not _held(state, unit)]
        if not left:
            return
        together = key_of(left[0]) in state.together
        bundles = [tuple(left)] if together else [(unit,) for unit in left]
        if reply is not None and reply.wait_seconds > 0 and (together or left[0] is units[0]):
            self._books.wait(now + reply.wait_seconds, state, bundles.pop(0))
        for bundle in bundles:
            self._books.put_back(state, bundle)


def _held(state: VideoState, unit: Unit) -> bool:
    """Another attempt is to do it; one that had given it away takes it back."""
    holders = state.holders.get(key_of(unit), ())
    for holder in holders:
        holder.taken.discard(key_of(unit))
    return bool(holders)


def _turn(cell: CellState) -> tuple[float, bool, float, int, CellState]:
    return len(cell.running) / cell.cell.slots, not cell.warm, cell.slowness.value, cell.order, cell
