"""What the manifests scale to, by Ray's own autoscaler: spot first, whole cells, GPU nodes for nothing else.

Demands are the product's own (cluster/fleet/plan.py).
"""

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.fleet.nodes import Node
from cluster.fleet.plan import Place, place_beside_cells, place_of_cell, plan_cells
from tests.deploy.autoscaler import Demand, Plan, plan
from tests.deploy.house_rules import has_gpu, name, ray_documents
from tests.deploy.kustomize import OVERLAYS
from tests.deploy.operator_rules import cluster_spec

pytest.importorskip("ray.autoscaler.v2.scheduler", reason="this Ray has moved the autoscaler that is asked here")

Overlays = dict[str, list[dict[str, Any]]]


def demand(place: Place) -> Demand:
    """What a run asks Ray for."""
    return Demand(place.bundle, place.selector or None, group=True)


#: What runs do ask for: a place beside cells, for one more cell on a GPU, for one more on processors.
SIDE, MORE, ON_PROCESSORS = demand(place_beside_cells()), demand(place_of_cell(True)), demand(place_of_cell(False))


def cell(cpus: int) -> Demand:
    return Demand({"GPU": 1, "CPU": cpus}, group=True)


def cells_of(group: Mapping[str, Any]) -> list[Demand]:
    """The cells that a run plans on a node of a group, by Ray's own reading of its resources."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _get_ray_resources_from_group_spec

    has = _get_ray_resources_from_group_spec(group, is_head=False)
    node = Node("n", "n", float(has["CPU"]), int(has.get("GPU", 0)), "", 10**9)
    return [Demand(plan.bundle, group=True) for plan in plan_cells(node, gpu=has_gpu(group))]


def asked(overlays: Overlays, overlay: str, *demands: Demand) -> Plan:
    return plan(ray_documents(overlays[f"overlays/{overlay}"])[0], demands)


def workers_of(overlays: Overlays, overlay: str) -> list[Any]:
    found: list[Any] = cluster_spec(ray_documents(overlays[overlay])[0])["workerGroupSpecs"]
    return found


def groups_of(overlays: Overlays, overlay: str, gpu: bool) -> set[str]:
    return {name(group) for group in workers_of(overlays, overlay) if has_gpu(group) is gpu}


@pytest.mark.parametrize(
    ("cells", "started"),
    [
        (1, {"gpu-spot": 1}),
        (8, {"gpu-spot": 8}),
        (9, {"gpu-spot": 8, "gpu-ondemand": 1}),
        (10, {"gpu-spot": 8, "gpu-ondemand": 2}),
    ],
)
@pytest.mark.parametrize("overlay", ["aws", "aws-job", "gke", "aws-cron"])
def test_spot_comes_before_on_demand(overlay: str, cells: int, started: Mapping[str, int], overlays: Overlays) -> None:
    assert asked(overlays, overlay, *[cell(4)] * cells) == Plan(started, 0)


@pytest.mark.parametrize("cpus", [2, 3, 4])
@pytest.mark.parametrize("overlay", ["aws", "gke"])
def test_a_cell_of_any_size_fits_one_gpu_node(overlay: str, cpus: int, overlays: Overlays) -> None:
    assert asked(overlays, overlay, cell(cpus)) == Plan({"gpu-spot": 1}, 0)


@pytest.mark.parametrize("what", [SIDE, ON_PROCESSORS], ids=["beside cells", "cells on processors"])
@pytest.mark.parametrize("count", [1, 4, 60, 200])
@pytest.mark.parametrize("overlay", [o for o in OVERLAYS if "local" not in o and "kueue" not in o])
def test_what_needs_no_gpu_never_wakes_gpu_nodes(overlay: str, count: int, what: Demand, overlays: Overlays) -> None:
    started = asked(overlays, overlay.removeprefix("overlays/"), *[what] * count).started
    assert not set(started) & groups_of(overlays, overlay, gpu=True)
    assert set(started) == groups_of(overlays, overlay, gpu=False)


@pytest.mark.parametrize("overlay", ["aws", "aws-job", "gke", "aws-mps"])
def test_a_cluster_at_zero_starts_a_gpu_node_for_every_cell_that_is_missing(overlay: str, overlays: Overlays) -> None:
    assert asked(overlays, overlay, *[MORE] * 5) == Plan({"gpu-spot": 5}, 0)


def test_without_the_selector_they_would(overlays: Overlays) -> None:
    started = asked(overlays, "aws", *[Demand({"CPU": 1})] * 100).started
    assert started["gpu-spot"] > 0, "the label selector of workers outside cells is no longer needed"


def test_cells_leave_the_processors_of_other_nodes_alone(overlays: Overlays) -> None:
    assert asked(overlays, "aws", *[cell(4)] * 3, *[SIDE] * 3) == Plan({"gpu-spot": 3, "cpu": 1}, 0)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_that_is_asked_for_could_wait_for_ever(overlay: str, overlays: Overlays) -> None:
    places = [MORE, SIDE] if groups_of(overlays, overlay, gpu=True) else [ON_PROCESSORS]
    for wanted in (places, *([cell] for group in workers_of(overlays, overlay) for cell in cells_of(group))):
        assert asked(overlays, overlay.removeprefix("overlays/"), *wanted).impossible == 0


def test_what_fits_no_node_is_seen(overlays: Overlays) -> None:
    for hopeless in (Demand({"GPU": 2}), cell(8), Demand({"GPU": 1, "memory": 64 * 2**30}, group=True)):
        assert asked(overlays, "aws", hopeless) == Plan({}, 1)


def test_two_cells_share_a_gpu_with_mps(overlays: Overlays) -> None:
    assert asked(overlays, "aws-mps", *[cell(3)] * 16) == Plan({"gpu-spot": 16}, 0)
    assert asked(overlays, "aws-mps", *[cell(3)] * 20) == Plan({"gpu-spot": 16, "gpu-ondemand": 4}, 0)


def test_a_gpu_node_is_one_cell_with_the_processors_that_it_makes_use_of(overlays: Overlays) -> None:
    spot = workers_of(overlays, "overlays/aws")[0]
    assert [cell.resources for cell in cells_of(spot)] == [{"CPU": 4.0, "GPU": 1.0}]


def test_a_laptop_s_cluster_holds_a_cell_without_a_gpu(overlays: Overlays) -> None:
    assert asked(overlays, "local", ON_PROCESSORS) == Plan({"cpu": 1}, 0)


def test_a_queue_s_fixed_cluster_holds_what_it_was_made_for(overlays: Overlays) -> None:
    assert asked(overlays, "aws-kueue", *[cell(4)] * 4, *[SIDE] * 3) == Plan({"gpu": 4, "cpu": 2}, 0)
