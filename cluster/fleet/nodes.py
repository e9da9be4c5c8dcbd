"""The nodes of the Ray that is connected to, as values; knows nothing of cells."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Labels that Ray sets itself, and the one that marks nodes for work outside cells.
NODE_ID_LABEL, KIND_LABEL, POOL_LABEL = "ray.io/node-id", "ray.io/accelerator-type", "reelyard.io/pool"
_KIND_RESOURCE = "accelerator_type:"


@dataclass(frozen=True)
class Node:
    """One machine or pod of the cluster."""

    id: str
    address: str
    cpus: float
    gpus: int
    gpu_kind: str
    "h100, l4 …; gpu where nobody says, empty without one."
    store_bytes: int
    "Of its object store."
    pool: str = ""
    "The label reelyard.io/pool."
    leaves_in_seconds: float | None = None
    "Until it goes, where it is being drained."

    @property
    def name(self) -> str:
        """Address and the beginning of the id: several nodes may share a machine."""
        return f"{self.address}/{self.id[:6]}"


def alive_nodes() -> tuple[Node, ...]:
    """Every node that is alive, by id."""
    import ray as untyped_ray

    ray: Any = untyped_ray
    draining = _draining()
    found = [node_of(entry, draining) for entry in ray.nodes() if entry["Alive"]]
    return tuple(sorted(found, key=lambda node: node.id))


def free_resources() -> Mapping[str, Mapping[str, float]]:
    """By node id: what nobody has reserved."""
    import ray._private.state

    state: Any = ray._private.state
    found: Mapping[str, Mapping[str, float]] = state.available_resources_per_node()
    return found


def node_of(entry: Mapping[str, Any], draining: Mapping[str, float]) -> Node:
    """One row of Ray's table of nodes."""
    resources, labels = entry["Resources"], entry.get("Labels") or {}
    gpus = int(resources.get("GPU", 0))
    kinds = [name.removeprefix(_KIND_RESOURCE) for name in resources if name.startswith(_KIND_RESOURCE)]
    kind = labels.get(KIND_LABEL) or next(iter(sorted(kinds)), "gpu")
    return Node(
        entry["NodeID"], entry["NodeManagerAddress"], float(resources.get("CPU", 0)), gpus,
        kind.lower() if gpus else "", int(resources.get("object_store_memory", 0)), labels.get(POOL_LABEL, ""),
        draining.get(entry["NodeID"]),
    )  # fmt: skip


def _draining() -> dict[str, float]:
    """Seconds left, by node id; a drain without a deadline may end at any time."""
    import ray._private.state

    state: Any = ray._private.state.state
    deadlines: dict[str, int] = state.get_draining_nodes()
    now = time.time()
    return {node: max(0.0, deadline / 1000 - now) if deadline else 0.0 for node, deadline in deadlines.items()}
