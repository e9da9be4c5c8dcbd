"""The Ray of a run: started for it alone and ended with it, or joined and left as it was."""

import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.address import Place
from cluster.budget import local_store_bytes
from cluster.lean_ray import lean_start
from cluster.packages import PACKAGES, own_code
from cluster.quiet_ray import quiet
from tasks.errors import JobError, ResourceShortage

log = logging.getLogger("reelyard")

#: What a local Ray is started with: no reports to the outside, no event files, no clearing of
#: CUDA_VISIBLE_DEVICES for workers without a GPU, no rewriting of the driver's start by uv.
_LOCAL_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DEDUP_LOGS": "0",
}
#: A path of Ray's sockets must stay under 107 bytes; Ray adds about 60 to its folder.
_LONGEST_FOLDER = 40


@dataclass(frozen=True)
class Connection:
    """A Ray that is connected to, and what it has."""

    local: bool
    cpus: int
    gpus: int
    store_bytes: int
    "Object store of the smallest node that has one."
    one_machine: bool
    "True where all nodes are this machine: paths mean the same to driver and workers."


@contextmanager
def connected(place: Place, local_cpus: int | None = None) -> Iterator[Connection]:
    """Ray for the time of the block; a local one with as many CPUs as there are where nothing is said.

    Raises:
        JobError: the cluster to join does not answer, refuses the token, or runs another version.
        ResourceShortage: a local Ray could not be started.
    """
    with quiet(), _local_ray(local_cpus) if place.kind == "local" else _joined_ray(place.address):
        yield _measured(place.kind == "local")


@contextmanager
def _local_ray(cpus: int | None) -> Iterator[None]:
    _set_environment()
    import psutil
    import ray

    folder = _short_folder()
    shared = shutil.disk_usage("/dev/shm").free if Path("/dev/shm").is_dir() else 0
    store = local_store_bytes(psutil.virtual_memory().total, shared)
    try:
        _start_local(cpus or max(2, os.cpu_count() or 2), store, folder)
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ResourceShortage(
            f"a local Ray could not be started: {_first_line(error)}; "
            "`reelyard doctor` looks for the cause, --in-process renders without Ray"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _start_local(cpus: int, store_bytes: int, folder: Path) -> None:
    """A Ray of this machine alone; tried once more where a busy machine let it run out of its 30 seconds."""
    import ray

    for again in (True, False):
        try:
            with lean_start():
                ray.init(
                    address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=store_bytes,
                    log_to_driver=False, logging_level=logging.ERROR, _temp_dir=str(folder),
                    _system_config={"automatic_object_spilling_enabled": False},
                )  # fmt: skip
            return
        except Exception as error:
            if not again or "timed out during startup" not in str(error):
                raise
            log.warning("the local Ray took too long to start; starting it once more")
            ray.shutdown()


def _set_environment() -> None:
    """What Ray and its processes read; a token of this run alone, where the user has set no mode."""
    for name, value in _LOCAL_SETTINGS.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_MODE" in os.environ:
        return
    # Left alone, Ray would write a token into the home folder.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    if "ray" in sys.modules:
        raylet: Any = sys.modules["ray"]._raylet
        raylet.Config.initialize("")


def _short_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="reelyard-ray-"))
    if len(str(folder)) <= _LONGEST_FOLDER:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="reelyard-ray-", dir="/tmp"))


@contextmanager
def _joined_ray(address: str) -> Iterator[None]:
    import ray
    import ray.exceptions

    with tempfile.TemporaryDirectory(prefix="reelyard-ship-") as folder:
        shipped = packages_to_ship(Path(folder))
        try:
            ray.init(
                address=address, log_to_driver=False, logging_level=logging.ERROR,
                runtime_env={"py_modules": [str(shipped)]},
            )  # fmt: skip
        except ray.exceptions.AuthenticationError as error:
            raise JobError(
                f"--address {address}: the cluster asks for a token; set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's"
            ) from error
        except Exception as error:
            raise JobError(
                f"--address {address}: cannot be joined: {_first_line(error)}; expected a head of Ray "
                f"{ray.__version__} that this machine reaches (HOST:6379)"
            ) from error
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            ray.shutdown()


def packages_to_ship(folder: Path) -> Path:
    """A folder with the three packages; Ray uploads it once, by content, and unpacks it on each node."""
    target = folder / "reelyard_packages"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(Path(own_code().root) / package, target / package, ignore=ignored)
    return target


def _measured(local: bool) -> Connection:
    import ray as untyped_ray

    ray: Any = untyped_ray
    resources = ray.cluster_resources()
    stores = [
        int(node["Resources"]["object_store_memory"])
        for node in ray.nodes()
        if node["Alive"] and "object_store_memory" in node["Resources"]
    ]
    here = ray.util.get_node_ip_address()
    return Connection(
        local, int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), min(stores, default=0),
        local or all(node["NodeManagerAddress"] == here for node in ray.nodes() if node["Alive"]),
    )  # fmt: skip


def _first_line(error: BaseException) -> str:
    text: Any = str(error).strip() or type(error).__name__
    return str(text).splitlines()[0][:300]
