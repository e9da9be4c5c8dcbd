"""What the manifests scale to, by Ray's own autoscaler: spot first, whole cells, GPU nodes for nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.deploy.autoscaler import Demand, Plan, plan
from tests.deploy.house_rules import POOL, has_gpu, name, ray_documents
from tests.deploy.kustomize import OVERLAYS
from tests.deploy.operator_rules import cluster_spec

pytest.importorskip("ray.autoscaler.v2.scheduler", reason="this Ray has moved the autoscaler that is asked here")

Overlays = dict[str, list[dict[str, Any]]]

#: What a worker outside cells asks for: a processor on any node that is not for GPUs, labelled or not.
SIDE = Demand({"CPU": 1}, {POOL: "!gpu"})


#: What a run asks for where there is work for more cells than stand: a place for one more, anywhere.
MORE = Demand({"GPU": 1, "CPU": 1}, group=True)


def cell(cpus: int) -> Demand:
    return Demand({"GPU": 1, "CPU": cpus}, group=True)


def asked(overlays: Overlays, overlay: str, *demands: Demand) -> Plan:
    return plan(ray_documents(overlays[f"overlays/{overlay}"])[0], demands)


def groups_of(overlays: Overlays, overlay: str, gpu: bool) -> set[str]:
    workers = cluster_spec(ray_documents(overlays[overlay])[0])["workerGroupSpecs"]
    return {name(group) for group in workers if has_gpu(group) is gpu}


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


@pytest.mark.parametrize("workers", [1, 4, 60, 200])
@pytest.mark.parametrize("overlay", [o for o in OVERLAYS if "local" not in o and "kueue" not in o])
def test_workers_outside_cells_never_wake_gpu_nodes(overlay: str, workers: int, overlays: Overlays) -> None:
    started = asked(overlays, overlay.removeprefix("overlays/"), *[SIDE] * workers).started
    assert not set(started) & groups_of(overlays, overlay, gpu=True)
    assert set(started) == groups_of(overlays, overlay, gpu=False)


@pytest.mark.parametrize("overlay", ["aws", "aws-job", "gke", "aws-mps"])
def test_a_cluster_at_zero_starts_a_gpu_node_for_every_cell_that_is_missing(overlay: str, overlays: Overlays) -> None:
    assert asked(overlays, overlay, *[MORE] * 5) == Plan({"gpu-spot": 5}, 0)


def test_without_the_selector_they_would(overlays: Overlays) -> None:
    started = asked(overlays, "aws", *[Demand({"CPU": 1})] * 100).started
    assert started["gpu-spot"] > 0, "the label selector of workers outside cells is no longer needed"


def test_cells_leave_the_processors_of_other_nodes_alone(overlays: Overlays) -> None:
    assert asked(overlays, "aws", *[cell(4)] * 3, *[SIDE] * 4) == Plan({"gpu-spot": 3, "cpu": 1}, 0)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_that_is_asked_for_could_wait_for_ever(overlay: str, overlays: Overlays) -> None:
    with_gpu = groups_of(overlays, overlay, gpu=True)
    one = cell(3 if "mps" in overlay else 4) if with_gpu else Demand({"CPU": 2}, group=True)
    assert asked(overlays, overlay.removeprefix("overlays/"), one, *[SIDE] * 2).impossible == 0


def test_what_fits_no_node_is_seen(overlays: Overlays) -> None:
    for hopeless in (Demand({"GPU": 2}), cell(8), Demand({"GPU": 1, "memory": 64 * 2**30}, group=True)):
        assert asked(overlays, "aws", hopeless) == Plan({}, 1)


def test_two_cells_share_a_gpu_with_mps(overlays: Overlays) -> None:
    assert asked(overlays, "aws-mps", *[cell(3)] * 16) == Plan({"gpu-spot": 16}, 0)
    assert asked(overlays, "aws-mps", *[cell(3)] * 20) == Plan({"gpu-spot": 16, "gpu-ondemand": 4}, 0)


def test_a_laptop_s_cluster_holds_a_cell_without_a_gpu_and_workers_beside_it(overlays: Overlays) -> None:
    assert asked(overlays, "local", Demand({"CPU": 2}, group=True), SIDE, SIDE) == Plan({"cpu": 1}, 0)


def test_a_queue_s_fixed_cluster_holds_what_it_was_made_for(overlays: Overlays) -> None:
    assert asked(overlays, "aws-kueue", *[cell(4)] * 4, *[SIDE] * 4) == Plan({"gpu": 4, "cpu": 2}, 0)
