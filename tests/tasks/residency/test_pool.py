"""The pool on a pretend card: what is used is there, the budget holds, and every shortage has an answer."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import OutOfVram
from tasks.residency.attempts import Attempts
from tasks.residency.ladder import FIRST_PATIENCE, Setting
from tasks.residency.pool import Pool
from tests.tasks.residency.card import Card

SIZES = {"a": 40, "b": 30, "c": 20, "d": 10}


def pool_on(card: Card, budget: int, pinned: str = "") -> Pool:
    pool = Pool(card, budget)
    for name, size in card.sizes.items():
        pool.add(name, size, pinned=name in pinned)
    return pool


def agree(pool: Pool, card: Card) -> None:
    assert pool.holding.names == card.here
    assert all(resident.users == 0 for resident in pool.holding.residents)


@given(
    st.lists(st.sampled_from([*SIZES, "ab", "cd", "bd", "prefetch", "limit"]), max_size=40),
    st.integers(40, 100),
    st.frozensets(st.integers(0, 40), max_size=12),
)
def test_the_budget_holds_and_what_is_used_is_there_whatever_fails(
    script: list[str], budget: int, failing: frozenset[int]
) -> None:
    card = Card(SIZES, 100, failing)
    pool = pool_on(card, budget)
    pool.expect([name for word in script for name in word if name in SIZES])
    for word in script:
        if word == "prefetch":
            pool.prefetch()
        elif word == "limit":
            pool.limit(pool.holding.budget_bytes - 5)
        else:
            try:
                with pool.use(*word):
                    assert set(word) <= card.here
                    assert card.used_bytes <= pool.holding.budget_bytes
            except OutOfVram:
                pass
        agree(pool, card)
    assert card.peak_bytes <= budget
    pool.close()
    assert not card.here


def test_a_pinned_model_stays_and_one_in_use_is_waited_for() -> None:
    card = Card(SIZES, 1000)
    pool = pool_on(card, 60, pinned="d")
    with pool.use("d"), pytest.raises(ValueError, match="within another use"), pool.use("a"):
        pass
    waited: list[str] = []

    def other() -> None:
        with pool.use("b"):
            waited.append("b")

    with pool.use("a"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.05)
        assert not waited and card.here == {"a", "d"}
    thread.join(10)
    assert waited == ["b"] and card.here == {"b", "d"}
    agree(pool, card)


def test_two_threads_that_each_need_two_models_never_lock_each_other_out() -> None:
    card = Card(SIZES, 1000)
    pool = pool_on(card, 60)
    done: list[str] = []

    def use(*names: str) -> None:
        for _ in range(50):
            with pool.use(*names):
                assert set(names) <= card.here
        done.append("".join(names))

    threads = [threading.Thread(target=use, args=names, daemon=True) for names in (("a", "c"), ("c", "b"), ("b", "d"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == ["ac", "bd", "cb"]
    assert card.peak_bytes <= 60
    agree(pool, card)


def test_prefetching_the_next_models_leaves_nothing_to_wait_for() -> None:
    order = ["a", "b", "c", "d"] * 5
    card = Card(SIZES, 1000)
    pool = pool_on(card, 70)
    pool.expect(order)
    for name in order:
        with pool.use(name):
            while pool.prefetch():
                pass
    assert pool.moves.loads == 1, "the first alone was waited for"
    assert pool.moves.prefetches == len(card.brought) - 1


def rendering(card: Card, frame_bytes: int, done: list[Setting]) -> Callable[[Setting], str]:
    def work(setting: Setting) -> str:
        share = setting.tile_side / 512 if setting.tile_side else 1
        card.allocate(int(setting.batch_frames * frame_bytes * share))
        done.append(setting)
        return "rendered"

    return work


@pytest.mark.parametrize(
    ("frame_bytes", "kinds"),
    [
        (5, []),
        (15, ["evict"]),
        (20, ["evict", "halve"]),
        (60, ["evict", "halve", "halve"]),
        (100, ["evict", "halve", "halve", "tile"]),
        (200, ["evict", "halve", "halve", "tile", "tile"]),
        (900, ["evict", "halve", "halve", "tile", "tile", "elsewhere"]),
    ],
)
def test_the_ladder_takes_the_first_step_that_helps(frame_bytes: int, kinds: list[str]) -> None:
    card = Card(SIZES, 100)
    attempts = Attempts(pool := pool_on(card, 60))
    with pool.use("c"):
        pass
    done: list[Setting] = []
    call = lambda: attempts.render(  # noqa: E731
        "a@1080", ["a"], rendering(card, frame_bytes, done), batch_frames=4, tile_sides=(256, 128)
    )
    if "elsewhere" in kinds:
        with pytest.raises(OutOfVram, match="call"):
            call()
    else:
        assert call() == "rendered"
        assert len(done) == 1
    assert [step.kind for _, step in attempts.steps] == kinds
    assert all(key == "a@1080" for key, _ in attempts.steps)
    agree(pool, card)


def test_what_gave_way_for_a_while_comes_back() -> None:
    card = Card(SIZES, 100, failing=range(2, 5))
    attempts = Attempts(pool := pool_on(card, 60))
    with pool.use("c"):
        pass
    done: list[Setting] = []
    for _ in range(5 * FIRST_PATIENCE):
        attempts.render("a", ["a"], rendering(card, 5, done), batch_frames=4)
    assert [step.kind for _, step in attempts.steps] == ["evict", "halve", "halve", "grow", "grow", "grow"]
    assert done[0].batch_frames == 1 and done[-1] == Setting(60, 4)
    assert pool.holding.budget_bytes == 60


def test_a_budget_that_shrank_for_one_model_still_holds_another() -> None:
    card = Card(SIZES, 100, failing=[2])
    attempts = Attempts(pool := pool_on(card, 60))
    with pool.use("c"):
        pass
    done: list[Setting] = []
    attempts.render("a", ["a"], rendering(card, 5, done), batch_frames=4)
    assert pool.holding.budget_bytes == 40
    attempts.render("b+c", ["b", "c"], rendering(card, 5, done), batch_frames=4)
    assert pool.holding.budget_bytes == 50
    assert [step.kind for _, step in attempts.steps] == ["evict"]
    assert [setting.batch_frames for setting in done] == [4, 4]


def test_two_threads_that_fail_at_once_take_one_step() -> None:
    attempts = Attempts(pool_on(Card(SIZES, 100), 60))
    together = threading.Barrier(2)
    done: list[int] = []

    def work(setting: Setting) -> None:
        if setting.batch_frames == 4:
            together.wait(10)
            raise OutOfVram("four are too many")
        done.append(setting.batch_frames)

    threads = [
        threading.Thread(target=attempts.render, args=("d", ["d"], work), kwargs={"batch_frames": 4}) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert done == [2, 2]
    assert [str(step) for _, step in attempts.steps] == ["halve: batch 4 → 2 (four are too many)"]


def test_two_threads_that_fail_at_once_evict_first_and_look_again() -> None:
    pool = pool_on(Card(SIZES, 100), 60)
    attempts = Attempts(pool)
    with pool.use("c"):
        pass
    together = threading.Barrier(2)
    done: list[int] = []

    def work(setting: Setting) -> None:
        if setting.budget_bytes == 60:
            together.wait(10)
            raise OutOfVram("full")
        done.append(setting.batch_frames)

    threads = [
        threading.Thread(target=attempts.render, args=("d", ["d"], work), kwargs={"batch_frames": 4}) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert done == [4, 4]
    assert [step.kind for _, step in attempts.steps] == ["evict"]


@given(st.frozensets(st.integers(0, 30), max_size=20), st.integers(1, 30))
def test_a_failure_at_any_call_loses_no_batch(failing: frozenset[int], frame_bytes: int) -> None:
    """Either a batch is rendered, or the error says that this device cannot and the cluster goes elsewhere."""
    card = Card(SIZES, 100, failing)
    attempts = Attempts(pool := pool_on(card, 70))
    done: list[Setting] = []
    for names in (["a"], ["b", "c"], ["a"], ["d"], ["c"]) * 3:
        before = len(done)
        try:
            attempts.render("+".join(names), names, rendering(card, frame_bytes, done), batch_frames=4)
        except OutOfVram:
            assert len(done) == before
            assert attempts.steps[-1][1].kind == "elsewhere"
        else:
            assert len(done) == before + 1
        agree(pool, card)
        assert card.used_bytes <= pool.holding.budget_bytes <= 70
