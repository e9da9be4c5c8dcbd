"""Which failures are tried again, and how often: one table, decided by the class of the error.

`kind` is `SegmentError.kind`: the name of a class of tasks/errors.py, or `bug`.
"""

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """How a kind of failure is answered."""

    attempts: int
    "How often the same segment is tried in all."
    wait_seconds: float
    "Before the second attempt; doubled for each further one."


_NEVER = Retry(1, 0.0)
_TABLE = {
    "WorkerLost": Retry(4, 0.5),
    "StorageError": Retry(5, 2.0),
}


def retry_of(kind: str) -> Retry:
    """The table's row; everything that is not a matter of luck is never tried again."""
    return _TABLE.get(kind, _NEVER)


def wait_before(kind: str, failed_attempts: int) -> float | None:
    """Seconds to wait before the next attempt, None where there is none."""
    retry = retry_of(kind)
    if failed_attempts >= retry.attempts:
        return None
    return float(retry.wait_seconds * 2 ** (failed_attempts - 1))


def jittered(seconds: float, key: str) -> float:
    """From half to the whole of it, the same for the same key: what failed together does not come back together."""
    return seconds * (0.5 + 0.5 * zlib.crc32(key.encode()) / 2**32)
