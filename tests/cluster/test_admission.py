"""Whose turn it is in a batch: looked at first, by priority, fair share and length; duplicates wait for the first."""

import random

from cluster.batch.admission import Admission
from cluster.manifest.values import Item
from pipeline.job import RenderJob
from pipeline.look import Look


def item(line: int, priority: int = 0, group: str = "", weight: float = 1.0, **job: object) -> Item:
    made = RenderJob(f"in/{line}.mp4", f"out/{line}.mp4", **job)  # type: ignore[arg-type]
    return Item(f"{line}.mp4", line, made, priority, group, weight)


def look(megapixels: float, content: str = "", done: bool = False) -> Look:
    return Look(10, megapixels, 1.0, 1, done, content)


def turns(admission: Admission) -> list[str]:
    found = []
    while (turn := admission.next(0.0)) is not None:
        found.append(turn.item.name)
    return found


def test_nothing_goes_before_it_and_all_before_it_were_looked_at() -> None:
    items = [item(1), item(2), item(3)]
    admission = Admission(items)
    admission.looked(items[2], look(9, "c"))
    admission.looked(items[1], look(1, "b"))
    assert turns(admission) == []
    admission.looked(items[0], look(5, "a"))
    assert turns(admission) == ["3.mp4", "1.mp4", "2.mp4"]
    assert admission.over


def test_what_seems_to_be_done_is_looked_at_last_and_holds_nobody_up() -> None:
    items = [item(1, priority=9), item(2), item(3), item(4, overwrite=True)]
    admission = Admission(items, {"out/1.mp4", "out/3.mp4", "out/4.mp4"})
    assert [one.name for one in admission.in_order] == ["2.mp4", "4.mp4", "1.mp4", "3.mp4"]
    admission.looked(items[1], look(1, "b"))
    assert turns(admission) == ["2.mp4"]
    assert not admission.over


def test_a_refused_item_holds_nobody_up() -> None:
    items = [item(1), item(2)]
    admission = Admission(items)
    admission.looked(items[1], look(1, "b"))
    admission.refused(items[0])
    assert turns(admission) == ["2.mp4"]
    assert admission.over


def test_priority_goes_first_then_groups_in_turn_by_weight() -> None:
    items = [
        *(item(n, group="many") for n in range(1, 7)),
        *(item(n, group="few", weight=2.0) for n in range(7, 10)),
        item(10, 1),
    ]
    admission = Admission(items)
    for one in items:
        admission.looked(one, look(4, str(one.line)))
    order = turns(admission)
    assert order[0] == "10.mp4"
    groups = ["many" if int(name.split(".")[0]) < 7 else "few" for name in order[1:]]
    assert groups[:6].count("few") in (3, 4)  # Twice the weight of the others, as long as there are some.


def test_a_duplicate_waits_for_the_first_whoever_was_looked_at_first() -> None:
    for seed in range(20):
        items = [item(n) for n in range(1, 7)]
        admission = Admission(items)
        for one in random.Random(seed).sample(items, len(items)):
            admission.looked(one, look(1, "same" if one.line in (2, 4, 5) else f"own {one.line}"))
        assert set(turns(admission)) == {"1.mp4", "2.mp4", "3.mp4", "6.mp4"}
        admission.finished(items[1])
        later = [admission.next(0.0), admission.next(0.0)]
        assert [turn.item.line for turn in later if turn] == [4, 5]
        assert {turn.like.line for turn in later if turn and turn.like} == {2}


def test_equal_sources_of_different_jobs_are_no_duplicates() -> None:
    items = [item(1), item(2, label="Synthetic"), item(3)]
    admission = Admission(items)
    for one in items:
        admission.looked(one, look(1, "same"))
    assert sorted(turns(admission)) == ["1.mp4", "2.mp4"]


def test_a_source_that_could_not_be_looked_at_is_nobodys_duplicate() -> None:
    items = [item(1), item(2)]
    admission = Admission(items)
    for one in items:
        admission.looked(one, look(0))
    assert sorted(turns(admission)) == ["1.mp4", "2.mp4"]


def test_an_item_of_another_driver_comes_again_later() -> None:
    items = [item(1)]
    admission = Admission(items)
    admission.looked(items[0], look(1, "a"))
    assert admission.next(0.0) is not None
    admission.defer(items[0], 5.0)
    assert not admission.over
    assert admission.next(4.0) is None
    turn = admission.next(5.0)
    assert turn is not None
    assert turn.item is items[0]
