"""Several workers on one card: what each takes of it, whoever came first, and what becomes of it when one goes."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cluster.fleet.plan import sharing
from cluster.gpus.sharing import CardShare, free_before_us
from tasks.errors import OutOfVram
from tasks.residency import residents
from tasks.residency.policy import Budget
from tasks.residency.pool import Pool
from tests.tasks.residency.card import Card


@pytest.fixture(autouse=True)
def _own_residents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residents, "_open", {})


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> int:
    """A device that has so many bytes free."""
    monkeypatch.setattr(residents, "budget_of", lambda device: Budget(1_000_000, 0))
    return 1_000_000


def _noted_by(path: Path, *workers: tuple[int, float], free_bytes: int) -> None:
    path.write_text(json.dumps({"free_bytes": free_bytes, "workers": workers}))


def test_whoever_comes_second_shares_what_was_free_before_the_first(tmp_path: Path) -> None:
    path, other = tmp_path / "card", psutil.Process().parent()
    assert other is not None
    _noted_by(path, (other.pid, other.create_time()), free_bytes=1000)
    assert free_before_us(path, 400) == 1000, "the first has taken 600 of them meanwhile"
    noted = json.loads(path.read_text())
    assert [pid for pid, _ in noted["workers"]] == [other.pid, psutil.Process().pid]
    assert free_before_us(path, 300) == 1000
    assert json.loads(path.read_text()) == noted, "nobody is noted twice"


@pytest.mark.parametrize("noted", ["", "{", '{"free_bytes": 1}', '{"free_bytes": 9, "workers": [["a", 0]]}'])
def test_a_note_that_cannot_be_read_is_written_anew(tmp_path: Path, noted: str) -> None:
    (tmp_path / "card").write_text(noted)
    assert free_before_us(tmp_path / "card", 400) == 400
    assert json.loads((tmp_path / "card").read_text())["free_bytes"] == 400


def test_what_the_dead_noted_counts_no_more_even_where_another_has_their_number(tmp_path: Path) -> None:
    path, me = tmp_path / "card", psutil.Process()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    _noted_by(path, (ended.pid, 1.0), (me.pid, me.create_time() - 60), free_bytes=1000)
    assert free_before_us(path, 400) == 400


def test_a_machine_that_lets_nothing_be_noted_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert free_before_us(tmp_path / "file" / "card", 400) == 400


def test_a_half_of_a_card_holds_half_of_what_is_free_and_says_how_much(tmp_path: Path, card: int) -> None:
    share = CardShare(0.5, tmp_path)
    share.settle("cpu:0")
    here = residents.residents_on("cpu:0")
    assert here.budget == Budget(card, 0, share=0.5)
    assert here.pool.wanted_bytes == int(card * 0.5 * 0.95)
    assert here.steps_since_told() == (
        "cpu:0 is shared with other cells: 475,000 bytes for models = 1,000,000 bytes free × 0.50 share × 0.95 − "
        "0 bytes for a batch",
    )
    share.settle("cpu:0")
    assert residents.residents_on("cpu:0") is here, "settled once"


def test_a_whole_card_and_the_processor_are_left_as_they_are(tmp_path: Path, card: int) -> None:
    CardShare(1.0, tmp_path).settle("cpu:0")
    CardShare(0.5, tmp_path).settle("cpu")
    assert not list(tmp_path.iterdir())
    assert residents.residents_on("cpu:0").budget == Budget(card, 0)


def test_models_that_the_share_does_not_hold_are_refused_with_the_remedy(tmp_path: Path, card: int) -> None:
    CardShare(0.25, tmp_path).settle("cpu:0")
    here = residents.residents_on("cpu:0")
    here.add("large", lambda: nn.Linear(100, 1000))  # 404,000 bytes: whole it holds them, a quarter does not.
    with pytest.raises(OutOfVram, match=r"--gpus-per-cell\), or --device cpu"):
        here.render("large", ["large"], lambda setting: torch.zeros(1), batch_frames=1)


def test_a_run_says_how_its_gpus_are_shared_and_where_there_is_nothing_to_share() -> None:
    shared = sharing(0.3, gpu=True)
    assert (shared.choice, shared.reason) == (
        "3 cells on each GPU", "--gpus-per-cell 0.3: each has that share of its free memory"
    )  # fmt: skip
    assert "stand on processors" in sharing(0.5, gpu=False).reason


class _Neighbours(Card):
    """One of several movers on the same pretended card, of which each sees only its own models."""

    def __init__(self, capacity_bytes: int, all_of_them: "list[_Neighbours]") -> None:
        super().__init__(_SIZES, capacity_bytes)
        self.all_of_them = all_of_them
        all_of_them.append(self)

    def allocate(self, size_bytes: int) -> None:
        if sum(one.used_bytes for one in self.all_of_them) + size_bytes > self.capacity_bytes:
            raise OutOfVram("the card is full")


_SIZES = {"a": 30, "b": 25, "c": 20, "d": 10}


def _used_in_turns(shares: Sequence[float], uses: Sequence[tuple[int, str]]) -> tuple[list[Pool], int]:
    """Pools of workers with such shares of a card of 100 bytes, and the most that ever lay on it."""
    card: list[_Neighbours] = []
    pools = [Pool(_Neighbours(100, card), Budget(100, 0, share=share, headroom=0.0).model_bytes) for share in shares]
    for pool in pools:
        for name, size in _SIZES.items():
            pool.add(name, size)
    most = 0
    for worker, name in uses:
        with pools[worker].use(name):
            pools[worker].prefetch()
            most = max(most, sum(one.used_bytes for one in card))
    return pools, most


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abcd")), max_size=30))
def test_two_workers_within_their_halves_never_meet(uses: list[tuple[int, str]]) -> None:
    pools, most = _used_in_turns((0.5, 0.5), uses)
    assert most <= 100
    assert all(pool.moves.failed_loads == 0 for pool in pools), "neither is ever refused room by the other"


def test_two_workers_that_each_count_on_the_whole_card_do_meet() -> None:
    """What shares are for: without them one fills the card and the other, with nothing to evict, cannot render."""
    with pytest.raises(OutOfVram, match="the card is full"):
        _used_in_turns((1.0, 1.0), [(0, "a"), (0, "b"), (0, "c"), (0, "d"), (1, "a")])
