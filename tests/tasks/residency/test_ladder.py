"""The ladder ends after few steps, grows back carefully, and tells each step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.residency.ladder import FIRST_PATIENCE, Ladder, Setting, after_shortage, after_success

WANTED = Setting(1000, 12)


def test_everything_gives_way_in_order_and_then_the_device_is_given_up() -> None:
    ladder = Ladder.start(WANTED, (512, 256))
    kinds, told = [], []
    while not kinds or kinds[-1] != "elsewhere":
        ladder, step = after_shortage(ladder, least_bytes=600 if not kinds else None, reason="full")
        kinds.append(step.kind)
        told.append(str(step))
    assert kinds == ["evict", "halve", "halve", "halve", "tile", "tile", "elsewhere"]
    assert ladder.now == Setting(600, 1, 256)
    assert told[0] == "evict: model budget 1,000 bytes → 600 bytes (full)"
    assert told[1] == "halve: batch 12 → 6 (full)"
    assert told[4] == "tile: tile whole frame → 512 (full)"
    assert told[6] == "elsewhere: nothing smaller is left on this device (full)"


def test_growing_back_undoes_the_last_step_first() -> None:
    ladder = Ladder(WANTED, Setting(600, 3, 256), (512, 256))
    seen = []
    for _ in range(20 * FIRST_PATIENCE):
        ladder, step = after_success(ladder)
        if step:
            assert step.kind == "grow"
            seen.append(ladder.now)
    assert seen == [Setting(600, 3, 512), Setting(600, 3), Setting(600, 6), Setting(600, 12), WANTED]


def test_growing_that_was_too_much_is_tried_ever_more_rarely() -> None:
    ladder = Ladder.start(WANTED)
    shortages = 0
    for _ in range(5000):
        if ladder.now.batch_frames > 3:
            ladder, _ = after_shortage(ladder, least_bytes=None, reason="")
            shortages += 1
        else:
            ladder, _ = after_success(ladder)
    assert ladder.now.batch_frames in (3, 6)
    assert 5 <= shortages <= 12


@given(
    st.integers(1, 64),
    st.sampled_from([(), (512,), (512, 256, 128)]),
    st.lists(st.one_of(st.none(), st.just(-1), st.integers(0, 1000)), max_size=120),
)
def test_no_setting_is_beyond_what_was_wanted_or_below_the_smallest(
    batch: int, sides: tuple[int, ...], events: list[int | None]
) -> None:
    """Events: None a success, -1 a shortage with nothing cold, else one with so many bytes left."""
    ladder = Ladder.start(Setting(1000, batch), sides)
    for event in events:
        before = ladder.now
        if event is None:
            ladder, step = after_success(ladder)
        else:
            ladder, step = after_shortage(ladder, least_bytes=None if event < 0 else event, reason="")
            assert step is not None and (step.kind == "elsewhere") == (before == ladder.now)
            assert step.kind != "elsewhere" or before.batch_frames == 1
        assert 1 <= ladder.now.batch_frames <= batch
        assert ladder.now.tile_side in (0, *sides)
        assert 0 <= ladder.now.budget_bytes <= 1000
        assert step is None or (step.before, step.after) == (before, ladder.now)


def test_a_ladder_starts_with_falling_tiles_and_a_frame() -> None:
    with pytest.raises(ValueError, match="falling"):
        Ladder.start(WANTED, (128, 256))
    with pytest.raises(ValueError, match="batch 0"):
        Ladder.start(Setting(1, 0))
