"""One chaos run from its seed to its verdict."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.faults import Faults, Nodes
from tests.chaos.store import Door, client_environment, store_behind_a_door
from tests.chaos.verdict import faults_of_cluster, faults_of_outputs, faults_of_report, faults_of_store
from tests.chaos.videos import Clip, make_clip, plan_clips

_ROOT = Path(__file__).resolve().parents[2]
_RAY = {
    "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_SCHEDULER_EVENTS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """How large a run is."""

    videos: int = 200
    longest_seconds: float = 20.0
    nodes: int = 3
    "With one pretended GPU and two processors each."
    fault_every_seconds: float = 8.0
    seed: int = 1
    limit_seconds: float = 3600.0


@dataclass
class Outcome:
    """What came of it."""

    seconds: float = 0.0
    drivers: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    frames: int = 0


def run(setting: Setting, folder: Path) -> Outcome:
    """The run; sources, outputs, the last report and page stay in `folder`."""
    clips = plan_clips(setting.videos, setting.seed, setting.longest_seconds)
    sources = folder / "sources"
    sources.mkdir(parents=True)
    for clip in clips:
        make_clip(clip, sources, setting.seed)
    outcome = Outcome(frames=sum(clip.frames for clip in clips if not clip.bad))
    with store_behind_a_door() as door, _cluster(door, setting) as (address, nodes):
        client = _client(door)
        for clip in clips:
            client.upload_file(str(sources / clip.name), "bucket", f"in/{clip.name}")
        manifest = folder / "manifest.jsonl"
        manifest.write_text("".join(_line(clip) for clip in clips))
        _drive(setting, outcome, door, nodes, address, folder, manifest)
        door.shut(0)
        _fetch(client, folder)
        outcome.report = json.loads((folder / "report.json").read_text())
        outcome.breaches += faults_of_outputs(clips, sources, folder / "out")
        outcome.breaches += faults_of_report(clips, outcome.report)
        outcome.breaches += faults_of_store(client, clips)
        outcome.breaches += faults_of_cluster(address)
    return outcome


def _line(clip: Clip) -> str:
    job = {"source": f"s3://bucket/in/{clip.name}", "task": clip.task or "rehearsal:milliseconds=2"}
    return json.dumps(job) + "\n"


def _client(door: Door) -> Any:
    import boto3
    from botocore.config import Config

    given = client_environment(door.port)
    return boto3.client(
        "s3", endpoint_url=given["AWS_ENDPOINT_URL"], aws_access_key_id="chaos", aws_secret_access_key="chaos",
        region_name="us-east-1", config=Config(retries={"max_attempts": 10}),
    )  # fmt: skip


@contextmanager
def _cluster(door: Door, setting: Setting) -> Iterator[tuple[str, Nodes]]:
    """(address, nodes) of a Ray of several nodes on this machine, whose processes know the store."""
    os.environ.update(_RAY | client_environment(door.port))
    from ray.cluster_utils import Cluster

    scratch = Path(tempfile.mkdtemp(prefix="rc-", dir="/tmp"))
    made: Any = Cluster(
        initialize_head=True, shutdown_at_exit=False,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "temp_dir": str(scratch),
                        "object_store_memory": 150 << 20},
    )  # fmt: skip

    def add() -> Any:
        return made.add_node(num_cpus=2, num_gpus=1, object_store_memory=400 << 20)

    try:
        yield made.address, Nodes(made, str(scratch), add, setting.nodes, back_after=15.0)
    finally:
        made.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


def _drive(
    setting: Setting, outcome: Outcome, door: Door, nodes: Nodes, address: str, folder: Path, manifest: Path
) -> None:
    """Drivers, one after the other, until one of them comes to an end of its own; faults meanwhile."""
    command = [
        sys.executable, str(_ROOT / "reelyard.py"), "batch", str(manifest), "-o", "s3://bucket/out/", "--qp", "0",
        "--preset", "ultrafast", "--address", address, "--device", "cpu:0", "--segment-seconds", "3",
        "--name", "{stem}.mp4",
    ]  # fmt: skip
    current: list[subprocess.Popen[bytes]] = []
    lock = threading.Lock()

    def kill_driver() -> bool:
        with lock:
            if not current or current[-1].poll() is not None or time.monotonic() - begun_driver[0] < 20:
                return False
            current[-1].send_signal(signal.SIGKILL)
            return True

    faults = Faults(door, nodes, kill_driver, setting.fault_every_seconds, setting.seed)
    begun, begun_driver = time.monotonic(), [time.monotonic()]
    faults.start()
    try:
        while time.monotonic() - begun < setting.limit_seconds:
            with lock, (folder / f"driver-{outcome.drivers}.log").open("wb") as log:
                begun_driver[0] = time.monotonic()
                current.append(subprocess.Popen(command, stderr=log, stdout=log, cwd=folder))
                outcome.drivers += 1
            if current[-1].wait() in (0, 2, 3):
                break
        if current[-1].returncode != 3:
            outcome.breaches.append(f"the last driver ended with {current[-1].returncode}, expected 3 (partial)")
    finally:
        faults.stop()
    outcome.seconds, outcome.faults = time.monotonic() - begun, faults.done


def _fetch(client: Any, folder: Path) -> None:
    (folder / "out").mkdir()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="out/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def fetch(key: str) -> None:
        name = key.removeprefix("out/")
        if name in ("report.json", "report.html"):
            client.download_file("bucket", key, str(folder / name))
        elif "/" not in name:
            client.download_file("bucket", key, str(folder / "out" / name))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, keys))
