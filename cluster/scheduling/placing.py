"""Whether a cell that has a free slot starts something now, and what; or why it waits.

A cell that is warm for a recipe goes on with it.  Anything that would load models anew, or end later on a
slow cell than all else on the others, may be left for a better cell, but for no longer than that can gain.
"""

from collections.abc import Collection
from dataclasses import dataclass

from cluster.scheduling.books import Books
from cluster.scheduling.costs import CostModel
from cluster.scheduling.order import Job, Level, Line
from cluster.scheduling.state import Bundle, CellState, Record, VideoState, key_of
from cluster.scheduling.values import Work

DRAINING, WARM, TAIL, HELD = "draining", "kept for warm model", "tail", "kept for another cell"


@dataclass(frozen=True, slots=True)
class Choice:
    """What a free slot takes: the head of a video, or a bundle that was marked."""

    level: Level
    video: VideoState
    marked: int | None = None
    on_cpu: bool = False


class Placing:
    """Chooses for one free slot at a time; remembers since when something was left for a better cell."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._costs = books.costs
        self._warm_slots: dict[str, int] = {}
        self._left: dict[tuple[str, str], tuple[float, float]] = {}
        "(why, recipe or cell) -> since when, until when."

    @property
    def kinds(self) -> Collection[str]:
        """Of the cells that stand."""
        return self._books.kinds

    def begin(self) -> None:
        """A new round of choices: cells may have become warm since."""
        self._warm_slots.clear()

    def choose(self, cell: CellState, level: Level, now: float) -> Choice | str:
        """What the cell starts of a level, or the reason why nothing."""
        for place, (video, bundle) in enumerate(level.marked):
            verdict = self.may_take(cell, video.records.get(key_of(bundle[0])))
            if verdict is not None and self.in_time(cell, video, bundle, now):
                return Choice(level, video, place, on_cpu=verdict == "cpu")
        first = level.first()
        if first is None:
            return HELD
        line, video = self._head(first, cell)
        bundle = video.ready[0][2]
        if not self.in_time(cell, video, bundle, now):
            return DRAINING
        if self._keeps_waiting(cell, level, video, bundle, now):
            return TAIL
        if line.recipe in cell.warm or not self._costs.load_seconds(line.recipe):
            self._left.pop((WARM, line.recipe), None)
            return Choice(level, video)
        return self._cold(cell, level, first, video, now)

    def wake(self, now: float) -> float | None:
        """When something that is left for a better cell is left no longer."""
        return min((until for _, until in self._left.values() if until > now), default=None)

    def served(self, recipe: str) -> None:
        self._left.pop((WARM, recipe), None)

    def _head(self, job: Job, cell: CellState) -> tuple[Line, VideoState]:
        """The job's best video for the cell: begun before not begun, then the most seconds left."""

        def rank(head: tuple[Line, VideoState]) -> tuple[bool, float, int]:
            video = head[1]
            seconds = video.remaining * self._costs.pool_rate(head[0].recipe, "render")
            return video.started, seconds, -video.index

        heads = list(job.heads(cell.cell.node))
        return heads[0] if len(heads) == 1 else max(heads, key=rank)

    def _cold(self, cell: CellState, level: Level, job: Job, video: VideoState, now: float) -> Choice | str:
        """A recipe that the cell would have to load: now, later, or something warm instead."""
        recipe = video.video.recipe
        load = self._costs.load_seconds(recipe)
        if self._overdue((WARM, recipe), load, now):
            return Choice(level, video)
        other = self._warm_one(cell, level, job, now)
        if other is not None:
            return Choice(level, other)
        slots = self._slots_warm(recipe)
        waiting = self._seconds(level, recipe)
        if slots and waiting / slots <= load:
            return WARM
        self._left.pop((WARM, recipe), None)
        return Choice(level, video)

    def _slots_warm(self, recipe: str) -> int:
        found = self._warm_slots.get(recipe)
        if found is None:
            warm = (c.cell.slots for c in self._books.cells.values() if c.deadline is None and c.warm.get(recipe))
            found = self._warm_slots[recipe] = sum(warm)
        return found

    def _warm_one(self, cell: CellState, level: Level, job: Job, now: float) -> VideoState | None:
        """A ready video that the cell is warm for: of this job, else of the one that had least."""
        jobs = [job, *sorted((j for j in level.jobs.values() if j.ready and j is not job), key=lambda j: j.served)]
        for candidate in jobs:
            for line, video in candidate.heads(cell.cell.node):
                if line.recipe in cell.warm and self.in_time(cell, video, video.ready[0][2], now):
                    return video
        return None

    def _overdue(self, what: tuple[str, str], seconds: float, now: float) -> bool:
        """True where this was left for a better cell for so long already; else it is noted."""
        since, until = self._left.get(what, (now, now + seconds))
        if until <= now:
            self._left.pop(what, None)
            return True
        self._left[what] = (since, until)
        return False

    def _seconds(self, level: Level, recipe: str) -> float:
        works: tuple[Work, ...] = ("scan", "render")
        return sum(level.megapixels.get((recipe, work), 0.0) * self._costs.pool_rate(recipe, work) for work in works)

    def may_take(self, cell: CellState, record: Record | None) -> str | None:
        """`gpu` or `cpu` where a cell may take a unit with this past, None where others shall."""
        if record is None:
            return "gpu"
        others = [c for c in self._books.cells.values() if c.deadline is None]
        if record.memory_bytes >= 0:
            larger = [c for c in others if c.cell.memory_bytes > record.memory_bytes]
            without = [c for c in others if not c.cell.memory_bytes]
            fitting = larger or without or others
            if cell not in fitting:
                return None
            return self._elsewhere(cell, record, fitting, "gpu" if larger or without else "cpu")
        return self._elsewhere(cell, record, others, "gpu")

    def _elsewhere(self, cell: CellState, record: Record, fitting: list[CellState], answer: str) -> str | None:
        fresh = any(c.cell.name not in record.cells for c in fitting)
        return None if fresh and cell.cell.name in record.cells else answer

    def seconds_on(self, cell: CellState, video: VideoState, units: Bundle) -> float:
        """Seconds that the units will take there, beside what runs there."""
        recipe = video.video.recipe
        rate = self._costs.rate(recipe, units[0].work, cell.cell.kind) * cell.slowness.value
        load = 0.0 if recipe in cell.warm else self._costs.load_seconds(recipe)
        return load + rate * sum(unit.megapixels for unit in units) * (len(cell.running) + 1)

    def in_time(self, cell: CellState, video: VideoState, units: Bundle, now: float) -> bool:
        """False where the cell's node goes before the units would be done."""
        return cell.deadline is None or now + self.seconds_on(cell, video, units) <= cell.deadline

    def _keeps_waiting(self, cell: CellState, level: Level, video: VideoState, units: Bundle, now: float) -> bool:
        """True where faster cells will have done all that is ready before this one would have done the unit."""
        if level.units > 2 * self._books.slots or key_of(units[0]) in video.together:
            return False
        recipe, work = video.video.recipe, units[0].work
        rates = {kind: self._costs.rate(recipe, work, kind) for kind in self._books.kinds}
        factor, mine = self._books.settings.slow_factor, rates[cell.cell.kind] * cell.slowness.value
        if mine < factor * min(rates.values()):
            return False
        others = [c for c in self._books.cells.values() if c.deadline is None]
        faster = [(c, cost) for c in others if (cost := rates[c.cell.kind] * c.slowness.value) * factor <= mine]
        if not faster:
            return False
        ready = sum(mp * self._costs.pool_rate(*kind) for kind, mp in level.megapixels.items())
        ready += sum(left_of(self._costs, c, now) for c, _ in faster)
        least = min(cost for _, cost in faster)
        took = self.seconds_on(cell, video, units)
        if took <= ready / sum(least / cost for _, cost in faster):
            self._left.pop((TAIL, cell.cell.name), None)
            return False
        return not self._overdue((TAIL, cell.cell.name), took, now)


def left_of(costs: CostModel, cell: CellState, now: float) -> float:
    """Served seconds that the attempts in flight on a cell still need."""
    left = 0.0
    served = cell.served(now)
    for running in cell.running.values():
        recipe = running.video.video.recipe
        units = running.undone()
        rate = costs.rate(recipe, running.attempt.work, cell.cell.kind) * cell.slowness.value
        had = served - running.unit_served
        left += max(0.0, sum(unit.megapixels for unit in units) * rate - had)
    return left
