"""The tools and schemas that checks of the deployment need, each with the reason where it is not here."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.crd_schema import Crds, served
from tests.deploy.kustomize import K8S, MONITORING, OVERLAYS, ROOT, build
from tests.deploy.other_kinds import schemas


@pytest.fixture(scope="session")
def ray_version() -> str:
    """The version of Ray that constraints.txt pins."""
    return re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE).group(1)  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def overlays() -> dict[str, list[dict[str, Any]]]:
    """The documents of every overlay, and of the monitoring, by name."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed: overlays cannot be built")
    return {name: build(K8S / name) for name in [*OVERLAYS, MONITORING]}


@pytest.fixture(scope="session")
def crds(test_data: Path) -> Crds:
    """KubeRay's CRDs, which are not part of this repository."""
    folder = test_data / "deploy" / "crds"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: no CRDs to validate against")
    return Crds(served(folder))


@pytest.fixture(scope="session")
def other_kinds(tools: Path) -> Crds:
    """The kinds that are neither Ray's nor Kubernetes' own; their schemas are not part of this repository."""
    file = tools.parent / "other-kinds.json"
    if not file.is_file():
        pytest.skip(f"{file} is not there: `make check-deploy` fetches the schemas of Kueue's kinds and of PodMonitor")
    return Crds(schemas(file))


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of checkov, hadolint and kubernetes-validate, which `make check-deploy` installs."""
    folder = Path(os.environ.get("REELYARD_DEPLOY_TOOLS", ROOT / ".venv-deploy" / "bin"))
    if not (folder / "checkov").exists():
        pytest.skip(f"{folder} has no checkov: `make check-deploy` installs the checkers")
    return folder


@pytest.fixture(scope="session")
def aws_provider() -> Path:
    """The folder with Terraform's AWS provider, which TF_PLUGIN_DIR names."""
    folder = os.environ.get("TF_PLUGIN_DIR")
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    if not folder:
        pytest.skip("TF_PLUGIN_DIR is not set: no AWS provider to validate with")
    return Path(folder)
