"""The event log: what was told can be told again, from a disk or a store, after a crash too."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.events import FramesPassed, LeaseBegan, Noted, RunBegan
from cluster.report.batch_document import batch_document_of
from cluster.report.event_log import EventLog, event_of, log_blocks, read_events
from cluster.report.state import folded
from pipeline.storage import Storage
from tasks.errors import JobError
from tests.cluster.runs import run
from tests.stores import s3_server


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with s3_server() as options:
        yield Storage(options)


def _told(log: EventLog) -> None:
    for event in run():
        log(event)
        log(FramesPassed(event.at, "render", 5))


def test_a_local_log_is_there_line_by_line(tmp_path: Path) -> None:
    log = EventLog(Storage(), str(tmp_path / "events"))
    _told(log)
    assert list(read_events(Storage(), str(tmp_path))) == list(run())
    log.close()
    log.close()
    log(Noted(1.0, "late", "", ""))
    assert list(read_events(Storage(), str(tmp_path / "events" / "events.jsonl"))) == list(run())


def test_a_torn_line_and_a_foreign_event_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    good = '{"event": "RunBegan", "at": 0.0, "videos": 1, "started_utc": "", "command": "", "new": 1}'
    file.write_text("\n".join([good, '{"event": "Unheard", "at": 1}', '["a"]', '{"event": "RunEnd']))
    assert list(read_events(Storage(), str(file))) == [RunBegan(0.0, 1, "", "")]


def test_units_come_back_as_they_were() -> None:
    lease = LeaseBegan(1.0, 7, "a", "v", "render", (3, 4), 500, duplicate_of=2)
    row = {"event": "LeaseBegan", "at": 1.0, "attempt": 7, "cell": "a", "video": "v", "work": "render",
           "units": [3, 4], "frames": 500, "duplicate_of": 2}  # fmt: skip
    assert event_of(json.dumps(row)) == lease


def test_a_report_made_from_the_log_is_the_run_s_own(tmp_path: Path) -> None:
    log = EventLog(Storage(), str(tmp_path))
    _told(log)
    log.close()
    again = batch_document_of(folded(read_events(Storage(), str(tmp_path))), {"*": 1.0}, {})
    assert again == batch_document_of(folded(run()), {"*": 1.0}, {})


def test_a_log_in_a_store_is_a_row_of_blocks(storage: Storage) -> None:
    log = EventLog(storage, "s3://bucket/out/events/one", block_seconds=0.3)
    events = list(run())
    for event in events[:50]:
        log(event)
    deadline = time.monotonic() + 20
    while not storage.list("s3://bucket/out/events") and time.monotonic() < deadline:
        time.sleep(0.05)
    # A driver that is killed here has lost nothing that is older than a block.
    assert list(read_events(storage, "s3://bucket/out")) == events[:50]
    for event in events[50:]:
        log(event)
    log.close()
    assert len(log_blocks(storage, "s3://bucket/out")) >= 2
    assert list(read_events(storage, "s3://bucket/out/events/one")) == events


def test_the_latest_of_several_logs_is_read(storage: Storage) -> None:
    for name, videos in (("20261121T120000-aa", 1), ("20261121T130000-bb", 2)):
        log = EventLog(storage, f"s3://bucket/two/events/{name}")
        log(RunBegan(0.0, videos, "", ""))
        log.close()
    assert list(read_events(storage, "s3://bucket/two")) == [RunBegan(0.0, 2, "", "")]


def test_a_store_that_refuses_is_said_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        log = EventLog(Storage(), "http://127.0.0.1:9/out", block_seconds=0.05)
        log(Noted(0.0, "a", "b", "c"))
        time.sleep(0.3)
        log(Noted(1.0, "a", "b", "c"))
        log.close()
    assert caplog.text.count("the event log waits for its store") == 1
    assert "2 events could not be written to the log" in caplog.text


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text("{}")
    with pytest.raises(JobError, match=r"found no event log .* expected the output prefix of a batch"):
        list(read_events(Storage(), str(tmp_path)))
