"""What a run asks an autoscaler for; apart from runs that stand, whose nodes these tests take away."""

import time
from dataclasses import replace
from typing import Any

import pytest

from cluster.connection import Connection
from cluster.fleet import census, ray_fleet
from cluster.fleet.ray_fleet import RayFleet
from tests.cluster.listener import LONG_SECONDS


@pytest.mark.parametrize(
    ("device", "places"),
    [
        ("cuda", [({"CPU": 4.0}, {"reelyard.io/pool": "cpu"}), ({"CPU": 1.0, "GPU": 1.0}, {})]),
        ("auto", [({"CPU": 1.0}, {"reelyard.io/pool": "!gpu"})]),
    ],
)
def test_a_cluster_at_zero_is_asked_for_the_nodes_of_a_run(
    device: str, places: list[Any], connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def noted(bundles: list[Any], strategy: str, bundle_label_selector: list[Any]) -> tuple[Any, Any]:
        asked.append((bundles[0], bundle_label_selector[0]))
        return asked[-1]

    for module in (census, ray_fleet):
        monkeypatch.setattr(module, "alive_nodes", lambda: ())
    monkeypatch.setattr(census, "placement_group", noted)
    monkeypatch.setattr(census, "remove_placement_group", asked.remove)
    fleet = RayFleet(replace(connection, local=False), {}, device=device, altering=True)
    try:
        deadline = time.monotonic() + LONG_SECONDS
        while asked != places and time.monotonic() < deadline:
            time.sleep(0.1)
        assert asked == places
        told = [decision.reason for decision in fleet.decisions if decision.what == "GPU"]
        assert told == ([] if device == "cuda" else [census.NO_GPU_NOW])
    finally:
        fleet.close()
    assert asked == []
