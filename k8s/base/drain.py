"""Leaves a Ray cluster politely: the pre-stop hook of a worker pod, `python drain.py SECONDS`.

Tells Ray that this node goes away in SECONDS, so that the driver starts nothing new on it, and
waits until its workers are gone or the time is nearly over.  A node without work leaves at once.
Kubernetes runs it when a spot node is taken back, a node is drained, or the autoscaler removes
an idle pod.  It knows nothing of Reelyard's packages.
"""

import os
import sys
import time

#: What Ray itself needs after the hook to end its processes.
LEFT_FOR_RAY_SECONDS = 5


def announce(seconds: int) -> None:
    """Marks the node of this pod as about to be lost."""
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

    gcs = GcsClient(address=os.environ["RAY_ADDRESS"])
    pod = os.environ["RAY_CLOUD_INSTANCE_ID"]
    for node_id, node in gcs.get_all_node_info().items():
        if node.instance_id == pod and node.state == 0:
            deadline_ms = int((time.time() + seconds) * 1000)
            gcs.drain_node(node_id.hex(), DRAIN_NODE_REASON_PREEMPTION, f"pod {pod} is being removed", deadline_ms)


def busy() -> bool:
    """Whether a worker of this pod holds an actor or runs a task."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or [])
        if title.startswith("ray::") and not title.startswith(("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnv")):
            return True
    return False


def leave(seconds: int) -> None:
    """Announces the end and waits for the workers, never longer than `seconds`."""
    end = time.monotonic() + seconds - LEFT_FOR_RAY_SECONDS
    if not busy():
        return
    try:
        announce(seconds)
    except Exception as error:  # A head that is gone must not keep the pod.
        print(f"not announced: {error}", file=sys.stderr)
        return
    while busy() and time.monotonic() < end:
        time.sleep(1)


if __name__ == "__main__":
    leave(int(sys.argv[1]))
