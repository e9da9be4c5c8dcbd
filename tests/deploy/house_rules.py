"""What Reelyard promises of its manifests and nobody else checks, as pure functions over whole overlays.

Each rule yields what is wrong; `house_faults` asks all of them about the documents of one overlay.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tests.deploy.confinement import confinement_faults
from tests.deploy.operator_rules import cluster_spec, groups, job_spec

Document = Mapping[str, Any]

RAY_KINDS = ("RayCluster", "RayJob", "RayCronJob")
GPU = "nvidia.com/gpu"
POOL = "reelyard.io/pool"
_UNITS = {"": 1, "m": Fraction(1, 1000)} | {f"{u}i": 1024**n for n, u in enumerate("KMGT", 1)}
LIFECYCLE = "reelyard.io/lifecycle"
_KEPT = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
_SECRET_NAME = re.compile(r"(?i)(secret|password|token|_key|_key_id|credentials)$")
_SECRET_VALUE = re.compile(r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----")


def quantity(text: object) -> Fraction:
    """A Kubernetes quantity as a number."""
    number, unit = re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", str(text)).groups()  # type: ignore[union-attr]
    return Fraction(number) * _UNITS[unit]


def ray_documents(documents: Sequence[Document]) -> list[Document]:
    return [document for document in documents if document["kind"] in RAY_KINDS]


def house_faults(documents: Sequence[Document], ray_version: str) -> list[str]:
    """Everything in the documents of one overlay that breaks a promise."""
    found = [*_no_secrets(documents), *_accounts(documents), *_quota(documents), *_head_kept(documents)]
    found += [*confinement_faults(documents), *_references(documents), *_queue(documents)]
    for document in ray_documents(documents):
        cluster = cluster_spec(document)
        found += [*_versions(cluster, ray_version), *_head(cluster), *_priorities(cluster)]
        found += [*_scaling(document, cluster), *_batch(document)]
        for group in groups(cluster):
            found += [f"{name(group)}: {fault}" for fault in _group(group)]
    return found


def name(group: Document) -> str:
    return str(group.get("groupName", "head"))


def container(group: Document) -> Document:
    first: Document = group["template"]["spec"]["containers"][0]
    return first


def limits(group: Document) -> Document:
    found: Document = container(group).get("resources", {}).get("limits", {})
    return found


def has_gpu(group: Document) -> bool:
    return any(key.startswith("nvidia.com/") for key in limits(group))


def _no_secrets(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        title = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "Secret":
            yield f"{title}: secrets lie in no file"
        given = dict(document.get("data", {})) if document["kind"] == "ConfigMap" else {}
        for group in groups(cluster_spec(document)) if document["kind"] in RAY_KINDS else []:
            given |= {entry["name"]: entry.get("value", "") for entry in container(group).get("env", [])}
        for key, value in given.items():
            if value and (_SECRET_NAME.search(key) or _SECRET_VALUE.search(value)):
                yield f"{title}: {key} looks like a secret"


def _accounts(documents: Sequence[Document]) -> Iterator[str]:
    made = {d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount"}
    for document in ray_documents(documents):
        for group in groups(cluster_spec(document)):
            account = group["template"]["spec"].get("serviceAccountName")
            if account not in made:
                yield f"{name(group)}: serviceAccountName {account}; the operator makes none: {sorted(made)}"
        head, *workers = [g["template"]["spec"].get("serviceAccountName") for g in groups(cluster_spec(document))]
        if head in workers:
            yield f"workers are {head} too, whom the operator lets scale the cluster"


def _references(documents: Sequence[Document]) -> Iterator[str]:
    """What pods take their environment and files from is made in the same overlay."""
    made = {d["metadata"]["name"] for d in documents if d["kind"] == "ConfigMap"}
    for document in ray_documents(documents):
        for group in groups(cluster_spec(document)):
            pod, first = group["template"]["spec"], container(group)
            named = [entry.get("configMapRef", {}).get("name") for entry in first.get("envFrom", [])]
            named += [volume.get("configMap", {}).get("name") for volume in pod.get("volumes", [])]
            for missing in {entry for entry in named if entry} - made:
                yield f"{name(group)}: no ConfigMap {missing} is made"
            if not any(named):
                yield f"{name(group)}: takes nothing from the ConfigMap of the environment"


def _queue(documents: Sequence[Document]) -> Iterator[str]:
    """A job that waits in a queue is suspended until it is let in, and the queue exists."""
    queues = {d["metadata"]["name"]: d["spec"]["clusterQueue"] for d in documents if d["kind"] == "LocalQueue"}
    whole = {d["metadata"]["name"] for d in documents if d["kind"] == "ClusterQueue"}
    for document in ray_documents(documents):
        wanted = document["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
        if bool(queues) is not bool(wanted) or (wanted and queues.get(wanted) not in whole):
            yield f"queue {wanted}: found {queues} of {sorted(whole)}"
        if wanted and not (job_spec(document) or {}).get("suspend"):
            yield "a job in a queue that is not suspended would start before it is let in"


def _versions(cluster: Document, ray_version: str) -> Iterator[str]:
    if cluster.get("rayVersion") != ray_version:
        yield f"rayVersion {cluster.get('rayVersion')}, pinned {ray_version}"
    images = {container(group)["image"] for group in groups(cluster)}
    if len(images) != 1:
        yield f"more than one image: {sorted(images)}"
    for image in images:
        if not re.search(rf":[\w.]+-ray{re.escape(ray_version)}(-[a-z]+)?$", image):
            yield f"image {image}: its tag must end in -ray{ray_version}"


def _head(cluster: Document) -> Iterator[str]:
    head = cluster["headGroupSpec"]
    if head["rayStartParams"].get("num-cpus") != "0":
        yield "head: num-cpus must be the string 0: no actors beside the driver"
    if head["rayStartParams"].get("dashboard-host") != "0.0.0.0":
        yield "head: dashboard-host: the operator reaches the Jobs API from outside the pod"
    if container(head)["resources"].get("requests") != limits(head):
        yield "head: requests differ from limits"
    if cluster.get("authOptions", {}).get("mode") != "token":
        yield "authOptions: the Jobs API runs any command; mode: token"


def _head_kept(documents: Sequence[Document]) -> Iterator[str]:
    budgets = [d for d in documents if d["kind"] == "PodDisruptionBudget"]
    for document in ray_documents(documents):
        head = cluster_spec(document)["headGroupSpec"]["template"]
        labels = {"ray.io/node-type": "head"} | head["metadata"]["labels"]
        selectors = [budget["spec"]["selector"]["matchLabels"].items() for budget in budgets]
        if not any(selector <= labels.items() for selector in selectors):
            yield "head: no PodDisruptionBudget selects it"


def _priorities(cluster: Document) -> Iterator[str]:
    """Spot before on-demand is only true by priority."""
    by_lifecycle: dict[str, list[int]] = {}
    for group in cluster.get("workerGroupSpecs", []):
        if has_gpu(group):
            lifecycle = (group.get("labels") or {}).get(LIFECYCLE, "")
            by_lifecycle.setdefault(lifecycle, []).append(group.get("priority", 0))
    if {"spot", "on-demand"} <= by_lifecycle.keys() and min(by_lifecycle["spot"]) <= max(by_lifecycle["on-demand"]):
        yield f"priority of spot {by_lifecycle['spot']} is not above on-demand {by_lifecycle['on-demand']}"


def _scaling(document: Document, cluster: Document) -> Iterator[str]:
    queued = "kueue.x-k8s.io/queue-name" in document["metadata"].get("labels", {})
    if queued and cluster.get("enableInTreeAutoscaling"):
        yield "Kueue counts pods before they start: no autoscaler"
    if queued:
        return
    if not cluster.get("enableInTreeAutoscaling") or cluster.get("autoscalerOptions", {}).get("version") != "v2":
        yield "no autoscaler v2: nothing scales to zero"
    elif quantity(cluster["autoscalerOptions"].get("resources", {}).get("limits", {}).get("memory", 0)) < 2**30:
        yield "autoscaler: below 1Gi it is killed and starts nothing"
    for group in cluster.get("workerGroupSpecs", []):
        if group.get("minReplicas") != 0 or group.get("replicas", 0) != 0:
            yield f"{name(group)}: does not scale to zero"
        if not 0 < group.get("idleTimeoutSeconds", 60) <= 300:
            yield f"{name(group)}: stays {group['idleTimeoutSeconds']} s without work"


def _quota(documents: Sequence[Document]) -> Iterator[str]:
    quotas = [document["spec"]["hard"] for document in documents if document["kind"] == "ResourceQuota"]
    for document in ray_documents(documents):
        cluster = cluster_spec(document)
        for resource in ("cpu", "memory", GPU):
            largest = sum(
                quantity(container(group)["resources"]["requests"].get(resource, 0)) * group.get("maxReplicas", 1)
                for group in groups(cluster)
            )
            for hard in quotas:
                if quantity(hard[f"requests.{resource}"]) < largest:
                    yield f"quota of {resource} {hard[f'requests.{resource}']} holds no whole cluster"


def _group(group: Document) -> Iterator[str]:
    pod, first = group["template"]["spec"], container(group)
    yield from _confined(pod, first)
    yield from _space(pod, first)
    pool, is_head = (group.get("labels") or {}).get(POOL), "groupName" not in group
    if pool != ("gpu" if has_gpu(group) else "system" if is_head else "cpu"):
        yield f"label {POOL} is {pool}: actors outside cells could land on GPU nodes"
    if has_gpu(group) is not any(t.get("key") == GPU for t in pod.get("tolerations", [])):
        yield f"toleration of {GPU}: without it a GPU pod could never start, with it others would fill GPU nodes"
    given = {entry["name"]: entry.get("value") for entry in first.get("env", [])}
    if (given.get("NVIDIA_VISIBLE_DEVICES") == "void") is has_gpu(group):
        yield "NVIDIA_VISIBLE_DEVICES: void where no GPU is asked for, and only there"
    for key, value in pod.get("nodeSelector", {}).items():
        if key in (POOL, LIFECYCLE) and (group.get("labels") or {}).get(key, value) != value:
            yield f"nodes with {key}={value}, which Ray is told are {group['labels'][key]}"
    if pod.get("automountServiceAccountToken", True) and not is_head:
        yield "a worker carries a token of the Kubernetes API"
    if not is_head:
        yield from _leaves(pod, first)
    annotations = group["template"]["metadata"].get("annotations", {})
    for key, kept in _KEPT.items():
        if annotations.get(key) != kept:
            yield f"may be evicted: {key} is not the string {kept}"


def _confined(pod: Document, first: Document) -> Iterator[str]:
    context, own = pod.get("securityContext", {}), first.get("securityContext", {})
    if not (context.get("runAsNonRoot") and context.get("runAsUser", 0) > 0):
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "may gain privileges"
    if own.get("readOnlyRootFilesystem") and "/tmp" not in {m["mountPath"] for m in first.get("volumeMounts", [])}:
        yield "read-only root without a place for Ray's files"


def _space(pod: Document, first: Document) -> Iterator[str]:
    storage = first.get("resources", {}).get("limits", {}).get("ephemeral-storage")
    sizes = [v["emptyDir"] for v in pod.get("volumes", []) if "emptyDir" in v]
    on_disk = sum(quantity(size.get("sizeLimit", 0)) for size in sizes if size.get("medium") != "Memory")
    if storage is None or first["resources"].get("requests", {}).get("ephemeral-storage") != storage:
        yield "ephemeral-storage is not both requested and limited"
    elif on_disk > quantity(storage):
        yield f"volumes of {float(on_disk / 2**30):g} Gi exceed ephemeral-storage {storage}"
    memory = quantity(first.get("resources", {}).get("limits", {}).get("memory", 0))
    in_memory = [v for v in pod.get("volumes", []) if v.get("emptyDir", {}).get("medium") == "Memory"]
    shared = {volume["name"]: volume["emptyDir"] for volume in in_memory}
    for mount in first.get("volumeMounts", []):
        size = quantity(shared[mount["name"]].get("sizeLimit", 0)) if mount["name"] in shared else memory
        if (mount["mountPath"] == "/dev/shm" or mount["name"] in shared) and size < memory * Fraction(3, 10):
            yield f"{mount['mountPath']} is smaller than Ray's object store (0.3 of memory)"


def _leaves(pod: Document, first: Document) -> Iterator[str]:
    command = first.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
    grace = pod.get("terminationGracePeriodSeconds", 30)
    if "/etc/reelyard/drain.py" not in command:
        yield "no pre-stop hook that drains"
    elif int(command[-1]) >= grace:
        yield f"drains for {command[-1]} s of {grace} s"
    elif "/etc/reelyard" not in {mount["mountPath"] for mount in first.get("volumeMounts", [])}:
        yield "the pre-stop hook's program is not mounted"


def _batch(document: Document) -> Iterator[str]:
    job = job_spec(document)
    if job is None:
        return
    entrypoint = job.get("entrypoint", "")
    if re.search(r"[;&|]", entrypoint):
        yield "entrypoint: more than one command; the second would run in the submitter"
    if job.get("submissionMode") != "SidecarMode":
        yield "submissionMode: another pod would pull the whole image to submit; SidecarMode"
    if "--partial-ok" not in entrypoint.split():
        yield "entrypoint without --partial-ok: a bad video would cost a whole new cluster"
    if re.search(r"\b(MANIFEST|OUTPUT|WORK|DEVICE)\b", entrypoint):
        yield "entrypoint: a word of batch.env was not filled in"
    with_gpu = any(has_gpu(group) for group in groups(cluster_spec(document)))
    if with_gpu is not ("--device cuda" in entrypoint):
        yield "entrypoint: --device cuda, and only that, asks a cluster at zero for GPU nodes"
    if not job.get("shutdownAfterJobFinishes") and not job.get("deletionStrategy"):
        yield "the cluster, and its GPUs, would stay after the job"
    if not job.get("backoffLimit") or not job.get("activeDeadlineSeconds"):
        yield "backoffLimit and activeDeadlineSeconds: both are needed"
    if not job.get("suspend") and not job.get("preRunningDeadlineSeconds"):
        yield "preRunningDeadlineSeconds: a cluster that never comes up would be waited for"
    if any(field.startswith("entrypoint") and field != "entrypoint" for field in job):
        yield "entrypoint resources: the driver could land on a spot node"
