"""The forecast is what the pool does, told beforehand; the budget follows what computing takes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tasks.residency.demand import Demand
from tasks.residency.forecast import forecast
from tasks.residency.ladder import Setting
from tasks.residency.policy import Budget
from tasks.residency.pool import Pool
from tasks.residency.residents import Residents, kept_from
from tests.tasks.residency.card import Card

SIZES = {"lips": 60, "marks": 10, "dense": 40}


def test_a_forecast_reads_like_this() -> None:
    assert forecast(100, ["lips", "marks", "dense", "lips"], SIZES) == (
        "100 bytes for models, as asked for",
        "lips: 60 bytes",
        "marks: 10 bytes",
        "dense: 40 bytes",
        "1. lips comes; 60 bytes are there",
        "2. marks comes; 70 bytes are there",
        "3. dense comes, marks leave; 100 bytes are there",
        "4. lips is there; 100 bytes are there",
    )
    assert forecast(Budget(1_000_000_000, 400_000_000), [], {}) == (
        "0.55 GB for models = 1.00 GB free × 1.00 share × 0.95 − 0.40 GB for a batch",
    )


def test_a_model_that_never_fits_ends_the_forecast_in_words() -> None:
    lines = forecast(50, ["dense", "lips", "marks"], SIZES)
    assert lines[-1].startswith("2. lips cannot be used: lips take 60 bytes together, but the device's budget")


@given(st.lists(st.sampled_from(sorted(SIZES)), max_size=20), st.integers(60, 120))
def test_the_pool_does_what_was_forecast(queue: list[str], budget: int) -> None:
    card = Card(SIZES, 1000)
    pool = Pool(card, budget)
    for name, size in SIZES.items():
        pool.add(name, size)
    pool.expect(queue)
    told = [line for line in forecast(budget, queue, SIZES) if re.match(r"\d+\. ", line)]
    for line, name in zip(told, queue, strict=True):
        before = set(card.here)
        with pool.use(name):
            assert (f"{name} comes" in line) == (name not in before), line
            assert line.endswith(f"; {card.used_bytes:,} bytes are there")


def test_a_demand_tells_itself() -> None:
    demand = Demand("embedded", "upscale embedded of 480x270", 2, 1032, 62_208_000)
    assert str(demand) == (
        "upscale embedded of 480x270: 2 at once in tiles of at most 1032, about 62 MB besides the network"
    )


def test_pictures_take_at_most_half_of_what_is_free_from_models() -> None:
    free = Budget(1000, 0, headroom=0.0)
    assert kept_from(free, 300).model_bytes == 700
    assert kept_from(free, 900).model_bytes == 500, "from there on the ladder makes batches smaller"
    assert kept_from(Budget(1000, 0, share=0.5, headroom=0.0), 900).model_bytes == 250


def residents_with(free_bytes: int) -> Residents:
    residents = Residents("cpu", Budget(free_bytes, 0, headroom=0.0))
    for name in "ab":
        residents.add(name, lambda: nn.Linear(4, 4))
    return residents


def test_the_budget_keeps_the_largest_batch_from_models_and_gives_it_back() -> None:
    residents = residents_with(100_000)
    assert residents.pool.holding.budget_bytes == 100_000
    seen: list[int] = []

    def work(setting: Setting) -> None:
        seen.append(setting.budget_bytes)

    residents.render("a small", ("a",), work, batch_frames=1, activation_bytes=10_000)
    residents.render("b large", ("b",), work, batch_frames=1, activation_bytes=30_000)
    residents.render("a small", ("a",), work, batch_frames=1, activation_bytes=10_000)
    assert seen == [90_000, 70_000, 70_000]
    assert residents.pool.wanted_bytes == 70_000 and str(residents.budget).startswith("70,000 bytes for models")


def test_what_was_measured_takes_the_place_of_what_was_thought_and_only_grows() -> None:
    residents = residents_with(100_000)
    residents._note("a", ("a",), 40_000, measured=False)
    residents._note("a", ("a",), 20_000, measured=True)
    assert residents.pool.wanted_bytes == 80_000
    residents._note("a", ("a",), 5_000, measured=True)
    residents._note("a", ("a",), 90_000, measured=False)
    assert residents.pool.wanted_bytes == 80_000
    residents._note("a", ("a",), 25_000, measured=True)
    assert residents.pool.wanted_bytes == 75_000


def test_a_budget_that_was_given_stays() -> None:
    residents = Residents("cpu", 5_000)
    residents.add("a", lambda: nn.Linear(4, 4))
    residents.render("a", ("a",), lambda setting: None, batch_frames=1, activation_bytes=4_000)
    assert residents.pool.wanted_bytes == 5_000 == residents.budget


@pytest.mark.parametrize("want", [30, 200])
def test_a_budget_made_small_by_a_shortage_does_not_grow_by_another_want(want: int) -> None:
    pool = Pool(Card(SIZES, 1000), 100)
    pool.limit(40)
    pool.want(want)
    assert pool.holding.budget_bytes == min(40, want) and pool.wanted_bytes == want
