"""What the scheduler learns of costs from what attempts tell."""

import pytest

from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.values import Start, Video
from tests.cluster.driven import Driven, units_of


def test_units_that_are_told_together_share_the_time_that_passed() -> None:
    """A lease of three is told of when it ends: neither did the first take all of it, nor the others nothing."""
    run = Driven(SchedulerSettings(lease_seconds=1e6))
    run.up("c", slots=1)
    run.add(Video("v"), units_of("v", 40))
    for _ in range(4):
        (start,) = run.decide()
        assert isinstance(start, Start)
        units = start.attempt.units
        run.now += 6.0 * len(units)
        assert run.scheduler.units_done(start.attempt.number, units, run.now) == list(units)
        run.scheduler.ended(start.attempt.number, None, run.now)
        run.live.clear()
    left = 40 - sum(len(attempt.units) for attempt in run.order)
    assert len(run.order[-1].units) > 1
    assert run.scheduler.remaining_seconds(run.now) == pytest.approx(6.0 * left)
