"""A local Ray starts no daemon that nobody asks anything; what is left out is still there in Ray."""

import contextlib

import psutil
import ray._private.node

from cluster.connection import Connection
from cluster.lean_ray import LEFT_OUT, lean_start

_IDLE = ("dashboard/dashboard.py", "/monitor.py", "/log_monitor.py")


def test_the_daemons_left_out_are_rays_own() -> None:
    assert all(callable(getattr(ray._private.node.Node, name)) for name in LEFT_OUT)


def test_rays_methods_are_back_after_the_block() -> None:
    before = [getattr(ray._private.node.Node, name) for name in LEFT_OUT]
    with lean_start():
        assert all(getattr(ray._private.node.Node, name) not in before for name in LEFT_OUT)
    assert [getattr(ray._private.node.Node, name) for name in LEFT_OUT] == before


def test_a_local_ray_runs_without_idle_daemons(connection: Connection) -> None:
    assert connection.local
    commands = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # Others come and go; a zombie has no command any more.
            commands.append(" ".join(process.cmdline()))
    assert any("raylet" in command for command in commands)
    assert not [command for command in commands for name in _IDLE if name in command]
