"""Terraform on a copy of terraform/, so that nothing is written into the repository."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.deploy.kustomize import ROOT

TERRAFORM = ROOT / "terraform"
ENVIRONMENTS = ("envs/dev", "envs/prod")


def kubernetes_version() -> str:
    """Kubernetes as every environment asks for it, for example 1.35."""
    found = {
        re.findall(r'kubernetes_version = "(.+)"', (TERRAFORM / e / "main.tf").read_text())[0] for e in ENVIRONMENTS
    }
    assert len(found) == 1, f"environments differ: {sorted(found)}"
    return found.pop()


def copy_of(folder: Path) -> Path:
    """A copy of terraform/ without what earlier runs left in it."""
    target = folder / "terraform"
    shutil.copytree(TERRAFORM, target, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
    return target


def terraform(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """One command in a folder; speaks to nobody."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_CLI")}
    environment |= {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    command = ["terraform", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def initialised(folder: Path, provider: Path) -> Path:
    """The folder, ready for `validate` and `test`."""
    done = terraform(folder, "init", "-backend=false", "-no-color", "-input=false", f"-plugin-dir={provider}")
    assert done.returncode == 0, done.stderr
    return folder


def plant(root: Path, mistakes: dict[str, tuple[str, str]]) -> None:
    """Replaces text in files, by name below `root`; each must be found exactly once."""
    for name, (found, instead) in mistakes.items():
        path = root / name.split(" ")[0]
        text = path.read_text()
        assert text.count(found) == 1, f"{name}: {found!r} occurs {text.count(found)} times"
        path.write_text(text.replace(found, instead))
