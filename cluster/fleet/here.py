"""Steps in the driver's own process: on a small machine another process would import torch again, for nothing."""

import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: Steps at the same time: a second one goes on while the first waits for storage.
_AT_ONCE = 2


class StepsHere:
    """Takes the place of side workers on a machine with a single cell."""

    def __init__(self, storage_options: Mapping[str, str]) -> None:
        self._storage_options = dict(storage_options)
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def do(self, function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
        """`function(storage, scratch, *arguments)`; blocks while as many as may are under way."""
        import av.logging

        from pipeline.storage import Storage

        # As in every worker: a codec freed while it logs would deadlock (PyAV #1861).
        av.logging.set_level(None)
        with self._free, tempfile.TemporaryDirectory(prefix="reelyard-step-") as scratch:
            return function(Storage(self._storage_options), Path(scratch), *arguments)
