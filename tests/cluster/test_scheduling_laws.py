"""Laws of the scheduler, under whatever happens: nothing lost, nothing done twice without cause, nobody starved."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.values import Attempt, Cancel, GiveUp, Start, Video
from tests.cluster.driven import Driven, units_of

KINDS = ("WorkerLost", "StorageError", "bug", "OutOfVram", "SourceError")
SEEDS = st.integers(0, 2**32)


def _happen(run: Driven, chance: random.Random) -> None:
    """One thing that may happen to a run."""
    what = chance.random()
    free = [number for number, live in run.live.items() if not live.cancelled]
    if what < 0.5 and free:
        run.finish(chance.choice(free), frames=chance.random() < 0.7)
    elif what < 0.6 and free:
        run.fail(chance.choice(free), chance.choice(KINDS[:4] if chance.random() < 0.95 else KINDS))
    elif what < 0.7 and free:
        run.scheduler.passed(chance.choice(free), chance.randrange(100), run.now)
    elif what < 0.75:
        run.end_cancelled()
    elif what < 0.78 and len(run.cells) > 1:
        run.down(chance.choice(sorted(run.cells)))
    elif what < 0.82 and len(run.cells) < 6:
        run.up(
            f"c{chance.randrange(10**6)}",
            chance.choice((1, 2)),
            chance.choice(("l4", "h100")),
            8 << chance.randrange(3),
        )
    elif what < 0.84 and len(run.cells) > 2:
        run.drain(chance.choice(sorted(run.cells)), chance.choice((0.0, 5.0, 60.0)))
    elif what < 0.90:
        _add_some(run, chance)
    else:
        run.now += chance.choice((0.1, 1.0, 30.0))


def _add_some(run: Driven, chance: random.Random) -> None:
    name = f"v{chance.randrange(12)}"
    work = chance.choice(("scan", "render"))
    if name in run.failed_videos or any(unit.video == name and unit.work == work for unit in run.wanted):
        return
    number = int(name[1:])
    video = Video(name, f"job{number % 3}", number % 2, 1.0 + number % 2, f"recipe{number % 2}")
    together = chance.random() < 0.2
    run.add(video, units_of(name, chance.randrange(1, 8), work, chance.choice((5.0, 100.0))), together, 50.0)


@given(SEEDS, st.integers(20, 250), st.sampled_from([0.0, 15.0]))
@settings(max_examples=100)
def test_no_unit_is_lost_or_started_again_without_cause(seed: int, steps: int, load_seconds: float) -> None:
    chance = random.Random(seed)
    run = Driven(SchedulerSettings(load_seconds=load_seconds, look_seconds=0.1))
    run.up("first", memory_bytes=64)
    _add_some(run, chance)
    for _ in range(steps):
        _happen(run, chance)
        run.decide()
    run.up("rescue", memory_bytes=128)
    run.run_out()


@given(SEEDS)
@settings(max_examples=25)
def test_the_same_calls_give_the_same_decisions(seed: int) -> None:
    def decided() -> list[object]:
        chance, run = random.Random(seed), Driven(SchedulerSettings(load_seconds=5.0))
        run.up("first")
        for _ in range(120):
            _happen(run, chance)
            run.decide()
        return list(run.decisions)

    assert decided() == decided()


@given(st.lists(st.integers(1, 4), min_size=2, max_size=4), st.integers(1, 6))
@settings(max_examples=30)
def test_jobs_of_one_priority_get_their_shares(weights: list[int], cells: int) -> None:
    run = Driven(SchedulerSettings(most_units=1))
    for cell in range(cells):
        run.up(f"c{cell}")
    for number, weight in enumerate(weights):
        for video in range(5):
            name = f"j{number}v{video}"
            run.add(Video(name, f"job{number}", 0, float(weight)), units_of(name, 40))
    served: Counter[int] = Counter()
    for turn in range(12):
        run.decide()
        run.now += 10.0
        for number in list(run.live):
            served[int(run.live[number].left[0].video[1])] += 1
            run.finish(number)
        shares = [served[number] / weight for number, weight in enumerate(weights)]
        # What is in flight can be seen wrong by a slot each, what was charged by its prediction at the start.
        slack = 2 * cells + 2 if turn > 1 else 6 * cells + 2
        assert max(shares) - min(shares) <= slack, (turn, shares)


def test_a_job_that_was_away_gets_no_arrears() -> None:
    run = Driven(SchedulerSettings(most_units=1))
    run.up("c", slots=1)
    run.add(Video("old", "old"), units_of("old", 100))
    for _ in range(30):
        run.decide()
        run.now += 10.0
        run.finish(next(iter(run.live)))
    run.add(Video("new", "new"), units_of("new", 100))
    taken: list[str] = []
    for _ in range(20):
        run.decide()
        run.now += 10.0
        taken.append(next(iter(run.live.values())).attempt.video)
        run.finish(next(iter(run.live)))
    assert 8 <= taken.count("old") <= 12


@given(SEEDS, st.integers(1, 3))
@settings(max_examples=40)
def test_higher_priority_goes_first(seed: int, cells: int) -> None:
    chance, run = random.Random(seed), Driven()
    for cell in range(cells):
        run.up(f"c{cell}")
    priorities = [chance.randrange(3) for _ in range(6)]
    for number, priority in enumerate(priorities):
        run.add(Video(f"v{number}", "", priority), units_of(f"v{number}", 5))
    run.run_out()
    begun = [priorities[int(attempt.video[1:])] for attempt in run.order if attempt.duplicate_of is None]
    assert begun == sorted(begun, reverse=True)


@given(SEEDS, st.integers(1, 4))
@settings(max_examples=40)
def test_nobody_starves_beside_a_job_that_never_ends(seed: int, cells: int) -> None:
    chance = random.Random(seed)
    run = Driven(SchedulerSettings(load_seconds=20.0))
    for cell in range(cells):
        run.up(f"c{cell}")
    run.add(Video("small", "small", recipe="rare"), units_of("small", 3))
    for turn in range(200):
        name = f"v{turn}"
        run.add(Video(name, "endless", recipe="usual"), units_of(name, 2 * cells))
        run.decide()
        run.now += 5.0 + chance.random()
        for number in list(run.live):
            run.finish(number)
        run.decide()
        run.end_cancelled()
        if not any(unit.video == "small" for unit in run.open):
            break
    assert turn * 5.0 <= 3 * (20.0 + 15.0)


def test_the_longest_video_is_begun_first_and_those_begun_go_on() -> None:
    run = Driven(SchedulerSettings(most_units=1))
    run.up("c", slots=1)
    for name, count in (("short", 2), ("long", 6), ("middle", 4)):
        run.add(Video(name), units_of(name, count))
    run.run_out()
    taken = [(attempt.video, attempt.units[0].number) for attempt in run.order]
    assert taken == [(n, i) for n, count in (("long", 6), ("middle", 4), ("short", 2)) for i in range(count)]


def test_work_to_come_counts_as_length() -> None:
    run = Driven()
    run.up("c", slots=1)
    run.add(Video("a"), units_of("a", 3, "scan"), later=100.0)
    run.add(Video("b"), units_of("b", 2, "scan"), later=5000.0)
    run.decide()
    assert run.order[0].video == "b"


def test_nothing_is_started_that_would_end_after_the_node_is_gone() -> None:
    run = Driven(SchedulerSettings(most_units=1))
    run.up("spot", slots=1)
    run.add(Video("v"), units_of("v", 30))
    for _ in range(5):
        run.decide()
        run.now += 10.0
        run.finish(next(iter(run.live)))
    run.drain("spot", 25.0)
    begun = []
    for _ in range(4):
        begun += [d for d in run.decide() if isinstance(d, Start)]
        run.now += 10.0
        for number in list(run.live):
            run.finish(number)
    assert len(begun) == 2
    assert run.scheduler.idle(run.now)["spot"] == ("draining", 1)


def test_what_still_runs_when_a_node_goes_is_leased_elsewhere() -> None:
    run = Driven()
    run.up("spot", slots=1)
    run.add(Video("v"), units_of("v", 1))
    run.decide()
    run.drain("spot", 30.0)
    run.up("other", slots=1)
    assert run.decide() == []
    assert run.scheduler.wake(run.now) is not None
    run.now = 30.0
    cancel, start = run.decide()
    assert isinstance(cancel, Cancel) and "node goes" in cancel.reason
    assert isinstance(start, Start) and start.attempt.cell == "other"


def _failing(kind: str, cells: int, memory: tuple[int, ...] = ()) -> tuple[Driven, list[Attempt]]:
    """One bad unit of one video, and a good video: until the bad one is given up."""
    run = Driven(SchedulerSettings(most_units=1))
    for cell in range(cells):
        run.up(f"c{cell}", slots=1, memory_bytes=memory[cell] if memory else 0)
    run.add(Video("bad"), units_of("bad", 3))
    run.add(Video("good"), units_of("good", 3))
    for _ in range(100):
        run.decide()
        run.end_cancelled()
        for number, live in list(run.live.items()):
            if live.left[0].video == "bad" and live.left[0].number == 1:
                run.fail(number, kind)
            elif number in run.live:
                run.finish(number)
        run.now += 1.0
    return run, [a for a in run.order if a.units[0].video == "bad" and a.units[0].number == 1]


@pytest.mark.parametrize("kind", ["JobError", "SourceError", "WeightsError", "ResourceShortage"])
def test_what_no_trial_can_mend_is_given_up_at_once(kind: str) -> None:
    run, tries = _failing(kind, 3)
    assert len(tries) == 1
    (given_up,) = run.given_up.values()
    assert (given_up.unit.number, given_up.quarantined, len(given_up.failures)) == (1, False, 1)
    assert {unit.number for unit in run.done if unit.video == "good"} == {0, 1, 2}


def test_a_poisonous_unit_is_quarantined_after_three_failures_on_two_cells() -> None:
    run, tries = _failing("bug", 3)
    (given_up,) = run.given_up.values()
    assert given_up.quarantined
    assert len(given_up.failures) == 3
    assert len({attempt.cell for attempt in tries}) >= 2
    assert run.failed_videos == {"bad"}


def test_on_the_only_cell_three_failures_are_enough() -> None:
    run, tries = _failing("bug", 1)
    assert len(tries) == 3
    assert run.given_up


def test_the_first_two_lost_workers_do_not_count() -> None:
    run, tries = _failing("WorkerLost", 2)
    assert len(tries) == 5
    (given_up,) = run.given_up.values()
    assert given_up.quarantined


def test_storage_errors_are_tried_again_after_growing_waits() -> None:
    run, tries = _failing("StorageError", 2)
    assert len(tries) == 5
    assert not next(iter(run.given_up.values())).quarantined


def test_memory_that_is_too_small_is_answered_by_larger_then_by_the_cpu() -> None:
    run, tries = _failing("OutOfVram", 3, memory=(8, 16, 24))
    on = [(run.cells[attempt.cell].memory_bytes, attempt.on_cpu) for attempt in tries]
    sizes = [size for size, on_cpu in on if not on_cpu]
    assert sizes == sorted(set(sizes)) and sizes[-1] == 24
    assert [on_cpu for _, on_cpu in on] == [False] * len(sizes) + [True]
    assert len(run.given_up) == 1


def test_a_cell_without_gpu_takes_what_no_gpu_can_hold() -> None:
    _, tries = _failing("OutOfVram", 2, memory=(8, 0))
    assert (tries[-1].cell, tries[-1].on_cpu) == ("c1", False)


def test_giving_up_ends_the_videos_other_attempts() -> None:
    run = Driven(SchedulerSettings(most_units=1))
    run.up("c", slots=3)
    run.add(Video("v"), units_of("v", 9))
    run.decide()
    run.fail(2, "SourceError")
    decisions = run.decide()
    assert [type(d) for d in decisions] == [GiveUp, Cancel, Cancel]
    assert run.scheduler.queued() == 0


def test_withdrawn_work_ends_and_may_be_added_anew() -> None:
    run = Driven(SchedulerSettings(most_units=1))
    run.up("c")
    run.add(Video("v"), units_of("v", 9))
    run.decide()
    run.withdraw("v")
    assert [type(d) for d in run.decide()] == [Cancel, Cancel]
    run.end_cancelled()
    run.add(Video("v"), units_of("v", 9))
    run.run_out()


def test_a_cell_that_fails_what_others_do_rests() -> None:
    run = Driven(SchedulerSettings(most_units=1))
    run.up("bad", slots=1)
    run.up("good", slots=1)
    for number in range(20):
        run.add(Video(f"v{number}"), units_of(f"v{number}", 1))
    for _ in range(3):
        run.decide()
        run.fail(next(n for n, live in run.live.items() if live.attempt.cell == "bad"), "bug")
    run.decide()
    assert run.scheduler.idle(run.now)["bad"] == ("resting after failures", 1)
    assert run.scheduler.wake(run.now) == pytest.approx(20.0)
    run.run_out()
    assert not run.given_up


def test_models_are_kept_where_they_are_warm_for_no_longer_than_loading_takes() -> None:
    run = Driven(SchedulerSettings(load_seconds=60.0, most_units=1))
    run.up("warm", slots=1)
    run.add(Video("a", recipe="r"), units_of("a", 3))
    run.decide()
    run.scheduler.passed(1, 10, run.now)
    run.up("cold", slots=1)
    assert run.decide() == []
    assert run.scheduler.idle(run.now)["cold"] == ("kept for warm model", 1)
    assert run.scheduler.wake(run.now) == pytest.approx(60.0)
    run.now = 60.0
    (start,) = run.decide()
    assert isinstance(start, Start) and start.attempt.cell == "cold"


def test_cells_keep_to_their_recipe_while_there_is_enough_of_it() -> None:
    run = Driven(SchedulerSettings(load_seconds=30.0, most_units=1, warm_recipes=1))
    for cell in range(4):
        run.up(f"c{cell}", slots=1)
    for number in range(40):
        run.add(Video(f"v{number}", recipe=f"r{number % 2}"), units_of(f"v{number}", 5))
    run.run_out(seconds=10.0)
    by_cell = {cell: [int(a.video[1:]) % 2 for a in run.order if a.cell == cell] for cell in run.cells}
    switches = sum(a != b for recipes in by_cell.values() for a, b in itertools.pairwise(recipes))
    assert switches <= 12


def test_leases_hold_several_units_only_while_there_is_work_enough() -> None:
    run = Driven(SchedulerSettings(fixed_seconds=1.0))
    for cell in range(2):
        run.up(f"c{cell}")
    run.add(Video("v"), units_of("v", 100, megapixels=5.0))
    run.run_out()
    sizes = [len(attempt.units) for attempt in run.order if attempt.duplicate_of is None]
    assert sizes[:4] == [1, 1, 1, 1], "before anything was measured"
    assert max(sizes) == 8
    assert sizes[-1] == 1


def test_idle_slots_have_a_reason() -> None:
    run = Driven(SchedulerSettings(most_units=1))
    run.up("c", slots=2)
    assert run.scheduler.idle(0.0) == {"c": ("no work ready", 2)}
    run.add(Video("v"), units_of("v", 1), later=50.0)
    run.decide()
    assert run.scheduler.idle(0.0) == {"c": ("no work ready", 1)}
    run.add(Video("v"), [])
    assert run.scheduler.idle(0.0) == {"c": ("tail", 1)}
    run.fail(1, "StorageError")
    run.decide()
    assert run.scheduler.idle(0.0) == {"c": ("waiting to retry", 2)}
    assert run.scheduler.wake(0.0) is not None


def test_the_time_left_is_known_once_something_was_measured() -> None:
    run = Driven(SchedulerSettings(most_units=1))
    run.up("c", slots=1)
    run.add(Video("v"), units_of("v", 10))
    run.decide()
    assert run.scheduler.remaining_seconds(run.now) is None
    run.now = 10.0
    run.finish(1)
    run.decide()
    assert run.scheduler.remaining_seconds(run.now) == pytest.approx(90.0, rel=0.1)
