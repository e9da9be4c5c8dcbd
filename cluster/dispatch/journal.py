"""Where events get their time and their order; told to every listener, one at a time."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from cluster.events import Event, Listener

log = logging.getLogger("reelyard")


class Journal:
    """Called from any thread; listeners are called in order, by one thread at a time."""

    def __init__(self, *listeners: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self._listeners = listeners
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()

    def listen(self, listener: Listener) -> None:
        """Tell this one too, from now on."""
        with self._lock:
            self._listeners += (listener,)

    @property
    def seconds(self) -> float:
        """Since the start of the run."""
        return self._clock() - self._started

    def tell(self, event: Callable[..., Event], *values: Any, **fields: Any) -> None:
        """`event(at, *values, **fields)`, told to all listeners; one that fails is left out from then on."""
        with self._lock:
            told = event(self.seconds, *values, **fields)
            for listener in self._listeners:
                try:
                    listener(told)
                except Exception:  # A report that cannot be drawn must not end a night's batch.
                    log.exception("a listener of the run's events failed and hears no more")
                    self._listeners = tuple(one for one in self._listeners if one is not listener)
