"""A worker pod that must go, on one machine: run in process ids of its own, prints what happened as JSON.

A head and one worker node stand for two pods; the worker holds an actor that finishes after the hook has begun.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import ray
from ray.cluster_utils import Cluster

GRACE_SECONDS = 30


@ray.remote(num_cpus=1)
class Rendering:
    """Work in flight."""

    def done(self) -> bool:
        return True


def hook(address: str) -> "subprocess.Popen[bytes]":
    """The pre-stop hook, with what the operator puts into a pod's environment."""
    environment = os.environ | {"RAY_ADDRESS": address, "RAY_CLOUD_INSTANCE_ID": "pod-a"}
    return subprocess.Popen([sys.executable, sys.argv[1], str(GRACE_SECONDS)], env=environment)


def draining() -> dict[str, Any]:
    found: dict[str, Any] = ray._private.state.state.get_draining_nodes()
    return found


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1, env_vars={"RAY_CLOUD_INSTANCE_ID": "pod-a"}, include_dashboard=False)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    idle_seconds = timed(hook(cluster.address))
    drained_while_idle = len(draining())
    actor = Rendering.remote()
    ray.get(actor.done.remote())
    leaving = hook(cluster.address)
    marked: dict[str, Any] = {}
    end = time.monotonic() + GRACE_SECONDS
    while not marked and time.monotonic() < end:
        time.sleep(0.2)
        marked = draining()
    waited = leaving.poll() is None
    ray.kill(actor)
    seconds = timed(leaving)
    print(json.dumps({
        "idle_seconds": idle_seconds, "drained_while_idle": drained_while_idle,
        "marked": [node.node_id] == list(marked), "waited_for_the_actor": waited, "seconds_after_it": seconds,
    }))  # fmt: skip
    ray.shutdown()
    cluster.shutdown()


def timed(process: "subprocess.Popen[bytes]") -> float:
    start = time.monotonic()
    process.wait(timeout=2 * GRACE_SECONDS)
    return time.monotonic() - start


if __name__ == "__main__":
    main()
