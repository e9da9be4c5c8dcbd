"""What free slots do at the end of a run: stragglers are done twice, units that have not begun change hands."""

from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.values import Cancel, GiveUp, Start, Unit, Video
from tests.cluster.driven import Driven, units_of


def _straggling(slow_frames: int, told_until: float = 60.0) -> Driven:
    """Cell `bad` is at a long unit (35 s of the pool's time) for a minute; nothing else is left to begin."""
    run = Driven(SchedulerSettings(most_units=1))
    run.up("bad", slots=1)
    run.add(Video("long"), [Unit("long", "render", 0, 1750, 700.0)])
    run.decide()
    run.up("good", slots=1)
    run.add(Video("v"), units_of("v", 12))
    run.decide()
    for _ in range(12):
        run.now += 5.0
        if run.now <= told_until:
            run.scheduler.passed(1, slow_frames, run.now)
        run.finish(next(n for n, live in run.live.items() if live.attempt.cell == "good"))
        if run.scheduler.queued():
            run.decide()
    return run


def test_a_straggler_is_doubled_once_and_the_loser_ends() -> None:
    run = _straggling(slow_frames=70)
    (start,) = run.decide()
    assert isinstance(start, Start)
    assert (start.attempt.cell, start.attempt.duplicate_of) == ("good", 1)
    run.up("third")
    run.now += 100.0
    assert run.decide() == []
    assert run.finish(start.attempt.number) is True
    (cancel,) = run.decide()
    assert isinstance(cancel, Cancel) and cancel.attempt == 1
    assert run.finish(1) is False


def test_one_that_keeps_more_than_half_the_pace_is_not_doubled() -> None:
    assert _straggling(slow_frames=140).decide() == []


def test_frames_that_were_not_told_for_a_while_do_not_make_a_straggler() -> None:
    assert _straggling(slow_frames=130, told_until=40.0).decide() == []
    assert _straggling(slow_frames=130, told_until=10.0).decide() != []


def test_a_failing_duplicate_leaves_the_original_alone() -> None:
    run = _straggling(slow_frames=0)
    (start,) = [d for d in run.decide() if isinstance(d, Start)]
    run.fail(start.attempt.number, "WorkerLost")
    assert not [d for d in run.decide() if isinstance(d, Cancel | GiveUp)]
    assert len(run.live) >= 1
    run.run_out()


def _one_lease_of_four() -> Driven:
    """A cell that is known holds the first four of eight units as its second attempt."""
    run = Driven(SchedulerSettings(fixed_seconds=10.0))
    run.up("a", slots=1)
    run.add(Video("first"), units_of("first", 1))
    run.decide()
    run.now = 5.0
    run.finish(1)
    run.add(Video("v"), units_of("v", 8))
    run.decide()
    assert len(run.order[1].units) == 4
    return run


def _tail_of_one_lease_of_four() -> Driven:
    """Another cell has done all that was left to begin."""
    run = _one_lease_of_four()
    run.up("b", slots=1)
    while run.scheduler.queued():
        run.decide()
        run.now += 5.0
        run.finish(next(n for n, live in run.live.items() if live.attempt.cell == "b"))
    return run


def test_units_that_have_not_begun_are_taken_over_in_the_tail() -> None:
    run = _tail_of_one_lease_of_four()
    (start,) = run.decide()
    assert isinstance(start, Start)
    assert (start.attempt.duplicate_of, [unit.number for unit in start.attempt.units]) == (2, [2, 3])
    assert run.finish(2) and run.finish(2)
    (cancel,) = run.decide()
    assert isinstance(cancel, Cancel) and cancel.attempt == 2
    run.run_out()
    assert all(run.starts[unit] == 1 + (unit.number in (2, 3)) for unit in run.wanted)


def test_units_come_back_to_their_first_attempt_if_the_thief_fails() -> None:
    run = _tail_of_one_lease_of_four()
    run.decide()
    run.down("b")
    assert run.decide() == []
    for _ in range(4):
        run.finish(2)
    assert not run.open


def test_a_linear_source_is_one_lease_and_never_doubled() -> None:
    run = Driven(SchedulerSettings(look_seconds=0.1))
    run.up("a")
    run.up("b")
    run.add(Video("v"), units_of("v", 6), together=True)
    run.decide()
    assert [len(attempt.units) for attempt in run.order] == [6]
    run.now += 500.0
    assert run.decide() == []
    run.finish(run.order[0].number)
    run.fail(run.order[0].number, "WorkerLost")
    run.now += 10.0
    run.decide()
    assert [[unit.number for unit in attempt.units] for attempt in run.order[1:]] == [[1, 2, 3, 4, 5]]
