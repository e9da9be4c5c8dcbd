"""Encoders that make themselves real-time threads are taken back to the ordinary scheduling class.

SVT-AV1, where it runs as root, gives the thread that opens it and all threads of its own SCHED_FIFO at the highest
priority (pthread_setschedparam).  Nothing else on the machine then runs beside them, Ray's own processes included,
and every process that such a thread starts inherits it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextmanager
def ordinary_threads() -> Iterator[None]:
    """Threads that turn real-time in the block, or come into being as such, are ordinary ones after it."""
    before = _real_time()
    try:
        yield
    finally:
        for thread in _real_time() - before:
            with suppress(OSError):  # It has ended meanwhile.
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _real_time() -> frozenset[int]:
    """Threads of this process in a real-time class; none where the system has no such thing."""
    if not hasattr(os, "sched_getscheduler") or not _THREADS.is_dir():
        return frozenset()
    found = set()
    for thread in map(int, os.listdir(_THREADS)):
        with suppress(OSError):
            if os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                found.add(thread)
    return frozenset(found)
