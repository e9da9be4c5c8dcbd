"""The deployment on one machine: nodes as the manifests describe them, a batch sent from elsewhere, a node lost.

The nodes are processes of this machine with the resources and labels that KubeRay would give the pods of
k8s/overlays/aws; GPUs are only said to be there, so the run settles on processors.  Not rehearsed: Kubernetes.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from pipeline.storage import Storage
from tests.cluster.conftest import numbers_of, write_numbered
from tests.cluster.heads import Head, ray_head
from tests.deploy.house_rules import POOL, name, ray_documents
from tests.deploy.kustomize import ROOT
from tests.deploy.operator_rules import cluster_spec, groups

pytestmark = pytest.mark.slow

_TOKEN = "5f2b0c4f9d5e4a70b3a1c6d8e7f90123"
VIDEOS = 3
#: How often a node is started before it is given up.
_STARTS = 3


def frames_of(video: int) -> int:
    """Longest first; no two alike, or only one would be rendered."""
    return 250 - 50 * video


def start_options(group: Mapping[str, Any]) -> list[str]:
    """What `ray start` is told for a pod of a group: its resources by Ray's own reading, and its labels."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _get_ray_resources_from_group_spec

    resources = _get_ray_resources_from_group_spec(group, is_head="groupName" not in group)
    labels = ",".join(f"{key}={value}" for key, value in group["labels"].items())
    return [f"--num-cpus={resources['CPU']}", f"--num-gpus={resources.get('GPU', 0)}", f"--labels={labels}"]


@contextmanager
def worker_node(
    head: Head, group: Mapping[str, Any], environment: Mapping[str, str], log: Path
) -> Iterator[psutil.Process]:
    """A node of a worker group, once the head knows it; started again where a busy machine is too slow for Ray."""
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={head.gcs}", "--block",
        "--node-ip-address=127.0.0.1", f"--object-store-memory={150 * 2**20}", *start_options(group),
    ]  # fmt: skip
    before = alive(head)
    for _ in range(_STARTS):
        with log.open("a") as out:
            started = subprocess.Popen(
                command, env=dict(environment), cwd=log.parent, stdout=out, stderr=out, start_new_session=True
            )
        while started.poll() is None and alive(head) <= before:
            time.sleep(1)
        if started.poll() is None:
            break
    else:
        raise AssertionError(f"the node did not come up: {log.read_text()[-2000:]}")
    try:
        yield psutil.Process(started.pid)
    finally:
        if started.poll() is None:
            lose(psutil.Process(started.pid))
        started.wait(timeout=30)


def alive(head: Head) -> int:
    return sum(row["state"] == "ALIVE" for row in rows(head, "nodes"))


def lose(node: psutil.Process) -> None:
    """A power cut: everything of the node at once."""
    for process in [*node.children(recursive=True), node]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and nothing of the source tree; its libraries are this Python's."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(wheel, check=True, capture_output=True)
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(folder / "site"), str(next(folder.glob("*.whl")))],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "site"


def environment_of(site: Path, s3: Mapping[str, str]) -> dict[str, str]:
    """What a pod holds, and the laptop too: the wheel, the token, the right to the store."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "AWS_", "PYTHON"))}
    return kept | {
        "PATH": f"{site / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(site),
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1",
        "AWS_ENDPOINT_URL": s3["endpoint_url"], "AWS_DEFAULT_REGION": s3["region"],
        "AWS_ACCESS_KEY_ID": s3["key"], "AWS_SECRET_ACCESS_KEY": s3["secret"],
    }  # fmt: skip


def test_a_batch_from_elsewhere_survives_the_loss_of_a_node(
    installed: Path, s3_options: dict[str, str], overlays: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    storage = Storage(dict(s3_options))
    fill(storage, tmp_path)
    environment = environment_of(installed, s3_options)
    head_group, *workers = groups(cluster_spec(ray_documents(overlays["overlays/aws"])[0]))
    by_name = {name(group): group for group in workers}
    empty = tmp_path / "of the user"
    empty.mkdir()
    with ExitStack() as stack:
        head = stack.enter_context(ray_head(environment, start_options(head_group)))
        nodes = {
            group: stack.enter_context(worker_node(head, by_name[group], environment, tmp_path / f"{group}.log"))
            for group in ("gpu-spot", "gpu-ondemand", "cpu")
        }
        job = subprocess.Popen(
            submission(head), cwd=empty, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        stack.callback(job.kill)
        lost_after = wait_for_a_part(storage, job)
        stood = actors(head)
        lose(nodes["gpu-spot"])
        out, told = job.communicate(timeout=900)
    found = storage.list("s3://bucket/out/")
    print(told[-6000:], out[-2000:], *found, *stood, sep="\n")
    assert job.returncode == 0
    assert lost_after < VIDEOS, "the node was lost too late to matter"
    for number in range(VIDEOS):
        output = tmp_path / f"{number}.mkv"
        output.write_bytes(storage.read(f"s3://bucket/out/{number}.mkv"))
        assert numbers_of(output) == list(range(frames_of(number)))
    assert [uri for uri in found if "/parts/" in uri] == []
    assert {pool for in_cell, pool in stood if in_cell} == {"gpu"}, "cells stand whole on GPU nodes"
    assert "gpu" not in {pool for in_cell, pool in stood if not in_cell}, "actors outside cells keep off GPU nodes"
    assert (False, "cpu") in stood, "no worker outside cells was looked at"


def fill(storage: Storage, scratch: Path) -> None:
    """Sources and their manifest into the store."""
    for number in range(VIDEOS):
        source = write_numbered(scratch / "numbered.mp4", frames=frames_of(number))
        storage.put_bytes(source.read_bytes(), f"s3://bucket/in/{number}.mp4")
    lines = [json.dumps({"source": f"s3://bucket/in/{n}.mp4", "name": "{stem}.mkv"}) for n in range(VIDEOS)]
    storage.put_bytes("\n".join(lines).encode(), "s3://bucket/in/manifest.jsonl")


def submission(head: Head) -> list[str]:
    return [
        "reelyard", "submit", "--address", head.dashboard, "batch", "s3://bucket/in/manifest.jsonl",
        "-o", "s3://bucket/out/", "--work", "s3://bucket/out/work/", "--task", "identity", "--codec", "ffv1",
        "--segment-seconds", "1", "--partial-ok",
    ]  # fmt: skip


def rows(head: Head, what: str) -> list[Any]:
    """A table of the head's: nodes or actors."""
    url = f"{head.dashboard}/api/v0/{what}?detail=1&limit=200"
    with urlopen(Request(url, headers={"Authorization": f"Bearer {_TOKEN}"}), timeout=60) as answer:
        found: list[Any] = json.load(answer)["data"]["result"]["result"]
    return found


def actors(head: Head) -> list[tuple[bool, str]]:
    """(whether in a cell's reserved place, label of its node) of every actor that lives."""
    pools = {row["node_id"]: (row.get("labels") or {}).get(POOL, "") for row in rows(head, "nodes")}
    found = [row for row in rows(head, "actors") if row["state"] == "ALIVE"]
    return [(bool(row["placement_group_id"]), pools.get(row["node_id"], "")) for row in found]


def wait_for_a_part(storage: Storage, job: "subprocess.Popen[str]") -> int:
    """Outputs that were there when the first parts were; the job must be under way."""
    end = time.monotonic() + 600
    while time.monotonic() < end and job.poll() is None:
        found = storage.list("s3://bucket/out/")
        if sum("/parts/" in uri for uri in found) >= 2:
            return sum(uri.endswith(".mkv") and "/work/" not in uri for uri in found)
        time.sleep(0.2)
    told = job.communicate()[1][-4000:] if job.poll() is not None else "nothing in ten minutes"
    raise AssertionError(f"no part came: {told}")
