"""What a RunWatch keeps and says of a run."""

import logging

import pytest

from cluster.watch import RunWatch


def test_the_first_frame_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="reelyard")
    watch = RunWatch()
    watch.progress("scan", 15)
    assert watch.first_frame_seconds is None
    for _ in range(3):
        watch.progress("render", 15)
    assert [record.message for record in caplog.records if "first frame rendered" in record.message] == [
        f"first frame rendered {watch.first_frame_seconds:.1f} s after the start of the run"
    ]
