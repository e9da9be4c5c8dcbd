"""Ray heads as a person starts them: `ray start --head --block`, with a dashboard, ended by their process id."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psutil


@dataclass(frozen=True)
class Head:
    """A head that answers."""

    dashboard: str
    "http://127.0.0.1:PORT"
    gcs: str
    "HOST:PORT that drivers join."


@contextmanager
def ray_head(environment: Mapping[str, str], ports: Sequence[int]) -> Iterator[Head]:
    """A head with a folder and three `ports` of its own; `environment` replaces this process's RAY_ variables."""
    folder = Path(tempfile.mkdtemp(prefix="ry-", dir="/tmp"))
    gcs, dashboard, agent = ports
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1",
        f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
        f"--temp-dir={folder}", "--num-cpus=4", f"--object-store-memory={150 * 2**20}",
    ]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))}
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SCHEDULER_EVENTS": "0", "OMP_NUM_THREADS": "1"}
    with (folder / "head.log").open("w") as log:
        started = subprocess.Popen(
            command, env={**kept, **settings, **environment}, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    try:
        _await_dashboard(f"http://127.0.0.1:{dashboard}", started, folder / "head.log")
        yield Head(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{gcs}")
    finally:
        _end(started)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports below those that Ray gives its workers (10002–19999)."""
    found: list[int] = []
    for port in range(7000 + os.getpid() % 2000, 10_000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports between 7000 and 10000")


def _await_dashboard(url: str, started: "subprocess.Popen[bytes]", log: Path) -> None:
    """Returns once jobs can be submitted: a head without its agent would refuse them for a while."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if started.poll() is not None:
            break
        try:
            with urlopen(f"{url}/api/version", timeout=5):
                pass
        except HTTPError as answered:
            if answered.code in (401, 403):
                return
        except (URLError, OSError):
            time.sleep(0.2)
            continue
        else:
            return
    raise RuntimeError(f"the head did not come up:\n{log.read_text()[-3000:]}")


def _end(started: "subprocess.Popen[bytes]") -> None:
    """The head and all that it started, by process id; its gcs_server may outlive SIGTERM."""
    try:
        ours = [psutil.Process(started.pid), *psutil.Process(started.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    started.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(ours, timeout=2)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=10)
    started.wait(timeout=10)
