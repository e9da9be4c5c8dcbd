"""Where a run takes place: in this process, on a Ray of its own, or on a cluster that is joined.

Pure: looks at what was asked for and at an environment that it is given; starts nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tasks.errors import JobError

#: Set by Ray's job supervisor for the driver of a submitted job, and by nobody else.
JOB_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"
#: Of a GPU: more cells than this on one would spend its memory on their own CUDA contexts.
SMALLEST_SHARE = 0.05


@dataclass(frozen=True)
class Place:
    """Where a run takes place, and why there."""

    kind: str
    "in-process | local | joined"
    address: str
    "host:port or auto where joined, else empty."
    reason: str
    gpus_per_cell: float = 1.0
    "Share of a GPU that each cell is given; below 1 several stand on one."


def choose_place(
    in_process: bool, address: str | None, environment: Mapping[str, str], gpus_per_cell: float | None = None
) -> Place:
    """`--in-process`, else `--address`, else the cluster of the Ray job this runs in, else a local Ray.

    Raises:
        JobError: both were asked for, the address is of a kind that cannot be joined, or no cell has such a share.
    """
    if in_process and gpus_per_cell is not None:
        raise JobError("--gpus-per-cell and --in-process: one process has its GPU alone; give one of them")
    return replace(_place(in_process, address, environment), gpus_per_cell=checked_share(gpus_per_cell))


def checked_share(gpus_per_cell: float | None) -> float:
    """Of a GPU; all of one where nothing is said.

    Raises:
        JobError: no cell can have such a share.
    """
    if gpus_per_cell is None:
        return 1.0
    if not SMALLEST_SHARE <= gpus_per_cell <= 1:
        raise JobError(
            f"--gpus-per-cell {gpus_per_cell:g}: expected {SMALLEST_SHARE:g} to 1, as 0.5 for two cells on each GPU; "
            "a cell computes on one GPU, several GPUs get several cells by themselves"
        )
    return gpus_per_cell


def _place(in_process: bool, address: str | None, environment: Mapping[str, str]) -> Place:
    if in_process and address:
        raise JobError("--in-process and --address: found both; give one of them")
    if in_process:
        return Place("in-process", "", "--in-process")
    if address:
        return Place("joined", _joinable(address), f"--address {address}")
    found = environment.get("RAY_ADDRESS", "")
    if found and JOB_MARK in environment:
        return Place("joined", found, f"inside a Ray job: the cluster at {found} is joined")
    if found:
        followed = f"RAY_ADDRESS={found} is only followed inside a Ray job (--address {found} joins it)"
        return Place("local", "", f"no --address: {followed}")
    return Place("local", "", "no --address and not inside a Ray job")


def _joinable(address: str) -> str:
    if address.startswith("ray://"):
        raise JobError(
            f"--address {address}: Ray Client cannot carry streams of pictures; "
            "run on a machine of the cluster with --address HOST:6379, or submit the command as a Ray job"
        )
    if address.startswith(("http://", "https://")):
        raise JobError(
            f"--address {address}: found the dashboard's address, expected HOST:PORT of the head "
            f"(often :6379); to run there as a job: reelyard submit --address {address} render …"
        )
    if address != "auto" and not _is_host_and_port(address):
        raise JobError(f"--address {address}: expected HOST:PORT or auto")
    return address


def _is_host_and_port(address: str) -> bool:
    host, separator, port = address.rpartition(":")
    return bool(host and separator and port.isdigit() and 0 < int(port) < 65536)
