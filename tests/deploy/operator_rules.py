"""What the KubeRay operator (1.7) refuses although the schema of its CRDs allows it, as pure functions.

Each function takes a document and yields what is wrong with it; `operator_faults` asks all of them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

Document = Mapping[str, Any]

#: RayJobs and RayCronJobs give their clusters longer names.
LONGEST_NAME = {"RayCluster": 53, "RayJob": 47, "RayService": 47, "RayCronJob": 36}
#: Fields that work only behind a gate that is off by default.
GATED = ("networkPolicy", "tlsOptions", "historyServerOptions")
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_EXCLUSIVE = ("num-cpus", "num-gpus", "memory", "resources")


def job_spec(document: Document) -> Document | None:
    """The RayJobSpec of a RayJob or RayCronJob."""
    if document["kind"] == "RayCronJob":
        spec: Document = document["spec"]["jobTemplate"]
        return spec
    return document["spec"] if document["kind"] == "RayJob" else None


def cluster_spec(document: Document) -> Document:
    """The RayClusterSpec of any of the kinds; empty where a job selects a running cluster."""
    job = job_spec(document)
    spec: Document = document["spec"] if job is None else job.get("rayClusterSpec", {})
    return spec


def groups(cluster: Document) -> list[Document]:
    """Head group first, then the worker groups."""
    return [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])] if cluster else []


def operator_faults(document: Document) -> list[str]:
    """Everything that the operator would refuse."""
    job, cluster = job_spec(document), cluster_spec(document)
    found = [*_name(document), *_groups(cluster), *_autoscaler(cluster), *_fault_tolerance(cluster)]
    return found + ([*_job(job), *_retries(job), *_sidecar(job, cluster)] if job else [])


def _name(document: Document) -> Iterator[str]:
    name, kind = str(document["metadata"].get("name", "")), document["kind"]
    if not _DNS_1035.fullmatch(name):
        yield f"name {name!r}: starts with a letter; letters, digits and dashes"
    if len(name) > LONGEST_NAME[kind]:
        yield f"name {name!r}: {len(name)} characters; a {kind} may have {LONGEST_NAME[kind]}"


def _groups(cluster: Document) -> Iterator[str]:
    for group in cluster.get("workerGroupSpecs", []):
        name = group.get("groupName")
        least, most = group.get("minReplicas"), group.get("maxReplicas")
        if not cluster.get("enableInTreeAutoscaling") and (least is None or most is None):
            yield f"group {name}: minReplicas and maxReplicas are needed without the autoscaler"
        if not 0 <= (least or 0) <= (2**31 if most is None else most):
            yield f"group {name}: minReplicas {least}, maxReplicas {most}"
    for group in groups(cluster):
        yield from _start_parameters(group)
    for field in GATED:
        if field in cluster:
            yield f"{field}: its gate is off by default"


def _start_parameters(group: Document) -> Iterator[str]:
    name, parameters = group.get("groupName", "head"), group.get("rayStartParams") or {}
    if "labels" in parameters:
        yield f"group {name}: rayStartParams.labels; use the group's labels"
    both = [key for key in _EXCLUSIVE if key in parameters]
    if group.get("resources") and both:
        yield f"group {name}: resources beside rayStartParams {both}"
    for key, value in (group.get("labels") or {}).items():
        if not _LABEL_VALUE.fullmatch(value) or not _LABEL_VALUE.fullmatch(key.rpartition("/")[2]):
            yield f"group {name}: label {key}={value}"


def _autoscaler(cluster: Document) -> Iterator[str]:
    if not cluster.get("enableInTreeAutoscaling"):
        return
    for group in groups(cluster):
        policy = group["template"]["spec"].get("restartPolicy", "Never")
        if policy != "Never":
            yield f"group {group.get('groupName', 'head')}: restartPolicy {policy} with the autoscaler"
        names = [entry["name"] for entry in group["template"]["spec"]["containers"][0].get("env", [])]
        if "RAY_enable_autoscaler_v2" in names and "version" in cluster.get("autoscalerOptions", {}):
            yield "RAY_enable_autoscaler_v2 beside autoscalerOptions.version"


def _fault_tolerance(cluster: Document) -> Iterator[str]:
    if cluster.get("authOptions", {}).get("mode") == "token" and not cluster.get("rayVersion"):
        yield "authOptions: token needs rayVersion (2.52 or newer)"
    if "gcsFaultToleranceOptions" not in cluster:
        return
    for entry in cluster["headGroupSpec"]["template"]["spec"]["containers"][0].get("env", []):
        if entry["name"] in ("RAY_REDIS_ADDRESS", "REDIS_PASSWORD"):
            yield f"{entry['name']} beside gcsFaultToleranceOptions"


def _job(job: Document) -> Iterator[str]:
    ends = job.get("shutdownAfterJobFinishes", False)
    if job.get("ttlSecondsAfterFinished", 0) > 0 and not ends:
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if job.get("suspend") and (not ends or "clusterSelector" in job):
        yield "suspend needs shutdownAfterJobFinishes and no clusterSelector"
    if ends and job.get("deletionStrategy", {}).get("deletionRules"):
        yield "deletionRules beside shutdownAfterJobFinishes"
    if "upgradeStrategy" in job.get("rayClusterSpec", {}):
        yield "upgradeStrategy in a job"
    for field in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if job.get(field, 1) <= 0:
            yield f"{field} {job[field]}"
    try:
        yaml.safe_load(job.get("runtimeEnvYAML", ""))
    except yaml.YAMLError:
        yield "runtimeEnvYAML is not YAML"


def _retries(job: Document) -> Iterator[str]:
    again = job.get("backoffLimit", 0)
    if again < 0:
        yield f"backoffLimit {again}"
    if again > 0 and (job.get("submissionMode") == "InteractiveMode" or "clusterSelector" in job):
        yield "backoffLimit with InteractiveMode or clusterSelector"


def _sidecar(job: Document, cluster: Document) -> Iterator[str]:
    if job.get("submissionMode") != "SidecarMode":
        return
    for field in ("submitterPodTemplate", "submitterConfig", "clusterSelector"):
        if field in job:
            yield f"{field} with SidecarMode"
    policy = cluster["headGroupSpec"]["template"]["spec"].get("restartPolicy", "Never") if cluster else "Never"
    if policy != "Never":
        yield f"head's restartPolicy {policy} with SidecarMode"
