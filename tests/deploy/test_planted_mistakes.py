"""The checks of manifests find what they are for: each mistake is planted into a built overlay and must be named."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.confinement import confinement_faults
from tests.deploy.crd_schema import Crds
from tests.deploy.house_rules import house_faults, ray_documents
from tests.deploy.operator_rules import operator_faults
from tests.deploy.other_kinds import OTHER_KINDS
from tests.deploy.test_manifests import core_faults, pod_failures

Documents = list[dict[str, Any]]
REMOVED = object()


@dataclass(frozen=True)
class Mistake:
    """A change to one document of an overlay, and words that the check must say."""

    name: str
    place: str
    "Path into the Ray resource, or KIND:path into the first document of a kind."
    value: object
    words: str
    overlay: str = "aws"


def plant(documents: Documents, mistake: Mistake) -> Documents:
    """The documents with the mistake in them."""
    documents = copy.deepcopy(documents)
    kind, _, path = mistake.place.rpartition(":")
    found = [d for d in documents if d["kind"] == kind] if kind else ray_documents(documents)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("|")]
    at: Any = found[0]
    for step in steps:
        at = at[step]
    if mistake.value is REMOVED:
        del at[last]
    elif isinstance(at, list) and last == len(at):
        at.append(mistake.value)
    else:
        at[last] = mistake.value
    return documents


HEAD = "spec|headGroupSpec"
SPOT = "spec|workerGroupSpecs|0"
ON_DEMAND = "spec|workerGroupSpecs|1"
POD = "template|spec"
FIRST = "template|spec|containers|0"
JOB = "spec|rayClusterSpec"
JOB_SPOT = f"{JOB}|workerGroupSpecs|0"

BY_SCHEMA = [
    Mistake("a misspelt field", "spec|ttlSecondsAfterFinish", 60, "ttlSecondsAfterFinish", "aws-job"),
    Mistake("a misspelt field of a group", f"{SPOT}|maxReplica", 4, "maxReplica"),
    Mistake("a misspelt field of a pod", f"{SPOT}|{POD}|serviceAcountName", "x", "serviceAcountName"),
    Mistake("num-cpus without quotes", f"{HEAD}|rayStartParams|num-cpus", 0, "0 is not of type 'string'"),
    Mistake("a number in quotes", "spec|backoffLimit", "3", "'3' is not of type 'integer'", "aws-job"),
    Mistake("an autoscaler of the future", "spec|autoscalerOptions|version", "v3", "'v3' is not one of"),
    Mistake("a quantity with a space", f"{HEAD}|{FIRST}|resources|limits|memory", "8 GB", "'8 GB' does not match"),
    Mistake("a port twice", f"{HEAD}|{FIRST}|ports|2", {"containerPort": 8265, "name": "x"}, "twice in a list"),
    Mistake("a required part left out", HEAD, REMOVED, "'headGroupSpec' is a required property"),
    Mistake("another version of the API", "apiVersion", "ray.io/v1alpha2", "no such kind"),
    Mistake("no schedule", "spec|schedule", REMOVED, "'schedule' is a required property", "aws-cron"),
    Mistake("a priority beyond 32 bits", f"{SPOT}|priority", 2**31, "greater than the maximum"),
]

BY_OPERATOR = [
    Mistake("a name with a dot", "metadata|name", "render.v2", "letters, digits and dashes"),
    Mistake("a name too long for a job", "metadata|name", "b" * 48, "a RayJob may have 47", "aws-job"),
    Mistake("more at least than at most", f"{SPOT}|minReplicas", 9, "minReplicas 9, maxReplicas 8"),
    Mistake("labels as a start parameter", f"{SPOT}|rayStartParams|labels", "a=b", "use the group's labels"),
    Mistake("resources twice", f"{HEAD}|resources", {"CPU": "0"}, "resources beside rayStartParams"),
    Mistake("a field behind a gate", "spec|networkPolicy", {"mode": "DenyAll"}, "gate is off"),
    Mistake("restarted by Kubernetes", f"{SPOT}|{POD}|restartPolicy", "Always", "restartPolicy Always"),
    Mistake("a token without a version", "spec|rayVersion", REMOVED, "token needs rayVersion"),
    Mistake("a life after without an end", "spec|shutdownAfterJobFinishes", False, "needs shutdown", "aws-job"),
    Mistake("a second submitter", "spec|submitterConfig", {"backoffLimit": 1}, "with SidecarMode", "aws-job"),
    Mistake("suspended without an end", "spec|shutdownAfterJobFinishes", False, "suspend needs", "aws-kueue"),
    Mistake("a deadline of nothing", "spec|activeDeadlineSeconds", 0, "activeDeadlineSeconds 0", "aws-job"),
    Mistake("another try on a chosen cluster", "spec|clusterSelector", {"a": "b"}, "backoffLimit with", "aws-job"),
    Mistake("an environment that is no YAML", "spec|runtimeEnvYAML", "a: [", "is not YAML", "aws-job"),
    Mistake("sizes left out", f"{JOB_SPOT}|minReplicas", REMOVED, "needed without the autoscaler", "aws-kueue"),
]  # fmt: skip

BY_HOUSE = [
    Mistake("another Ray than is pinned", "spec|rayVersion", "2.59.0", "rayVersion 2.59.0, pinned"),
    Mistake("another Ray in the image", f"{SPOT}|{FIRST}|image", "r.io/reelyard:0.1.0-ray2.59.0", "must end in -ray"),
    Mistake("no version in the tag", f"{SPOT}|{FIRST}|image", "r.io/reelyard:latest", "must end in -ray"),
    Mistake("no identity for workers", f"{SPOT}|{POD}|serviceAccountName", REMOVED, "serviceAccountName None"),
    Mistake("an identity nobody made", f"{HEAD}|{POD}|serviceAccountName", "ray", "serviceAccountName ray"),
    Mistake("actors on the head", f"{HEAD}|rayStartParams|num-cpus", "4", "num-cpus must be the string 0"),
    Mistake("an open Jobs API", "spec|authOptions", REMOVED, "runs any command"),
    Mistake("a GPU group without toleration", f"{ON_DEMAND}|{POD}|tolerations", [], "could never start"),
    Mistake("on-demand before spot", f"{ON_DEMAND}|priority", 30, "is not above on-demand"),
    Mistake("no priority", f"{SPOT}|priority", REMOVED, "is not above on-demand"),
    Mistake("a node that never goes", f"{SPOT}|minReplicas", 1, "does not scale to zero"),
    Mistake("the old autoscaler", "spec|autoscalerOptions|version", "v1", "no autoscaler v2"),
    Mistake("a starved autoscaler", "spec|autoscalerOptions|resources|limits|memory", "512Mi", "below 1Gi"),
    Mistake("CPU nodes without their label", "spec|workerGroupSpecs|2|labels", {}, "could land on GPU nodes"),
    Mistake("GPU nodes labelled as CPU nodes", f"{SPOT}|labels|reelyard.io/pool", "cpu", "could land on GPU nodes"),
    Mistake("root", f"{SPOT}|{POD}|securityContext|runAsNonRoot", False, "may run as root"),
    Mistake("privileges to gain", f"{SPOT}|{FIRST}|securityContext|capabilities", {}, "may gain privileges"),
    Mistake("a token of the cluster", f"{SPOT}|{POD}|automountServiceAccountToken", True, "a token of the Kubernetes"),
    Mistake("no limit of disk", f"{SPOT}|{FIRST}|resources|limits|ephemeral-storage", REMOVED, "ephemeral-storage"),
    Mistake("more disk than is limited", f"{SPOT}|{POD}|volumes|0|emptyDir|sizeLimit", "200Gi", "exceed"),
    Mistake("a head that may be evicted", f"{HEAD}|template|metadata|annotations", {}, "may be evicted"),
    Mistake("a head that may be drained", f"{HEAD}|template|metadata|labels", {}, "no PodDisruptionBudget"),
    Mistake("no drain on reclaim", f"{SPOT}|{FIRST}|lifecycle", REMOVED, "no pre-stop hook"),
    Mistake("a drain longer than the grace", f"{SPOT}|{POD}|terminationGracePeriodSeconds", 30, "of 30 s"),
    Mistake("a cluster that stays", "spec|shutdownAfterJobFinishes", REMOVED, "would stay after", "aws-job"),
    Mistake("a bad video that costs a cluster", "spec|entrypoint", "reelyard batch m -o o", "--partial-ok", "aws-job"),
    Mistake("GPUs nobody asks for", "spec|entrypoint", "reelyard batch m -o o --partial-ok", "at zero", "aws-job"),
    Mistake("two commands", "spec|entrypoint", "a && reelyard batch m -o o --partial-ok", "more than one", "aws-job"),
    Mistake("a driver on a spot node", "spec|entrypointNumCpus", 1, "could land on a spot node", "aws-job"),
    Mistake("a job that is tried once", "spec|backoffLimit", 0, "both are needed", "aws-job"),
    Mistake("a job without end", "spec|jobTemplate|activeDeadlineSeconds", REMOVED, "both are needed", "aws-cron"),
    Mistake("an autoscaler in a queue", f"{JOB}|enableInTreeAutoscaling", True, "no autoscaler", "aws-kueue"),
    Mistake("a quota too small", "ResourceQuota:spec|hard|requests.nvidia.com/gpu", "2", "holds no whole cluster"),
    Mistake("a key in the environment", "ConfigMap:data|AWS_SECRET_ACCESS_KEY", "abc", "looks like a secret"),
    Mistake(
        "a key in a pod", f"{HEAD}|{FIRST}|env|1", {"name": "AWS_SECRET_ACCESS_KEY", "value": "abc"}, "like a secret"
    ),
    Mistake("a Jobs API for the pod alone", f"{HEAD}|rayStartParams|dashboard-host", "127.0.0.1", "dashboard-host"),
    Mistake("a pod to submit with", "spec|submissionMode", "K8sJobMode", "another pod would pull", "aws-job"),
    Mistake("one identity for all", f"{SPOT}|{POD}|serviceAccountName", "reelyard-head", "scale the cluster"),
    Mistake("spot pods elsewhere", f"{SPOT}|{POD}|nodeSelector|reelyard.io/lifecycle", "on-demand", "told are"),
    Mistake("CPU pods on GPU nodes", "spec|workerGroupSpecs|2|template|spec|nodeSelector|reelyard.io/pool", "gpu",
            "which Ray is told are cpu"),
    Mistake("CPU pods that GPU nodes let in", "spec|workerGroupSpecs|2|template|spec|tolerations",
            [{"key": "nvidia.com/gpu", "operator": "Exists"}], "would fill GPU nodes"),
    Mistake("a CPU pod that sees GPUs", "spec|workerGroupSpecs|2|template|spec|containers|0|env", [], "void where"),
    Mistake("a GPU pod that sees none", f"{SPOT}|{FIRST}|env", [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
            "void where"),
    Mistake("GPUs that idle for an hour", f"{SPOT}|idleTimeoutSeconds", 3600, "stays 3600 s"),
    Mistake("a head that Karpenter may move", f"{HEAD}|template|metadata|annotations|karpenter.sh/do-not-disrupt",
            REMOVED, "may be evicted"),
    Mistake("an environment of nobody", f"{SPOT}|{FIRST}|envFrom|0|configMapRef|name", "env", "no ConfigMap env"),
    Mistake("a drain that nobody makes", f"{SPOT}|{POD}|volumes|2|configMap|name", "drainn", "no ConfigMap drainn"),
    Mistake("a cluster that is waited for", "spec|preRunningDeadlineSeconds", REMOVED, "waited for", "aws-job"),
    Mistake("a queue that nobody makes", "metadata|labels|kueue.x-k8s.io/queue-name", "x", "queue x", "aws-kueue"),
    Mistake("no queue", "metadata|labels|kueue.x-k8s.io/queue-name", REMOVED, "queue None", "aws-kueue"),
    Mistake("a queue of no cluster", "LocalQueue:spec|clusterQueue", "x", "queue reelyard", "aws-kueue"),
    Mistake("a start before it is let in", "spec|suspend", False, "before it is let in", "aws-kueue"),
    Mistake("no quota", "ResourceQuota:kind", "Quota", "no ResourceQuota"),
    Mistake("no budget", "PodDisruptionBudget:kind", "Budget", "no PodDisruptionBudget"),
    Mistake("a door open by default", "NetworkPolicy:spec|policyTypes", ["Ingress"], "by default"),
    Mistake("a small object store", f"{SPOT}|{POD}|volumes|3|emptyDir|sizeLimit", "1Gi", "smaller than", "aws-mps"),
]  # fmt: skip


#: Rules of a NetworkPolicy that would open what is closed.
OPENED = [
    Mistake("anyone may come in", "ingress", [{"ports": [{"port": 8265}]}], "ingress from anywhere"),
    Mistake("the world may come in", "ingress", [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], "from anywhere"),
    Mistake("any port of the world", "egress", [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], "egress to any port"),
    Mistake("all ways out", "egress", [{}], "egress to any port"),
    Mistake("the machine's role", "egress",
            [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 80}]}], "own metadata service"),
    Mistake("all link-local addresses", "egress",
            [{"to": [{"ipBlock": {"cidr": "169.254.0.0/16"}}], "ports": [{"port": 80}]}], "egress to 169.254.0.0/16"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", OPENED, ids=lambda mistake: mistake.name)
def test_what_would_be_opened_is_seen(mistake: Mistake, overlays: Mapping[str, Documents]) -> None:
    documents = copy.deepcopy(overlays["overlays/aws"])
    policy = next(d for d in documents if d["kind"] == "NetworkPolicy" and d["metadata"]["name"] == "ray")
    policy["spec"][mistake.place] = mistake.value
    assert mistake.words in "; ".join(confinement_faults(documents))


def named(mistake: Mistake) -> str:
    return mistake.name


@pytest.mark.parametrize("mistake", BY_SCHEMA, ids=named)
def test_the_schema_catches(mistake: Mistake, overlays: Mapping[str, Documents], crds: Crds) -> None:
    caught(mistake, overlays, lambda documents: [f for d in documents if crds.knows(d) for f in crds.faults(d)])


OF_OTHERS = [
    Mistake("a misspelt quota", "ClusterQueue:spec|queueingStrategyy", "StrictFIFO", "queueingStrategyy", "aws-kueue"),
    Mistake("a version that is gone", "LocalQueue:apiVersion", "kueue.x-k8s.io/v1beta1", "no such kind", "aws-kueue"),
    Mistake("an order that is none", "ClusterQueue:spec|queueingStrategy", "LIFO", "'LIFO' is not one of", "aws-kueue"),
    Mistake("a field that v1beta2 renamed", "ClusterQueue:spec|cohort", "all", "'cohort' was unexpected", "aws-kueue"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", OF_OTHERS, ids=named)
def test_the_schemas_of_other_kinds_catch(
    mistake: Mistake, overlays: Mapping[str, Documents], other_kinds: Crds
) -> None:
    def faults(documents: Documents) -> list[str]:
        return [fault for d in documents if d["kind"] in OTHER_KINDS for fault in other_kinds.faults(d)]

    caught(mistake, overlays, faults)


@pytest.mark.parametrize("mistake", BY_OPERATOR, ids=named)
def test_the_operator_s_rules_catch(mistake: Mistake, overlays: Mapping[str, Documents]) -> None:
    caught(mistake, overlays, lambda documents: [f for d in ray_documents(documents) for f in operator_faults(d)])


@pytest.mark.parametrize("mistake", BY_HOUSE, ids=named)
def test_our_promises_catch(mistake: Mistake, overlays: Mapping[str, Documents], ray_version: str) -> None:
    caught(mistake, overlays, lambda documents: house_faults(documents, ray_version))


def caught(mistake: Mistake, overlays: Mapping[str, Documents], faults: Callable[[Documents], list[str]]) -> None:
    whole = overlays[f"overlays/{mistake.overlay}"]
    assert faults(whole) == []
    assert mistake.words in "; ".join(faults(plant(whole, mistake)))


CORE = [
    Mistake("a misspelt field of the quota", "ResourceQuota:spec|hardd", {}, "hardd"),
    Mistake("a rule without its list", "NetworkPolicy:spec|policyTypes", "Ingress", "policyTypes"),
    Mistake("a budget that selects by nothing known", "PodDisruptionBudget:spec|maxUnavailible", 0, "maxUnavailible"),
]


def test_the_schemas_of_core_kinds_catch(overlays: Mapping[str, Documents], tools: Path, tmp_path: Path) -> None:
    whole = overlays["overlays/aws"]
    for mistake in CORE:
        kind = mistake.place.split(":")[0]
        planted = next(d for d in plant(whole, mistake) if d["kind"] == kind)
        done = core_faults([planted], tools, tmp_path)
        assert done.returncode != 0
        assert mistake.words in done.stdout + done.stderr


def test_checkov_catches_in_pods(overlays: Mapping[str, Documents], tools: Path, tmp_path: Path) -> None:
    documents = overlays["overlays/aws"]
    for place, value in (
        (f"{SPOT}|{FIRST}|securityContext|privileged", True),
        (f"{ON_DEMAND}|{FIRST}|securityContext|allowPrivilegeEscalation", True),
        (f"{HEAD}|{POD}|hostNetwork", True),
    ):
        documents = plant(documents, Mistake("", place, value, ""))
    assert {"CKV_K8S_16", "CKV_K8S_20", "CKV_K8S_19"} <= pod_failures(documents, tools, tmp_path).keys()
