"""Pieces side by side: each is done once, never more at a time than asked, and a failure is told at the end."""

import threading
import time

import pytest
import torch

from tasks import side_by_side
from tasks.side_by_side import SideBySide, cpu_seconds


class Busy:
    """Work that notes what it did and how much ran at the same time."""

    def __init__(self, failing: int = -1) -> None:
        self.done: list[int] = []
        self.most = self._now = 0
        self.torch_threads: set[int] = set()
        self._failing, self._lock = failing, threading.Lock()

    def __call__(self, piece: int) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.01)
        with self._lock:
            self._now -= 1
            self.done.append(piece)
            self.torch_threads.add(torch.get_num_threads())
        if piece == self._failing:
            raise ValueError(f"piece {piece}")


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> SideBySide:
    monkeypatch.setattr(side_by_side, "_processors", lambda: 3)
    return SideBySide()


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (2, 2), (3, 3), (9, 3)])
def test_every_piece_is_done_once_and_no_more_at_a_time_than_asked(three: SideBySide, at_once: int, most: int) -> None:
    busy = Busy()
    three.do(busy, range(8), at_once=at_once)
    assert sorted(busy.done) == list(range(8)) and busy.most == most
    three.close()


def test_each_thread_computes_with_one_thread_of_torch(three: SideBySide) -> None:
    busy = Busy()
    three.do(busy, range(6), at_once=3)
    three.close()
    assert busy.torch_threads == {1}


def test_a_failure_is_told_when_nothing_runs_any_more(three: SideBySide) -> None:
    busy = Busy(failing=1)
    with pytest.raises(ValueError, match="piece 1"):
        three.do(busy, range(6), at_once=3)
    ended = len(busy.done)
    time.sleep(0.05)
    assert len(busy.done) == ended and {0, 2, 3, 5} <= set(busy.done)
    three.do(busy, [7], at_once=3)
    three.close()


def test_what_other_threads_did_counts_for_the_one_that_asked(three: SideBySide) -> None:
    def busy(piece: int) -> None:
        begun = time.thread_time()
        while time.thread_time() - begun < 0.02:
            pass

    before = cpu_seconds()
    three.do(busy, range(6), at_once=3)
    three.close()
    assert cpu_seconds() - before >= 6 * 0.02


def test_many_processors_are_left_to_other_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_processors", lambda: 64)
    assert SideBySide().processors == 4
