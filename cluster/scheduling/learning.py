"""What attempts in flight teach: costs, loading times, slow cells, and cells that fail what others do not."""

from collections.abc import Sequence

from cluster.scheduling.books import Books
from cluster.scheduling.state import CellState, Running, VideoState, key_of
from cluster.scheduling.values import Failure, Unit

#: Weight of the latest unit in a cell's slowness, and how far one unit may speak.
_LATEST, _LEAST, _MOST = 0.3, 0.1, 10.0
#: Part of a unit that may have passed when its first frames are told.
_FIRST = 0.25


def progressed(books: Books, running: Running, frames: int, now: float) -> None:
    """Frames went through an attempt; the first ones tell how long it took to get there."""
    cell, recipe = running.cell, running.video.video.recipe
    running.frames += frames
    running.told_served = cell.served(now)
    if running.progressed:
        return
    if recipe in cell.warm:
        cell.warm[recipe] = True
    if frames > _FIRST * running.attempt.units[0].frames:  # Told too late to tell loading from working.
        return
    running.progressed = True
    books.costs.learn_start(recipe, running.cold, now - running.started)
    if running.cold:  # What was spent on loading is no cost of the unit.
        running.unit_started, running.unit_served = now, cell.served(now)


def finished(books: Books, running: Running, units: Sequence[Unit], now: float) -> None:
    """An attempt did units since it last told of any: what they cost, and what that says of its cell."""
    cell, recipe, work = running.cell, running.video.video.recipe, running.attempt.work
    kind = "cpu" if running.attempt.on_cpu else cell.cell.kind
    served = cell.served(now)
    seconds = max(0.0, served - running.unit_served)
    megapixels = sum(unit.megapixels for unit in units)
    known = books.costs.measured(recipe, work, kind)
    if running.progressed or not running.cold or not known:
        if known >= 3 and not running.attempt.on_cpu:
            usual = books.costs.rate(recipe, work, kind) * megapixels
            cell.slowness.add(min(_MOST, max(_LEAST, seconds / max(usual, 1e-9))), _LATEST)
        books.costs.learn(recipe, work, kind, megapixels, seconds)
    if recipe in cell.warm:
        cell.warm[recipe] = True
    running.unit_started, running.unit_served, running.told_served = now, served, served
    running.frames = max(0, running.frames - sum(unit.frames for unit in units))
    cell.suspects.clear()
    cell.rests = 0


def suspect(books: Books, cell: CellState, state: VideoState, unit: Unit, failure: Failure, now: float) -> None:
    """A cell on which several units in a row failed that failed nowhere else rests for a while."""
    if failure.kind not in ("bug", "WorkerLost"):
        return
    this = state.video.name, key_of(unit)
    others = [other for other in books.cells.values() if other is not cell and this in other.suspects]
    for other in others:
        other.suspects.discard(this)
    if others:
        return
    cell.suspects.add(this)
    if len(cell.suspects) >= books.settings.suspicions:
        cell.suspects.clear()
        cell.rest_until = now + books.settings.rest_seconds * 2 ** min(cell.rests, 5)
        cell.rests += 1
