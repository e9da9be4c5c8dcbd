"""All that is kept of a run of many videos: its events go to the log and into the state, at its end to a report."""

import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.events import Event, Listener
from cluster.report.batch_document import Prices, batch_document_of
from cluster.report.event_log import EventLog
from cluster.report.state import RunState
from pipeline.storage import Storage
from tasks.errors import JobError, ReelyardError

Result = TypeVar("Result")

log = logging.getLogger("reelyard")


@dataclass(frozen=True)
class Places:
    """Where things of one run lie."""

    report: str
    page: str
    events: str
    "Folder of the event log; of this run alone."


def places_of(prefix: str, started_utc: str, asked: str | None = None) -> Places:
    """Below the output prefix, the report where `--report` says; the latest run's report replaces the one before.

    Raises:
        JobError: the asked name does not end in .json.
    """
    if asked is not None and not asked.endswith(".json"):
        raise JobError(f"--report {asked}: expected a name that ends in .json; its page is written beside it as .html")
    prefix = prefix.rstrip("/")
    report = asked or f"{prefix}/report.json"
    name = "".join(c for c in started_utc[:19] if c.isalnum()) + "-" + secrets.token_hex(3)
    return Places(report, report.removesuffix(".json") + ".html", f"{prefix}/events/{name}")


def page_places(page: str) -> Places:
    """Of a report that is made again, its JSON beside the page.

    Raises:
        JobError: the page's name does not end in .html.
    """
    if not page.endswith(".html"):
        raise JobError(f"--output {page}: expected a name that ends in .html; the report is written beside it as .json")
    return Places(page.removesuffix(".html") + ".json", page, "")


class Record:
    """Called with each event of a run, in order and from one thread at a time; then `finish`.

    A listener that raises is told no more events: what is said of a run never ends it.
    """

    def __init__(self, storage: Storage, places: Places, *listeners: Listener) -> None:
        self.state = RunState()
        self._lock = threading.Lock()
        self.places = places
        self._storage = storage
        self._log = EventLog(storage, places.events)
        self._listeners: list[Listener] = [self._take, self._log, *listeners]

    def __call__(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.warning("%s failed and is told no more", getattr(listener, "__qualname__", listener), exc_info=True)
                self._listeners.remove(listener)

    def look(self, at: Callable[[RunState], Result]) -> Result:
        """What `at` reads off the state, with no event in between; from any thread."""
        with self._lock:
            return at(self.state)

    def _take(self, event: Event) -> None:
        with self._lock:
            self.state.take(event)

    def finish(self, prices: Prices, versions: Mapping[str, str]) -> dict[str, Any]:
        """The document; written with its page, as far as storage takes them."""
        self._log.close()
        document = batch_document_of(self.state, prices, versions)
        write_batch_report(self._storage, self.places, document, self.state)
        return document


def write_batch_report(storage: Storage, places: Places, document: Mapping[str, Any], state: RunState) -> None:
    """Report and page; what cannot be written is logged, since the videos themselves are there."""
    from cluster.report.batch_page import batch_page_of

    try:
        text = json.dumps(document, indent=1, default=str, ensure_ascii=False)
        storage.put_bytes(text.encode(), places.report)
        storage.put_bytes(batch_page_of(document, state).encode(), places.page)
    except ReelyardError as error:
        log.warning("the report could not be written: %s", error.message)
