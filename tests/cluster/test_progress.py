"""How often a run asks its workers how far they are."""

from types import SimpleNamespace

import pytest

from cluster.fleet import progress


@pytest.fixture(autouse=True)
def _as_in_a_run(_progress_at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests ask at once; these hold what a run does."""
    monkeypatch.setattr(progress, "_ASK_SHARE", 0.2)


@pytest.mark.parametrize(
    ("age", "workers", "seconds"),
    [
        (None, 1, 0.1),
        (None, 40, 2.0),
        (0.0, 1, 0.5),
        (0.0, 4, 15.0),
        (10.0, 1, 2.0),
        (3600.0, 8, 25.0),
        (3600.0, 3000, 30.0),
    ],
)
def test_workers_are_asked_often_at_first_and_seldom_in_a_long_run(
    age: float | None, workers: int, seconds: float
) -> None:
    assert progress._pause(age, workers, waits=True) == pytest.approx(seconds)


@pytest.mark.parametrize(("workers", "seconds"), [(1, 0.5), (8, 7.0), (500, 25.0)])
def test_where_nothing_waits_any_more_they_are_asked_often_again(workers: int, seconds: float) -> None:
    """Whoever is slow now holds up the end."""
    assert progress._pause(3600.0, workers, waits=False) == pytest.approx(seconds)


def test_ends_of_leases_spare_questions_but_none_hides_another_attempt_for_long() -> None:
    def at(*signs: float) -> float:
        return progress._next_ask(100.0, [SimpleNamespace(last_sign=sign) for sign in signs], 25.0)  # type: ignore[arg-type]

    assert at(90.0, 95.0) == 125.0, "not before a pause since it was asked"
    assert at(130.0, 140.0) == 165.0
    assert at(110.0, 140.0) == 160.0
    assert at(90.0, 500.0) == 140.0


def test_a_stalled_attempt_is_asked_many_times_before_it_is_given_up() -> None:
    from cluster.dispatch.dispatcher import STALL_SECONDS

    assert STALL_SECONDS / progress._pause(1e6, 512, waits=True) > 10
