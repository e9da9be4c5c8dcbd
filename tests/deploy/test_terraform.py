"""Terraform's files are formatted, valid and keep their promises, and mistakes in them are found."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.house_rules import POOL, name, quantity
from tests.deploy.kustomize import K8S
from tests.deploy.operator_rules import groups
from tests.deploy.terraform import ENVIRONMENTS, TERRAFORM, copy_of, initialised, plant, terraform


def test_files_are_formatted() -> None:
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    done = terraform(TERRAFORM, "fmt", "-check", "-recursive", "-diff")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environments_are_valid(environment: str, aws_provider: Path, tmp_path: Path) -> None:
    folder = initialised(copy_of(tmp_path) / environment, aws_provider)
    done = terraform(folder, "validate", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_promise_is_planned(aws_provider: Path, tmp_path: Path) -> None:
    done = terraform(initialised(copy_of(tmp_path) / "aws", aws_provider), "test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed, 0 failed", done.stdout).group(1)) >= 28  # type: ignore[union-attr]


#: Where, what is replaced by what, and the words of the promise that it breaks.
MISTAKES = {
    "modules/storage/main.tf public": (
        ("block_public_acls       = true", "block_public_acls       = false"),
        "nothing in the bucket can be made public",
    ),
    "modules/storage/main.tf policy": (
        ('Effect    = "Deny"', 'Effect    = "Allow"'), "the bucket's policy lets nobody in"
    ),
    "modules/identity/main.tf action": (
        ('Action   = ["s3:GetObject"]', 'Action   = ["s3:*"]'), "no action by wildcard"
    ),
    "modules/identity/main.tf resource": (
        ('Resource = ["${var.bucket_arn}/${var.output_prefix}*"]', 'Resource = ["*"]'),
        "nothing outside the two prefixes",
    ),
    "modules/node_pool/main.tf taint": (
        ('for_each = local.gpu ? ["nvidia.com/gpu"] : []', "for_each = []"), "a GPU pool is tainted"
    ),
    "modules/node_pool/main.tf spot": (
        ('var.lifecycle_kind == "spot" ? "SPOT" : "ON_DEMAND"', '"ON_DEMAND"'), "run \"a_spot_gpu_pool"
    ),
    "modules/node_pool/main.tf hop": (("hop_limit = 1 #", "hop_limit = 2 #"), "pods cannot take the node's role"),
    "modules/cluster/main.tf open": (
        ("endpoint_public_access  = length(var.public_access_cidrs) > 0", "endpoint_public_access  = true"),
        "the endpoint is private",
    ),
    "modules/cluster/main.tf creator": (
        ("bootstrap_cluster_creator_admin_permissions = false", "bootstrap_cluster_creator_admin_permissions = true"),
        "who administers is named",
    ),
    "modules/network/main.tf endpoint": (('"Gateway"', '"Interface"'), "through a gateway endpoint"),
    "modules/network/main.tf routes": (
        ("[for table in aws_route_table.private : table.id]", "[aws_route_table.public.id]"),
        "the endpoint stands in the routes of every private subnet",
    ),
    "modules/network/main.tf gateway": (
        ("  nat_gateway_id         = aws_nat_gateway.this", "  gateway_id = aws_internet_gateway.this.id #"),
        "no private subnet is reached from outside",
    ),
    "modules/cluster/main.tf key": (("key_arn = var.kms_key_arn", 'key_arn = "k"'), "encrypted with our key"),
    "modules/cluster/main.tf logs": (
        ("kms_key_id        = var.kms_key_arn", 'kms_key_id = "arn:aws:kms:eu-west-1:000000000000:key/o"'),
        "logs are encrypted",
    ),
    "modules/cluster/main.tf support": (('"STANDARD"', '"EXTENDED"'), "no dearer support"),
    "modules/identity/main.tf bucket": (
        ('Action    = ["s3:ListBucket"]', 'Action    = ["s3:ListBucket", "s3:PutBucketPolicy"]'),
        "the bucket itself is listed and nothing more",
    ),
    "modules/identity/main.tf look": (
        ('"autoscaling:DescribeTags", ', '"autoscaling:DescribeTags", "ec2:TerminateInstances", '), "is a look"
    ),
    "modules/node_pool/main.tf present": (
        ('{ "nvidia.com/gpu.present" = "true" }', "{}"), "the device plugin finds the node"
    ),
    "modules/storage/main.tf http": (
        ('Condition = { Bool = { "aws:SecureTransport" = "false" } }', ""), "nothing over http"
    ),
    "modules/storage/main.tf owner": (("BucketOwnerEnforced", "ObjectWriter"), "no object is another account's"),
    "modules/budget/main.tf filter": (
        ('format("user:project$%s", var.project)', '"user:project$${var.project}"'), "carries the project's tag counts"
    ),
    "modules/registry/main.tf tags": (('"IMMUTABLE"', '"MUTABLE"'), "tags cannot be moved"),
    "main.tf labels": (
        ('lifecycle_kind = "on-demand", instance_types = var.cpu', 'lifecycle_kind = "spot", instance_types = var.cpu'),
        "pools and their labels",
    ),
}  # fmt: skip


def test_planted_mistakes_break_their_promises(aws_provider: Path, tmp_path: Path) -> None:
    root = copy_of(tmp_path) / "aws"
    plant(root, {name: change for name, (change, _) in MISTAKES.items()})
    done = terraform(initialised(root, aws_provider), "test", "-no-color")
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert {name: words for name, (_, words) in MISTAKES.items() if words not in said} == {}


def test_a_field_that_the_provider_does_not_know_is_refused(aws_provider: Path, tmp_path: Path) -> None:
    root = copy_of(tmp_path) / "aws"
    plant(root, {"modules/node_pool/main.tf": ("  capacity_type   =", "  capacity_types  =")})
    done = terraform(initialised(root, aws_provider), "validate", "-no-color")
    assert done.returncode != 0
    assert '"capacity_types" is not expected here' in done.stderr


def checkov(folder: Path, tools: Path) -> dict[str, Any]:
    command = [
        str(tools / "checkov"), "--framework", "terraform", "--directory", str(folder), "--quiet", "--compact",
        "--skip-download", "--output", "json",
    ]  # fmt: skip
    report: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    return report


def test_checkov_finds_nothing_and_every_skip_has_a_reason(tools: Path, tmp_path: Path) -> None:
    report = checkov(copy_of(tmp_path), tools)
    assert [(c["check_id"], c["resource"]) for c in report["results"]["failed_checks"]] == []
    assert report["summary"]["passed"] > 100
    skips = re.findall(r"#checkov:skip=(\w+):?(.*)", "".join(p.read_text() for p in TERRAFORM.rglob("*.tf")))
    assert skips
    assert [check for check, reason in skips if len(reason.split()) < 5] == []


def test_checkov_catches(tools: Path, tmp_path: Path) -> None:
    root = copy_of(tmp_path) / "aws"
    plant(root, {name: MISTAKES[name][0] for name in MISTAKES if name.split("/")[1:2] in (["storage"], ["registry"])})
    failed = {check["check_id"] for check in checkov(root, tools)["results"]["failed_checks"]}
    assert {"CKV_AWS_53", "CKV_AWS_51"} <= failed


def roots() -> list[Path]:
    return [TERRAFORM / "aws", *(TERRAFORM / environment for environment in ENVIRONMENTS)]


def test_aws_is_made_of_its_own_resources_and_modules_of_this_repository() -> None:
    text = "".join(path.read_text() for root in roots() for path in root.rglob("*.tf"))
    kinds = re.findall(r'^(?:resource|data) "(\w+)"', text, re.MULTILINE)
    assert len(kinds) > 30
    assert [kind for kind in kinds if not kind.startswith("aws_")] == []
    assert [source for source in re.findall(r'^ +source += "([^"]+)"', text, re.MULTILINE)
            if not source.startswith(("./", "../")) and source != "hashicorp/aws"] == []  # fmt: skip


def test_one_version_of_the_provider_and_of_terraform_everywhere() -> None:
    texts = [
        path.read_text() for root in roots() for path in root.rglob("*.tf") if "required_version" in path.read_text()
    ]
    assert len(texts) >= 10
    assert {(re.findall(r'^ +version = "(.+)"', text, re.M)[0], re.findall(r'required_version = "(.+)"', text)[0])
            for text in texts} == {(">= 5.95, < 6.0", ">= 1.10")}  # fmt: skip


def environment_faults(name: str, text: str) -> list[str]:
    """What an environment would get wrong though Terraform takes it."""
    found = dict(re.findall(r"^ +(\w+) += ([^{\n]+)$", text, re.MULTILINE))
    tag = re.search(r'tags = \{ project = "(.+)" \}', text)
    faults = []
    if tag is None or f'"{tag.group(1)}"' != found["name"]:
        faults.append("the tag that the budget counts by is not the name")
    if name == "envs/prod" and found["public_access_cidrs"] != "[]":
        faults.append("production is reached from outside")
    if name == "envs/prod" and (found["force_destroy"], found["single_nat_gateway"]) != ("false", "false"):
        faults.append("production can be destroyed by chance, or by the loss of a zone")
    if "use_lockfile = true" not in text or "encrypt      = true" not in text:
        faults.append("the state is not locked and encrypted")
    return faults


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_keeps_what_its_comments_say(environment: str) -> None:
    assert environment_faults(environment, (TERRAFORM / environment / "main.tf").read_text()) == []


@pytest.mark.parametrize(
    ("found", "instead", "fault"),
    [
        ('project = "reelyard-prod"', 'project = "reelyard"', "the budget counts by"),
        ("public_access_cidrs   = []", 'public_access_cidrs   = ["198.51.100.0/24"]', "reached from outside"),
        ("force_destroy         = false", "force_destroy         = true", "destroyed by chance"),
        ("use_lockfile = true", "use_lockfile = false", "not locked"),
    ],
)
def test_a_mistake_in_an_environment_is_named(found: str, instead: str, fault: str) -> None:
    text = (TERRAFORM / "envs/prod/main.tf").read_text()
    assert found in text
    assert fault in "; ".join(environment_faults("envs/prod", text.replace(found, instead)))


def test_the_autoscaler_s_count_is_not_undone_by_the_next_plan() -> None:
    """No plan can show it: a node group at work has another size than the one it was made with."""
    text = (TERRAFORM / "aws/modules/node_pool/main.tf").read_text()
    assert re.search(r"lifecycle \{\s+ignore_changes = \[scaling_config\[0\]\.desired_size\]", text)


def pools() -> dict[str, str]:
    """The text of each node pool in aws/main.tf, by name."""
    text = (TERRAFORM / "aws" / "main.tf").read_text()
    return dict(re.findall(r"^    ([a-z-]+) = \{\n(.*?)\n    \}", text, re.MULTILINE | re.DOTALL))


def test_every_ray_pod_finds_a_pool_that_terraform_makes() -> None:
    """Labels, taints and sizes of both sides, held against each other."""
    made = [
        {POOL: re.search(r'pool += "(\w+)"', text).group(1),  # type: ignore[union-attr]
         "reelyard.io/lifecycle": re.search(r'lifecycle_kind = "([\w-]+)"', text).group(1)}  # type: ignore[union-attr]
        for text in pools().values()
    ]  # fmt: skip
    assert len(made) == 4
    cluster = yaml.safe_load((K8S / "base" / "raycluster.yaml").read_text())
    for group in groups(cluster["spec"]):
        wanted = group["template"]["spec"]["nodeSelector"]
        assert [labels for labels in made if wanted.items() <= labels.items()], f"{name(group)}: no pool is {wanted}"


def test_pods_fit_the_machines_that_terraform_starts() -> None:
    """Processors and memory of the sizes named, less what a node keeps for itself; disks likewise."""
    shapes = {"gpu": (8, 32), "cpu": (16, 32), "system": (8, 32)}
    cluster = yaml.safe_load((K8S / "base" / "raycluster.yaml").read_text())["spec"]
    for group in groups(cluster):
        pool = group["template"]["spec"]["nodeSelector"][POOL]
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        cpus, gib = shapes[pool]
        assert quantity(limits["cpu"]) <= cpus - 1
        assert quantity(limits["memory"]) <= (gib - 4) * 2**30
        disk = min(int(size) for text in pools().values() if f'= "{pool}",' in text
                   for size in re.findall(r"disk_gib = (\d+)", text))  # fmt: skip
        assert quantity(limits["ephemeral-storage"]) <= disk * 2**30 * 3 / 4


def test_as_many_nodes_as_the_autoscaler_may_ask_for() -> None:
    cluster = yaml.safe_load((K8S / "base" / "raycluster.yaml").read_text())["spec"]
    for environment in ENVIRONMENTS:
        text = (TERRAFORM / environment / "main.tf").read_text()
        for group in cluster["workerGroupSpecs"]:
            variable = group["groupName"].replace("-", "_") + "_max"
            most = int(re.search(rf"{variable} +=\s*(\d+)", text).group(1))  # type: ignore[union-attr]
            assert most >= group["maxReplicas"], f"{environment}: {variable}"


def test_identities_are_the_accounts_of_the_manifests() -> None:
    accounts = {d["metadata"]["name"] for d in yaml.safe_load_all((K8S / "base/service-accounts.yaml").read_text())}
    text = (TERRAFORM / "aws" / "main.tf").read_text()
    assert set(re.findall(r'"(reelyard-\w+)"', text)) == accounts


def test_renderers_are_the_group_of_the_manifests() -> None:
    bound = next(d for d in yaml.safe_load_all((K8S / "base/renderers.yaml").read_text()) if d["kind"] == "RoleBinding")
    text = (TERRAFORM / "aws/modules/cluster/main.tf").read_text()
    assert re.findall(r'kubernetes_groups = \["([\w-]+)"\]', text) == [bound["subjects"][0]["name"]]


def test_no_file_names_a_key() -> None:
    texts = {path: path.read_text() for path in TERRAFORM.rglob("*") if path.is_file()}
    key = re.compile(r"AKIA[0-9A-Z]{16}|secret_key\s*=|access_key\s*=")
    assert [path for path, text in texts.items() if key.search(text)] == []
