"""What free slots do when nothing is ready: units that have not begun are taken over, stragglers are doubled."""

from collections.abc import Iterable
from dataclasses import dataclass

from cluster.scheduling.costs import CostModel
from cluster.scheduling.placing import Placing
from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.state import CellState, Running, key_of
from cluster.scheduling.values import Unit

#: Candidates that a cell looks at; those behind would end sooner by themselves.
_TRIED = 8


@dataclass(frozen=True, slots=True)
class Takeover:
    """Units of an attempt in flight for another cell: stolen where they had not begun, else done twice at once."""

    victim: Running
    units: tuple[Unit, ...]
    stolen: bool
    late: bool = False
    "It straggles already; else it is taken over from a cell that is known to be slow."


@dataclass(frozen=True)
class Tail:
    """Looks for takeovers that end sooner what would end last."""

    settings: SchedulerSettings
    costs: CostModel
    placing: Placing

    def candidates(self, running: Iterable[Running], now: float) -> list[tuple[float, Takeover]]:
        """What could be taken over, at most once from an attempt, and when it will end if left; the latest first."""
        found = [self._of(victim, now) for victim in running if not victim.cancelled and not _kept(victim)]
        return sorted((one for one in found if one), key=lambda one: (-one[0], one[1].victim.attempt.number))

    def pick(self, thief: CellState, candidates: list[tuple[float, Takeover]], now: float) -> Takeover | None:
        """Removes and returns what a cell with a free slot takes over."""
        for place, (end, takeover) in enumerate(candidates[:_TRIED]):
            if takeover.victim.cell is thief or not self._fits(thief, takeover):
                continue
            video = takeover.victim.video
            took = self.placing.seconds_on(thief, video, takeover.units)
            gains = (
                now + took < end
                if takeover.stolen or takeover.late
                else self._much_slower(takeover, thief, took, end - now)
            )
            if gains and self.placing.in_time(thief, video, takeover.units, now):
                del candidates[place]
                return takeover
        return None

    def _of(self, victim: Running, now: float) -> tuple[float, Takeover] | None:
        undone = victim.undone()
        if not undone:
            return None
        end = self._end(victim, undone, now)
        later = [unit for unit in undone[1:] if len(victim.video.holders.get(key_of(unit), ())) < 2]
        if later:
            return end, Takeover(victim, tuple(later[len(later) // 2 :]), stolen=True)
        if len(victim.video.holders.get(key_of(undone[0]), ())) > 1:
            return None
        late = self._straggles(victim, undone[0], end, now)
        known = victim.cell.slowness.count > 0 or len(self.placing.kinds) > 1
        return (end, Takeover(victim, (undone[0],), stolen=False, late=late)) if late or known else None

    def _much_slower(self, takeover: Takeover, thief: CellState, took: float, left: float) -> bool:
        """A cell that was slow before will be so again: what it would only end long after the thief."""
        video, cell = takeover.victim.video.video, takeover.victim.cell
        work = takeover.units[0].work
        mine = self.costs.rate(video.recipe, work, thief.cell.kind) * thief.slowness.value
        theirs = self.costs.rate(video.recipe, work, cell.cell.kind) * cell.slowness.value
        return theirs >= 2 * mine and left >= 2 * took

    def _fits(self, thief: CellState, takeover: Takeover) -> bool:
        """Units with a past keep to where they may run; those computed on the CPU stay there."""
        video = takeover.victim.video
        past = [video.records.get(key_of(unit)) for unit in takeover.units]
        return all(self.placing.may_take(thief, record) == "gpu" for record in past)

    def _end(self, victim: Running, undone: list[Unit], now: float) -> float:
        """When the attempt will be done: by its own rate where it shows one, else by what is usual there."""
        cell = victim.cell
        usual = self.costs.rate(victim.video.video.recipe, victim.attempt.work, cell.cell.kind) * cell.slowness.value
        had, first = cell.served(now) - victim.unit_served, undone[0]
        passed = min(1.0, victim.frames / max(1, first.frames))
        left = max(usual * first.megapixels - had, had)
        if passed > 0.05:
            left = max(0.0, self._when_told(victim, had) / passed - had)
        left += usual * sum(unit.megapixels for unit in undone[1:])
        return now + left * max(1, len(cell.running))

    def _straggles(self, victim: Running, unit: Unit, end: float, now: float) -> bool:
        """Later than predicted, than nine in ten, and slower than half of the pool; or its node goes first."""
        cell, settings = victim.cell, self.settings
        if cell.deadline is not None:
            return end > cell.deadline
        recipe, work = victim.video.video.recipe, victim.attempt.work
        high = self.costs.high_rate(recipe, work) * unit.megapixels
        had = cell.served(now) - victim.unit_served
        predicted = self.costs.pool_rate(recipe, work) * unit.megapixels
        if not high or now - victim.unit_started <= settings.straggler_seconds:
            return False
        if had <= max(settings.straggler_factor * predicted, high):
            return False
        passed = unit.megapixels * victim.frames / max(1, unit.frames)
        return passed * self.costs.pool_rate(recipe, work) < settings.straggler_rate * self._when_told(victim, had)

    def _when_told(self, victim: Running, had: float) -> float:
        """Served seconds of its unit for the frames that it is known to have passed."""
        return max(victim.told_served - victim.unit_served, had - self.settings.told_seconds)


def _kept(victim: Running) -> bool:
    """Linear sources are decoded once, in order, by one cell; CPU attempts are slow for a reason."""
    return victim.attempt.on_cpu or key_of(victim.attempt.units[0]) in victim.video.together
