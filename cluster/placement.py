"""Where the workers of a cell stand: together on one node, on that node's own processors."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.connection import Connection
from cluster.fleet.plan import PLACEMENT_SECONDS, no_gpu
from tasks.errors import ResourceShortage

#: Processors a cell asks for where a node has them: one to decode, one to encode.
CELL_CPUS = 2


@dataclass(frozen=True)
class CellPlace:
    """A reserved place for a cell."""

    group: Any
    "Ray's placement group."
    cpus: float
    gpu: bool

    def options(self, stage: str) -> Mapping[str, object]:
        """Ray's options for the worker of a stage."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        share = self.cpus / 2 if stage in ("decode", "encode") else 0
        return {
            "num_cpus": share,
            "num_gpus": 1 if self.gpu and stage == "render" else 0,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(self.group),
        }

    def release(self) -> None:
        from ray.util import remove_placement_group

        try:
            remove_placement_group(self.group)
        except Exception:  # Ray is gone, and the place with it.
            return


def cell_bundle(cpus: int, gpus: int, device: str) -> dict[str, float]:
    """What one cell reserves.

    Raises:
        ResourceShortage: a GPU was asked for and the cluster has none.
    """
    if device == "cuda" and not gpus:
        raise no_gpu()
    bundle = {"CPU": float(min(CELL_CPUS, max(1, cpus)))}
    return bundle | ({"GPU": 1.0} if gpus and device != "cpu" else {})


def place_cell(connection: Connection, device: str) -> CellPlace:
    """A place for one cell, once a node has room.

    Raises:
        ResourceShortage: no node had room in time, with what was asked for.
    """
    from ray.util import placement_group, remove_placement_group

    bundle = cell_bundle(connection.cpus, connection.gpus, device)
    group = placement_group([bundle], strategy="STRICT_PACK")
    patience = 30.0 if connection.local else PLACEMENT_SECONDS
    deadline = time.monotonic() + patience
    while not group.wait(timeout_seconds=1):
        if time.monotonic() > deadline:
            remove_placement_group(group)
            asked = ", ".join(f"{amount:g} {name}" for name, amount in bundle.items())
            raise ResourceShortage(
                f"no node of the cluster had room for a cell: asked for {asked} on one node for "
                f"{patience:.0f} s; wait for other jobs to end or add a node"
            )
    return CellPlace(group, bundle["CPU"], "GPU" in bundle)
