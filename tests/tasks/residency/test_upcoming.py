"""What leases have before them comes in turns, is brought before it is asked for, and the copying is hidden."""

from collections.abc import Mapping

import pytest
from torch import nn

from tasks.residency.attempts import Attempts
from tasks.residency.pool import Pool
from tasks.residency.residents import Residents
from tasks.residency.upcoming import FAR, Coming, queue_of
from tests.tasks.residency.card import Card


def test_leases_take_turns_batch_by_batch() -> None:
    queue = queue_of([Coming(("a", "b"), 3), Coming(("c",), 2)])
    assert queue == ("a", "b", "c", "a", "b", "c", "a", "b")
    assert len(queue_of([Coming(("a",), 10**9)])) == FAR
    assert queue_of([]) == () == queue_of([Coming((), 5)])


def test_what_is_expected_follows_the_leases_as_they_render() -> None:
    residents = Residents("cpu", 1 << 20)
    for name in "abc":
        residents.add(name, lambda: nn.Linear(2, 2))
    residents.expect("second", ["c"], 2)
    residents.expect("first", ["a", "b"], 2)
    assert residents.pool._queue == ("a", "b", "c", "a", "b")
    residents.render("first", ("a",), lambda setting: None, batch_frames=1)
    assert residents.pool._queue == ("b", "c", "a", "b")
    residents.expect("second", ["c"], 1)
    assert residents.pool._queue == ("c", "a", "b")
    residents.expect("first", ["a", "b"], 0)
    assert residents.pool._queue == ()


class TimedCard(Card):
    """A card with a clock: copies run beside what is computed, one after the other over one link."""

    def __init__(self, sizes: Mapping[str, int], capacity_bytes: int, bytes_per_second: float) -> None:
        super().__init__(sizes, capacity_bytes)
        self.rate = bytes_per_second
        self.clock = self.link_free = self.waited = 0.0
        self.copied_seconds = 0.0
        self.there: dict[str, float] = {}

    def bring(self, name: str) -> None:
        super().bring(name)
        seconds = self.sizes[name] / self.rate
        self.link_free = max(self.clock, self.link_free) + seconds
        self.copied_seconds += seconds
        self.there[name] = self.link_free

    def settle(self, name: str) -> None:
        super().settle(name)
        wait = max(0.0, self.there[name] - self.clock)
        self.waited += wait
        self.clock += wait

    @property
    def hidden(self) -> float:
        return 1 - self.waited / self.copied_seconds


def chain_on(card: TimedCard, budget: int, *, batches: int, compute_seconds: float, told: bool) -> Pool:
    pool = Pool(card, budget)
    attempts = Attempts(pool)
    for name, size in card.sizes.items():
        pool.add(name, size)
    names = sorted(card.sizes)

    def compute(setting: object) -> None:
        card.clock += compute_seconds

    for left in range(batches, 0, -1):
        if told:
            pool.expect(queue_of([Coming(tuple(names), left)]))
        for name in names:
            attempts.render(name, (name,), compute, batch_frames=1)
    return pool


@pytest.mark.parametrize(("budget", "least"), [(200, 0.9), (300, 0.9)])
def test_copies_are_hidden_behind_rendering_where_two_models_fit(budget: int, least: float) -> None:
    card = TimedCard({"a": 100, "b": 100, "c": 100}, budget, bytes_per_second=100)
    pool = chain_on(card, budget, batches=20, compute_seconds=1.2, told=True)
    assert card.hidden >= least or pool.moves.evictions == 0
    assert card.peak_bytes <= budget
    blind = TimedCard({"a": 100, "b": 100, "c": 100}, budget, bytes_per_second=100)
    chain_on(blind, budget, batches=20, compute_seconds=1.2, told=False)
    assert blind.hidden == pytest.approx(0, abs=1e-9) and blind.clock > card.clock


def test_a_budget_for_one_and_a_half_models_of_one_size_hides_nothing_and_still_renders() -> None:
    """While one is in use there is no room for another whole: the most that any order of loads can do."""
    card = TimedCard({"a": 100, "b": 100, "c": 100}, 150, bytes_per_second=100)
    pool = chain_on(card, 150, batches=10, compute_seconds=1.2, told=True)
    assert card.hidden == pytest.approx(0, abs=1e-9) and pool.moves.loads + pool.moves.prefetches == 30


def test_models_of_several_sizes_are_hidden_in_one_and_a_half_of_the_largest() -> None:
    card = TimedCard({"a": 100, "b": 40, "c": 20}, 150, bytes_per_second=100)
    pool = chain_on(card, 150, batches=20, compute_seconds=1.2, told=True)
    assert card.hidden >= 0.9, card.hidden
    assert pool.moves.loads + pool.moves.prefetches <= 3 * 20 and card.peak_bytes <= 150


def test_nothing_leaves_for_a_prefetch_that_is_in_use_or_comes_sooner() -> None:
    card = TimedCard({"a": 100, "b": 100, "c": 100}, 200, bytes_per_second=100)
    pool = chain_on(card, 200, batches=1, compute_seconds=1.0, told=True)
    assert card.brought == ["a", "b", "c"] and pool.moves.prefetches == 2
