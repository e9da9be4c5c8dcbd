"""Further nodes for the Ray of the test session, on this machine, with GPUs that are only said to be there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Nodes:
    """Adds nodes to the Ray that is connected to, and removes them as a power cut would."""

    def __init__(self) -> None:
        import ray._private.worker
        from ray._raylet import GcsClientOptions
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster(shutdown_at_exit=False)
        head = ray._private.worker._global_node
        self._cluster.head_node = head
        options = GcsClientOptions.create(
            head.gcs_address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
        )
        self._cluster.global_state._initialize_global_state(options)

    def add(self, cpus: int = 2, gpus: int = 0, kind: str = "", labels: Mapping[str, str] | None = None) -> Any:
        """A node that is up when this returns; `kind` as Ray finds it on a machine with such a GPU."""
        resources = {f"accelerator_type:{kind}": 1.0} if kind else None
        return self._cluster.add_node(num_cpus=cpus, num_gpus=gpus, resources=resources, labels=dict(labels or {}))

    def remove(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)

    def remove_all(self) -> None:
        for node in list(self._cluster.worker_nodes):
            self.remove(node)


@contextmanager
def more_nodes() -> Iterator[Nodes]:
    """Nodes that are gone again after the block."""
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.remove_all()
