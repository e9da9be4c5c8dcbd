"""Independent pieces of work done by several processors of a machine at once; knows no pictures.

Each piece is computed by one thread from beginning to end, so its bits do not depend on how many there are:
torch's own threads share one sum out instead, and add it up in another order.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Piece = TypeVar("Piece")

_MOST: Final = 4
"As many as a cell without a GPU has (cluster.fleet.plan.CELL_CPUS): the others have cells of their own."


class SideBySide:
    """Threads that compute, from its making to `close`; none at all on a machine of one processor."""

    def __init__(self) -> None:
        self.processors = min(_MOST, _processors())
        self._threads: ThreadPoolExecutor | None = None

    def do(self, work: Callable[[Piece], None], pieces: Iterable[Piece], *, at_once: int) -> None:
        """`work` of every piece, at most so many at a time; none runs any more when this ends, or raises."""
        waiting = list(pieces)
        if min(at_once, self.processors, len(waiting)) < 2:
            for piece in waiting:
                work(piece)
            return
        if self._threads is None:
            # A new thread would begin with as many threads of torch's own as there are processors.
            self._threads = ThreadPoolExecutor(self.processors, "side by side", initializer=_one_thread_of_torch)
        lanes = [waiting[lane::at_once] for lane in range(at_once)]
        running = [self._threads.submit(_one_after_another, work, lane) for lane in lanes]
        failures = [error for future in running if (error := future.exception()) is not None]
        _lent.seconds = _seconds_lent() + sum(future.result() for future in running if not future.exception())
        if failures:
            raise failures[0]

    def close(self) -> None:
        """End the threads; no work is being done."""
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None


def cpu_seconds() -> float:
    """Of this thread, and of the threads that did pieces for it."""
    return time.thread_time() + _seconds_lent()


_lent = threading.local()


def _seconds_lent() -> float:
    seconds: float = getattr(_lent, "seconds", 0.0)
    return seconds


def _one_after_another(work: Callable[[Piece], None], pieces: Iterable[Piece]) -> float:
    """The CPU seconds that it took."""
    begun = time.thread_time()
    for piece in pieces:
        work(piece)
    return time.thread_time() - begun


def _one_thread_of_torch() -> None:
    import torch

    torch.set_num_threads(1)


def _processors() -> int:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
