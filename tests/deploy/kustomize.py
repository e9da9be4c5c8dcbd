"""The documents of a kustomization, as `kubectl kustomize` builds them."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.crd_schema import StrictLoader

ROOT = Path(__file__).parent.parent.parent
K8S = ROOT / "k8s"
OVERLAYS = sorted(path.parent.relative_to(K8S).as_posix() for path in (K8S / "overlays").glob("*/kustomization.yaml"))
MONITORING = "monitoring"


def build(folder: Path) -> list[dict[str, Any]]:
    """The documents of a kustomization."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return [document for document in yaml.load_all(done.stdout, Loader=StrictLoader) if document]
