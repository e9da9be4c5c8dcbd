"""Ray heads as a person starts them: `ray start --head --block`, with a dashboard, ended by their process id."""

import json
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
from urllib.request import Request, urlopen

import psutil

#: How often a head is started before it is given up.
_STARTS = 2


@dataclass(frozen=True)
class Head:
    """A head that answers."""

    dashboard: str
    "http://127.0.0.1:PORT"
    gcs: str
    "HOST:PORT that drivers join."


@contextmanager
def ray_head(environment: Mapping[str, str], options: Sequence[str] = ("--num-cpus=4",)) -> Iterator[Head]:
    """A head with a folder and ports of its own; `environment` replaces this process's RAY_ variables."""
    folder = Path(tempfile.mkdtemp(prefix="ry-", dir="/tmp"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))}
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SCHEDULER_EVENTS": "0", "OMP_NUM_THREADS": "1"}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(_STARTS):
            gcs, dashboard, agent = _free_ports(3)
            head = Head(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{gcs}")
            started.append(_start(folder, (gcs, dashboard, agent), {**kept, **settings, **environment}, options))
            if _comes_up(head, started[-1], environment.get("RAY_AUTH_TOKEN", "")):
                break
            _end(started[-1])
        else:
            raise RuntimeError("the head did not come up")
        yield head
    finally:
        if started[-1].poll() is not None:
            print(_last_words(folder), file=sys.stderr)
        _end(started[-1])
        shutil.rmtree(folder, ignore_errors=True)


def _last_words(folder: Path) -> str:
    """What a head said that died by itself."""
    logs = [
        folder / "head.log",
        *folder.glob("session_2*/logs/ray_process_exit.log"),
        *folder.glob("session_2*/logs/*.err"),
    ]
    return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in logs if log.is_file())


def _start(
    folder: Path, ports: tuple[int, int, int], environment: Mapping[str, str], options: Sequence[str]
) -> "subprocess.Popen[bytes]":
    gcs, dashboard, agent = ports
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1",
        f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}",
        f"--temp-dir={folder}", *options, f"--object-store-memory={150 * 2**20}",
    ]  # fmt: skip
    with (folder / "head.log").open("a") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder)


def _free_ports(count: int) -> list[int]:
    """Ports below those that Ray gives its workers (10002–19999)."""
    found: list[int] = []
    for port in range(7000 + os.getpid() % 2000, 10_000):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports between 7000 and 10000")


def _comes_up(head: Head, started: "subprocess.Popen[bytes]", token: str) -> bool:
    """True once the head knows its own node; False where it died, as one does on a crowded machine."""
    asked = Request(f"{head.dashboard}/api/v0/nodes", headers={"Authorization": f"Bearer {token}"} if token else {})
    deadline = time.monotonic() + 120
    while started.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(asked, timeout=10) as answer:
                if json.load(answer)["data"]["result"]["result"]:
                    return True
        except (OSError, ValueError, KeyError, TypeError):
            pass
        time.sleep(0.3)
    return False


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
