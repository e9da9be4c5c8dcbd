"""What Ray would print among a command's own output goes into the log.

A driver hears of every worker and node that any program of its cluster lost, and Ray prints each to
standard output, `log_to_driver=False` or not: into the JSON of a command that was asked for it.
What concerns a run is told by the run itself.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("reelyard")

#: The function of ray._private.worker (2.60) that prints what the cluster tells drivers.
PRINTS = "print_to_stdstream"


@contextmanager
def quiet() -> Iterator[None]:
    """For the time of the block, messages of Ray's daemons are logged at level debug."""
    import ray._private.worker

    module: Any = ray._private.worker
    kept = getattr(module, PRINTS, None)
    if kept is not None:
        setattr(module, PRINTS, _logged)
    try:
        yield
    finally:
        if kept is not None:
            setattr(module, PRINTS, kept)


def _logged(data: Mapping[str, Any], *arguments: object, **options: object) -> None:
    """In place of Ray's printing."""
    for line in data.get("lines", ()):
        log.debug("ray: %s", line)
