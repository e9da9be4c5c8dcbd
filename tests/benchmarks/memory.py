"""Memory of a tree of processes: PSS summed, so that a page shared by three counts once in all.

Of Ray's daemons only shared memory is counted: the object store lies there, and its frames are the
render's own, whichever process has them mapped.  Their code and heaps are left out.
"""

from collections.abc import Iterable

from tests.benchmarks.tree import PROC, Row


def tree_bytes(rows: Iterable[Row]) -> int:
    """PSS of the render's processes, plus the shared-memory share of Ray's daemons."""
    return sum(_rollup(row.pid, "Pss_Shmem:" if row.daemon else "Pss:") for row in rows)


def _rollup(pid: int, field: str) -> int:
    """Bytes of one field of smaps_rollup; 0 where the process has just ended."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)
