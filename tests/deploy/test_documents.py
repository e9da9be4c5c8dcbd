"""What the READMEs of k8s/ and terraform/ tell a reader to type names things that exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from cluster.cli import app
from tests.deploy.house_rules import ray_documents
from tests.deploy.kustomize import K8S, ROOT
from tests.deploy.operator_rules import job_spec
from tests.deploy.terraform import TERRAFORM

PAGES = (K8S / "README.md", TERRAFORM / "README.md")


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


ALL = [command for page in PAGES for command in commands(page)]


def test_every_folder_that_is_applied_exists() -> None:
    overlays = [word for command in ALL if command.startswith("kubectl") for word in re.findall(r"-k (\S+)", command)]
    roots = [word for command in ALL for word in re.findall(r"-chdir=(\S+)", command)]
    assert overlays and roots
    assert [folder for folder in overlays if not (ROOT / folder / "kustomization.yaml").exists()] == []
    assert [folder for folder in roots if not list((ROOT / folder).glob("*.tf"))] == []


def test_every_overlay_that_is_named_exists() -> None:
    named = {name for page in PAGES for name in re.findall(r"k8s/overlays/([\w-]+)", page.read_text())}
    assert named
    assert named <= {path.name for path in (K8S / "overlays").iterdir()}


def test_every_link_leads_somewhere() -> None:
    for page in PAGES:
        links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "://" not in link]
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_commands_of_reelyard_parse() -> None:
    built = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    mine = [shlex.split(command)[1:] for command in ALL if command.startswith("reelyard ")]
    assert mine
    ready = [words for words in mine if words[0] in built]
    for words in ready:
        built[words[0]].make_context(words[0], words[1:])
    if len(ready) < len(mine):
        pytest.skip(f"not built yet: {sorted({words[0] for words in mine if words not in ready})}")


def test_the_image_that_is_built_is_the_one_that_is_pinned(ray_version: str) -> None:
    texts = [page.read_text() for page in PAGES] + [(ROOT / "Dockerfile").read_text()]
    tags = {tag for text in texts for tag in re.findall(r"-ray(\d+\.\d+\.\d+)", text)}
    assert tags == {ray_version}


def test_the_image_s_tag_names_the_version_of_the_code() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE).group(1)  # type: ignore[union-attr]
    tags = [
        tag
        for path in K8S.glob("overlays/*/kustomization.yaml")
        for tag in re.findall(r"newTag: (\S+)-ray", path.read_text())
    ]
    assert set(tags) == {version}


def test_the_command_of_a_batch_job_parses(overlays: dict[str, list[dict[str, Any]]]) -> None:
    built = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    jobs = [(name, job_spec(d)) for name in overlays for d in ray_documents(overlays[name])]
    entrypoints = {name: shlex.split(job["entrypoint"]) for name, job in jobs if job}
    assert len(entrypoints) >= 5
    for words in entrypoints.values():
        assert words[:2] == ["reelyard", "batch"]
        given = built["batch"].make_context("batch", words[2:]).params
        assert given["work"].startswith(given["prefix"]), "parts outside the prefix that pods may write"
