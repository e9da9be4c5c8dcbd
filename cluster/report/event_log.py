"""The event log of a run: JSON lines beside its output, from which everything else can be told again.

A local log is one file that grows line by line.  Stores of objects cannot append: there it is a row of numbered
blocks, one every half minute, so that a driver that is killed loses the events of its last half minute at most.
"""

import json
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from cluster import events
from cluster.events import Event, FramesPassed, as_row
from pipeline.storage import Storage
from tasks.errors import JobError, ReelyardError

log = logging.getLogger("reelyard")

_BLOCK_BYTES = 5 << 20
_BLOCK_SECONDS = 30.0
#: What is kept of blocks that the store does not take, until it does.
_WAITING_BYTES = 64 << 20
_OURS = re.compile(r"/events(-\d{6})?\.jsonl$")
_KINDS: dict[str, type[Event]] = {
    name: kind for name, kind in vars(events).items() if isinstance(kind, type) and issubclass(kind, Event)
}


class EventLog:
    """Called with each event of a run; writes them below `folder`, all but FramesPassed.

    What cannot be written is said once and tried again; a log never ends a run.
    """

    def __init__(self, storage: Storage, folder: str, block_seconds: float = _BLOCK_SECONDS) -> None:
        self.folder = folder.rstrip("/")
        path = storage.local_path(self.folder)
        self._sink: _LocalFile | _Blocks = (
            _LocalFile(path / "events.jsonl") if path is not None else _Blocks(storage, self.folder, block_seconds)
        )

    def __call__(self, event: Event) -> None:
        if not isinstance(event, FramesPassed):
            self._sink.write(json.dumps(as_row(event), ensure_ascii=False, default=str).encode() + b"\n")

    def close(self) -> None:
        """All that was told is written, as far as the store takes it; safe to call twice."""
        self._sink.close()


class _LocalFile:
    """Each line is in the hands of the operating system at once."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            log.warning("no event log: %s: %s", path, error)

    def write(self, line: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(line)
        except OSError as error:
            log.warning("the event log ends here: %s", error)
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Blocks:
    """Lines are gathered, and written by a thread of their own."""

    def __init__(self, storage: Storage, folder: str, block_seconds: float) -> None:
        self._storage, self._folder, self._block_seconds = storage, folder, block_seconds
        self._lines: list[bytes] = []
        self._bytes = 0
        self._number = 0
        self._dropped = 0
        self._warned = False
        self._closed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._write_blocks, name="event-log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        with self._change:
            if self._bytes > _WAITING_BYTES:
                self._dropped += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            if self._bytes >= _BLOCK_BYTES:
                self._change.notify()

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()
        if self._lines or self._dropped:
            log.warning("%s: %d events could not be written to the log", self._folder, len(self._lines) + self._dropped)

    def _write_blocks(self) -> None:
        closed = False
        while not closed:
            with self._change:
                if not self._closed:
                    self._change.wait(self._block_seconds)
                closed = self._closed
                lines = list(self._lines)
            if lines and self._put(b"".join(lines)):
                with self._change:
                    del self._lines[: len(lines)]
                    self._bytes -= sum(map(len, lines))

    def _put(self, block: bytes) -> bool:
        uri = f"{self._folder}/events-{self._number + 1:06d}.jsonl"
        try:
            self._storage.put_bytes(block, uri)
        except ReelyardError as error:
            if not self._warned:
                log.warning("the event log waits for its store: %s", error.message)
            self._warned = True
            return False
        self._number += 1
        return True


def read_events(storage: Storage, uri: str) -> Iterator[Event]:
    """The events of a log in order: of one .jsonl file, or of a folder and those below it.

    Lines that are torn, as the last of a killed run may be, and events of other versions are passed over.

    Raises:
        JobError: there is no event log.
    """
    uris = (uri,) if uri.endswith(".jsonl") else log_blocks(storage, uri)
    for block in uris:
        for line in storage.read(block).splitlines():
            if (event := event_of(line)) is not None:
                yield event


def log_blocks(storage: Storage, folder: str) -> tuple[str, ...]:
    """The files of the latest log in or below `folder`, in order.

    Raises:
        JobError: there is none.
    """
    found = [uri for uri in storage.list(folder) if _OURS.search(uri)]
    if not found:
        raise JobError(
            f"{folder}: found no event log (events.jsonl, events-000001.jsonl …), expected the output prefix of a "
            "batch, or a folder of its events; list what lies there and name the folder"
        )
    latest = max(uri.rpartition("/")[0] for uri in found)
    return tuple(uri for uri in found if uri.rpartition("/")[0] == latest)


def event_of(line: bytes | str) -> Event | None:
    """The event of one line of the log; None where it is no event that is known here."""
    try:
        row: dict[str, Any] = json.loads(line)
        kind = _KINDS[row.pop("event")]
        names = {field.name for field in fields(kind)}
        known: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in row.items() if n in names}
        return kind(**known)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
