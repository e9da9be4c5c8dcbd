"""A card looked at every few seconds while its worker lives: figures for the metrics, warnings for the report."""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from cluster.gpus.reading import Card, Reading, Seen, warnings_of

log = logging.getLogger("reelyard")

PERIOD_SECONDS = 5.0


class Readable(Protocol):
    """A card that answers."""

    card: Card

    def read(self) -> Reading:
        """As of now.

        Raises:
            OSError: it does not answer any more.
        """


class GpuWatch:
    """Looks in a thread of its own until `stop`, or until the card does not answer, which is told too."""

    def __init__(
        self,
        device: Readable,
        *,
        built_for: str,
        warn: Callable[[str], None],
        publish: Callable[[Reading], None] = lambda reading: None,
        period_seconds: float = PERIOD_SECONDS,
    ) -> None:
        self.seen = Seen(device.card)
        self._device, self._built_for, self._period = device, built_for, period_seconds
        self._warn, self._publish = warn, publish
        self._warned: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="gpu watch")
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=2)

    def _look(self) -> None:
        while not self._ended.is_set():
            try:
                reading = self._device.read()
            except OSError as error:
                self._tell(f"{error}; expected it to: if segments fail, drain this node and restart its driver")
                return
            self.seen = self.seen.after(reading)
            with contextlib.suppress(Exception):  # Figures that cannot be published must end no watch.
                self._publish(reading)
            for warning in warnings_of(self.seen, self._built_for):
                self._tell(warning)
            self._ended.wait(self._period)

    def _tell(self, warning: str) -> None:
        if warning not in self._warned:
            self._warned.add(warning)
            log.warning("%s", warning)
            self._warn(warning)
