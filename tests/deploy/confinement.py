"""Who may reach whom, and how much the namespace may ask for: the documents beside the Ray resource.

Pure functions over the documents of one overlay; `confinement_faults` asks all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]

#: What every overlay has besides its Ray resource.
NEEDED = ("Namespace", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "ResourceQuota", "ConfigMap")
#: Machines answer there for their own roles: no pod may ask, but for the address that gives pods theirs.
_METADATA = "169.254.0.0/16"
_IDENTITY_HOSTS = ("169.254.170.23/32", "169.254.169.252/32", "169.254.169.254/32")


def confinement_faults(documents: Sequence[Document]) -> list[str]:
    """What is missing, or open that should not be."""
    kinds = {document["kind"] for document in documents}
    missing = [f"no {kind}" for kind in NEEDED if kind not in kinds]
    policies = [document["spec"] for document in documents if document["kind"] == "NetworkPolicy"]
    return [*missing, *_default(policies), *(fault for policy in policies for fault in _open(policy))]


def _default(policies: Sequence[Document]) -> Iterator[str]:
    """Nothing is let through unless a rule says so."""
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any({key: value for key, value in policy.items() if value != []} == closed for policy in policies):
        yield "no NetworkPolicy that lets nothing through by default"


def _open(policy: Document) -> Iterator[str]:
    for rule in policy.get("ingress", []):
        peers = rule.get("from", [])
        if not peers or any(not peer or "ipBlock" in peer for peer in peers):
            yield "ingress from anywhere"
    for rule in policy.get("egress", []):
        if not rule.get("ports") and not all("podSelector" in peer for peer in rule.get("to", [{}])):
            yield "egress to any port"
        for peer in rule.get("to", []):
            block = peer.get("ipBlock", {})
            if block.get("cidr") == "0.0.0.0/0" and _METADATA not in block.get("except", []):
                yield "egress to the machine's own metadata service"
            if block.get("cidr", "").startswith("169.254.") and block["cidr"] not in _IDENTITY_HOSTS:
                yield f"egress to {block['cidr']}"
