"""The rehearsal changes nothing, keeps its pace, and fails where it is asked to."""

import time
from pathlib import Path

import numpy as np
import pytest

from tasks.chain import Chain
from tasks.errors import OutOfVram
from tasks.rehearsal import RehearsalTask
from tasks.table import task_spec
from tasks.task import TaskInputs
from tests.tasks.pictures import picture_format, random_batch


def _rendered(device: str = "cpu", **options: str) -> bool:
    chain = Chain([RehearsalTask(task_spec("rehearsal", options))], device)
    chain.load()
    batch = random_batch(picture_format(), 4)
    before = [plane.copy() for plane in batch.planes]
    after = chain.render(batch, [TaskInputs(0, 4, {}, {})])
    return all(np.array_equal(a, b) for a, b in zip(before, after.planes, strict=True))


def test_a_rehearsal_changes_nothing_and_takes_its_time() -> None:
    begun = time.monotonic()
    assert _rendered(milliseconds="20")
    assert time.monotonic() - begun >= 0.08


def test_the_process_that_makes_the_file_is_slower(tmp_path: Path) -> None:
    file = tmp_path / "slow"
    begun = time.monotonic()
    assert _rendered(milliseconds="20", slower="4", slower_file=str(file))
    assert time.monotonic() - begun >= 0.32
    file.write_text("another process")
    begun = time.monotonic()
    assert _rendered(milliseconds="20", slower="4", slower_file=str(file))
    assert time.monotonic() - begun < 0.32


def test_a_rehearsal_fails_at_its_frame_only() -> None:
    assert _rendered(fail_at="4")
    with pytest.raises(RuntimeError, match="asked to fail at frame 3"):
        _rendered(fail_at="3")


def test_a_rehearsal_is_too_large_for_what_it_is_told() -> None:
    assert _rendered(too_large_for="gpu")
    with pytest.raises(OutOfVram, match="asked to run out of memory on cpu:0"):
        _rendered("cpu:0", too_large_for="gpu")
    with pytest.raises(OutOfVram):
        _rendered(too_large_for="all")
