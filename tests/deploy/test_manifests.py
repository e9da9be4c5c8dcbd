"""Every overlay, as it is built, is what the API server, the operator and this project's promises allow."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.crd_schema import Crds
from tests.deploy.house_rules import RAY_KINDS, house_faults, ray_documents
from tests.deploy.kustomize import K8S, MONITORING, OVERLAYS
from tests.deploy.operator_rules import cluster_spec, groups, operator_faults
from tests.deploy.other_kinds import OTHER_KINDS
from tests.deploy.terraform import kubernetes_version

Overlays = dict[str, list[dict[str, Any]]]

#: Of checkov's rules for pods, those that do not hold here, and why.
POD_SKIPS = {
    "CKV_K8S_8": "the operator adds liveness probes",
    "CKV_K8S_9": "the operator adds readiness probes",
    "CKV_K8S_14": "tags name a version; the rule wants digests beside them",
    "CKV_K8S_15": "a tag names one version for good (the registry's tags cannot be moved)",
    "CKV_K8S_38": "the head's autoscaler speaks to the Kubernetes API",
    "CKV_K8S_40": "1000 is the user of Ray's own images; nothing is shared with the host",
    "CKV_K8S_43": "tags name a version; digests differ by registry",
}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_server_takes_every_custom_resource(overlay: str, overlays: Overlays, crds: Crds) -> None:
    known = [document for document in overlays[overlay] if crds.knows(document)]
    assert [d["kind"] for d in known if d["kind"] in RAY_KINDS], "an overlay without a Ray resource"
    assert {d["metadata"]["name"]: faults for d in known if (faults := crds.faults(d))} == {}


def test_the_api_server_takes_the_kinds_of_kueue_and_prometheus(overlays: Overlays, other_kinds: Crds) -> None:
    found = [document for name in overlays for document in overlays[name] if document["kind"] in OTHER_KINDS]
    assert {document["kind"] for document in found} == set(OTHER_KINDS)
    assert {d["metadata"]["name"]: faults for d in found if (faults := other_kinds.faults(d))} == {}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operator_takes_every_custom_resource(overlay: str, overlays: Overlays) -> None:
    assert [fault for document in ray_documents(overlays[overlay]) for fault in operator_faults(document)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_promise_holds(overlay: str, overlays: Overlays, ray_version: str) -> None:
    assert len(ray_documents(overlays[overlay])) == 1
    assert house_faults(overlays[overlay], ray_version) == []


def test_core_kinds_are_valid_with_unknown_fields_refused(overlays: Overlays, tools: Path, tmp_path: Path) -> None:
    core = [d for name in overlays for d in overlays[name] if d["kind"] not in {*RAY_KINDS, *OTHER_KINDS}]
    assert {"Namespace", "ServiceAccount", "NetworkPolicy", "ResourceQuota"} <= {d["kind"] for d in core}
    done = core_faults(core, tools, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARN" not in done.stdout + done.stderr, "a kind without a schema would pass unseen"


def core_faults(documents: list[dict[str, Any]], tools: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """What kubernetes-validate says in strict mode."""
    file = folder / "core.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    command = [str(tools / "kubernetes-validate"), "--strict", "--kubernetes-version", kubernetes_version(), str(file)]
    return subprocess.run(command, capture_output=True, text=True)


def test_pod_templates_are_sound(overlays: Overlays, tools: Path, tmp_path: Path) -> None:
    assert pod_failures(overlays["overlays/aws"] + overlays["overlays/gke-job"], tools, tmp_path) == {}


def pod_failures(documents: list[dict[str, Any]], tools: Path, folder: Path) -> dict[str, str]:
    """Checkov's failed rules, by rule, for the pods that the operator would make of the templates."""
    ray_labels = {"ray.io/is-ray-node": "yes"}
    pods = [
        {
            "apiVersion": "v1", "kind": "Pod", "spec": group["template"]["spec"],
            "metadata": {"name": f"{document['kind'].lower()}-{n}", "namespace": "reelyard", "labels": ray_labels},
        }
        for document in ray_documents(documents)
        for n, group in enumerate(groups(cluster_spec(document)))
    ]  # fmt: skip
    assert pods
    policies = [document for document in documents if document["kind"] == "NetworkPolicy"]
    (folder / "pods.yaml").write_text(yaml.safe_dump_all([*pods, *policies]))
    command = [
        str(tools / "checkov"), "--framework", "kubernetes", "--file", str(folder / "pods.yaml"), "--quiet",
        "--compact", "--skip-download", "--output", "json", "--skip-check", ",".join(POD_SKIPS),
    ]  # fmt: skip
    result = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    assert result["summary"]["passed"] > 0
    return {check["check_id"]: check["check_name"] for check in result["results"]["failed_checks"]}


def test_kueue_s_flavours_are_the_nodes_that_the_groups_ask_for(overlays: Overlays) -> None:
    documents = overlays["overlays/aws-kueue"]
    flavours = {d["metadata"]["name"]: d["spec"]["nodeLabels"] for d in documents if d["kind"] == "ResourceFlavor"}
    queue = next(d["spec"] for d in documents if d["kind"] == "ClusterQueue")
    offered = [flavour["name"] for group in queue["resourceGroups"] for flavour in group["flavors"]]
    assert offered.index("reelyard-spot") < offered.index("reelyard-ondemand")
    for group in groups(cluster_spec(ray_documents(documents)[0])):
        wanted = group["template"]["spec"]["nodeSelector"]
        assert any(wanted.items() <= flavours[name].items() for name in offered), wanted
        covered = set(queue["resourceGroups"][0]["coveredResources"])
        assert set(group["template"]["spec"]["containers"][0]["resources"]["requests"]) <= covered


def test_the_long_lived_cluster_and_the_jobs_have_the_same_shape(overlays: Overlays) -> None:
    cluster = cluster_spec(ray_documents(overlays["overlays/aws"])[0])
    for overlay in ("overlays/aws-job", "overlays/aws-cron"):
        assert cluster_spec(ray_documents(overlays[overlay])[0]) == cluster


def test_a_pod_monitor_reaches_every_ray_pod(overlays: Overlays) -> None:
    monitor = next(d for d in overlays[MONITORING] if d["kind"] == "PodMonitor")
    assert monitor["spec"]["selector"]["matchLabels"] == {"ray.io/is-ray-node": "yes"}
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "path": "/metrics"}]


def test_the_dashboard_asks_for_metrics_that_ray_has(overlays: Overlays) -> None:
    import ray

    known = Path(ray.__file__).parent / "dashboard/modules/metrics/dashboards/default_dashboard_panels.py"
    maps = next(d for d in overlays[MONITORING] if d["metadata"]["name"] == "dashboards")
    dashboards = [json.loads(text) for text in maps["data"].values()]
    asked = {name for board in dashboards for name in re.findall(r"\bray_(?!io_)\w+", json.dumps(board["panels"]))}
    assert len(asked) >= 8
    assert {name for name in asked if name not in known.read_text()} == set()
    for panel in (panel for board in dashboards for panel in board["panels"]):
        assert panel["title"] and all(target["expr"] for target in panel["targets"])


def test_spot_pods_on_gke_find_spot_nodes_and_are_gone_in_time(overlays: Overlays) -> None:
    """GKE labels and taints its spot nodes, and gives a pod 25 s when it takes one back."""
    for name in ("overlays/gke", "overlays/gke-job"):
        pod = groups(cluster_spec(ray_documents(overlays[name])[0]))[1]["template"]["spec"]
        assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
        assert "cloud.google.com/gke-spot" in {toleration["key"] for toleration in pod["tolerations"]}
        assert pod["terminationGracePeriodSeconds"] <= 25


def test_two_cells_on_a_gpu_are_two_for_the_device_plugin_too(overlays: Overlays) -> None:
    config = yaml.safe_load((K8S / "components/mps/device-plugin.yaml").read_text())
    (shared,) = config["sharing"]["mps"]["resources"]
    one, two = (
        {
            group["groupName"]: group["maxReplicas"]
            for group in groups(cluster_spec(ray_documents(overlays[name])[0]))[1:3]
        }
        for name in ("overlays/aws", "overlays/aws-mps")
    )
    assert two == {name: most * shared["replicas"] for name, most in one.items()}


def test_the_pod_monitor_is_the_release_s_that_the_readme_installs(overlays: Overlays) -> None:
    release = re.search(r"helm install (\S+) kube-prometheus-stack", (K8S / "README.md").read_text()).group(1)  # type: ignore[union-attr]
    monitor = next(d for d in overlays[MONITORING] if d["kind"] == "PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == release
