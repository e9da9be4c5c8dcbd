"""What Ray's own autoscaler starts for given actors on a manifest's cluster; no cluster is needed.

Uses private parts of Ray: the reader of KubeRay resources and the scheduler of autoscaler v2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.deploy.operator_rules import cluster_spec

Resources = Mapping[str, float]


@dataclass(frozen=True)
class Demand:
    """Something that waits for a place."""

    resources: Resources
    selector: Mapping[str, str] | None = None
    "Ray's label selector: `value`, or `!value` for anything but it."
    group: bool = False
    "A placement group of one bundle, as a cell reserves, instead of an actor of its own."


@dataclass(frozen=True)
class Plan:
    """What the autoscaler would do."""

    started: Mapping[str, int]
    "Nodes to start, by worker group."
    impossible: int
    "Demands that find no place even when every group is at its largest."


def plan(document: Mapping[str, Any], demands: Sequence[Demand]) -> Plan:
    """What is started for `demands` on a cluster that has only its head."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.autoscaler_pb2 import GangResourceRequest

    resource = {"metadata": {"name": "c", "namespace": "n"}, "spec": cluster_spec(document)}
    config = AutoscalingConfig(_derive_autoscaling_config_from_ray_cr(resource), skip_content_hash=True)
    alone = [_request(demand) for demand in demands if not demand.group]
    gangs = [GangResourceRequest(requests=[_request(demand)]) for demand in demands if demand.group]
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            resource_requests=ResourceRequestUtil.group_by_count(alone),
            gang_resource_requests=gangs,
        )
    )
    impossible = len(reply.infeasible_resource_requests)
    return Plan(
        {launch.instance_type: launch.count for launch in reply.to_launch},
        impossible + len(reply.infeasible_gang_resource_requests),
    )


def _request(demand: Demand) -> Any:
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.common_pb2 import LabelSelectorOperator

    selectors = None
    if demand.selector is not None:
        constraints = [
            (
                key,
                LabelSelectorOperator.Value(f"LABEL_OPERATOR_{'NOT_IN' if value.startswith('!') else 'IN'}"),
                [value.removeprefix("!")],
            )
            for key, value in demand.selector.items()
        ]
        selectors = [constraints]
    return ResourceRequestUtil.make(dict(demand.resources), None, selectors)
