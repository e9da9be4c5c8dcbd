"""A local Ray without the daemons that a single run has no use for; the only file that knows Ray's insides.

Left out are the dashboard's API server (jobs, state and usage reports; it starts even with
`include_dashboard=False`, and `ray.init` waits for it), the autoscaler's monitor and the log monitor
(nothing is logged to the driver).  They take 2.4 CPU seconds and 3 of the 10 seconds from the command to
the first frame.  A Ray that calls them otherwise is started as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Methods of ray._private.node.Node (2.60) that start what is left out.
LEFT_OUT = ("start_api_server", "start_monitor", "start_log_monitor")


@contextmanager
def lean_start() -> Iterator[None]:
    """For the time of the block, `ray.init` starts only what actors and objects need."""
    import ray._private.node

    node: Any = ray._private.node.Node
    kept = {name: getattr(node, name) for name in LEFT_OUT if hasattr(node, name)}
    for name in kept:
        setattr(node, name, _start_nothing)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(node, name, method)


def _start_nothing(*arguments: object, **options: object) -> None:
    """In place of a method that starts a daemon."""
