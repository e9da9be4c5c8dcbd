"""What a cluster tells all its drivers does not get among a command's output."""

import logging
import time
from typing import Any

import pytest
import ray._private.utils
import ray._private.worker

from cluster import quiet_ray
from cluster.connection import Connection
from cluster.quiet_ray import PRINTS, quiet

_TOLD = "a worker of another program died"


def test_what_the_cluster_tells_its_drivers_is_logged_and_not_printed(
    connection: Connection,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quiet_ray, "log", logging.getLogger("a log of this test"))  # Commands set up the usual one.
    caplog.set_level("DEBUG", logger="a log of this test")
    worker: Any = ray._private.worker
    ray._private.utils.publish_error_to_driver("worker_died", _TOLD, gcs_client=worker.global_worker.gcs_client)
    deadline = time.monotonic() + 30
    while _TOLD not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert _TOLD not in "".join(capfd.readouterr())


def test_rays_own_printing_is_there_and_back_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    worker: Any = ray._private.worker
    assert callable(getattr(worker, PRINTS))

    def prints() -> None: ...

    monkeypatch.setattr(worker, PRINTS, prints)
    with quiet():
        assert getattr(worker, PRINTS) is not prints
    assert getattr(worker, PRINTS) is prints
