"""What a reader of k8s/README.md and terraform/README.md types works in its order and names what is there."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.storage import Storage
from tests.deploy.house_rules import has_gpu, ray_documents
from tests.deploy.kustomize import K8S, ROOT
from tests.deploy.operator_rules import cluster_spec, groups
from tests.deploy.terraform import ENVIRONMENTS, TERRAFORM, kubernetes_version
from tests.deploy.test_documents import ALL, PAGES, commands

Overlays = dict[str, list[dict[str, Any]]]


def texts() -> Iterator[tuple[Path, str]]:
    for folder in (K8S, TERRAFORM):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".md", ".yaml", ".tf", ".example"):
                yield path, path.read_text()


def charts() -> list[list[str]]:
    """Every command of Helm in these folders, in words; in prose and comments, too."""
    lines = [line for _, text in texts() for line in text.splitlines()]
    found = [re.search(r"helm (?:install|upgrade|template)[^`]*", line) for line in lines]
    return [shlex.split(match.group()) for match in found if match]


def test_every_chart_has_a_version_and_everywhere_the_same() -> None:
    versions: dict[str, set[str]] = {}
    for words in charts():
        release, chart = [word for word in words[2:] if not word.startswith("--")][:2]
        assert chart.startswith("oci://") or "--repo" in words, f"{release}: from where?"
        assert "--namespace" in words, release
        version = words[words.index("--version") + 1] if "--version" in words else "none"
        versions.setdefault(chart.rpartition("/")[2], set()).add(version)
    assert set(versions) == {
        "kuberay-operator", "nvidia-device-plugin", "cluster-autoscaler", "kueue", "kube-prometheus-stack",
    }  # fmt: skip
    assert {chart: found for chart, found in versions.items() if len(found) != 1 or "none" in found} == {}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for found in versions.values() for version in found)


def test_the_operator_is_the_one_whose_crds_are_checked(test_data: Path) -> None:
    provenance = test_data / "deploy" / "crds" / "PROVENANCE.txt"
    if not provenance.is_file():
        pytest.skip(f"{provenance} is not there: nothing says which operator the CRDs are of")
    (version,) = {words[words.index("--version") + 1] for words in charts() if "kuberay-operator" in words}
    assert f"v{version}" in provenance.read_text()


def test_the_cluster_autoscaler_is_told_of_the_cluster_that_terraform_makes() -> None:
    (words,) = [words for words in charts() if "cluster-autoscaler" in words]
    told = dict(word.split("=", 1) for word in words if "=" in word)
    environment = (TERRAFORM / "envs/dev/main.tf").read_text()
    assert told["autoDiscovery.clusterName"] == re.search(r'name +=\s*"(reelyard-\w+)"', environment).group(1)  # type: ignore[union-attr]
    assert told["awsRegion"] == example("envs/dev")["region"].strip('"')
    assert told["image.tag"].startswith(f"v{kubernetes_version()}.")
    identity = (TERRAFORM / "aws/modules/identity/main.tf").read_text()
    assert f'"{told["rbac.serviceAccount.name"]}"' in identity
    assert words[words.index("--namespace") + 1] == "kube-system"
    assert told["nodeSelector.reelyard\\.io/pool"] == "system"


def example(environment: str) -> dict[str, str]:
    """The variables that terraform.tfvars.example gives."""
    text = (TERRAFORM / environment / "terraform.tfvars.example").read_text()
    return dict(re.findall(r"^(\w+) *= (.+)$", text, re.MULTILINE))


@pytest.mark.parametrize("root", [*ENVIRONMENTS, "gke"])
def test_an_example_gives_every_variable_that_is_asked_for_and_no_other(root: str) -> None:
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', (TERRAFORM / root / "variables.tf").read_text(), re.M | re.S)
    needed = {name for name, block in blocks if not re.search(r"^  default ", block, re.MULTILINE)}
    assert needed <= set(example(root)) <= {name for name, _ in blocks}


def test_every_output_that_is_asked_for_exists() -> None:
    asked = {name for command in ALL for name in re.findall(r"output -raw (\w+)", command)}
    assert asked == {"kubeconfig_command", "image"}
    for environment in ENVIRONMENTS:
        made = set(re.findall(r'^output "(\w+)"', (TERRAFORM / environment / "outputs.tf").read_text(), re.MULTILINE))
        assert asked | {"input_uri", "output_uri"} <= made


def test_what_kubectl_is_asked_for_is_what_the_overlays_make(overlays: Overlays) -> None:
    words = "\n".join(command for command in commands(K8S / "README.md") if command.startswith(("kubectl", "export")))
    cluster = ray_documents(overlays["overlays/aws"])[0]["metadata"]
    assert set(re.findall(r"raycluster/(\S+)", words)) == {cluster["name"]}
    assert set(re.findall(r"service/(\S+)", words)) == {f"{cluster['name']}-head-svc"}
    assert set(re.findall(r"get secret (\S+)", words)) == {cluster["name"]}
    assert set(re.findall(r"--namespace (\S+)", words)) == {cluster["namespace"]}
    assert set(re.findall(r"rayjob[ /](\S+)", (K8S / "README.md").read_text())) >= {
        ray_documents(overlays["overlays/aws-job"])[0]["metadata"]["name"]
    }


def test_renderers_may_read_the_token_that_the_readme_takes(overlays: Overlays) -> None:
    role = next(d for d in overlays["overlays/aws"] if d["kind"] == "Role")
    names = [rule["resourceNames"] for rule in role["rules"] if "secrets" in rule["resources"]]
    assert names == [[ray_documents(overlays["overlays/aws"])[0]["metadata"]["name"]]]
    verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
    assert "*" not in verbs and "*" not in {r for rule in role["rules"] for r in rule["resources"]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_run_that_is_sent_to_a_cluster_at_zero_asks_for_gpus(page: Path) -> None:
    """`auto` sees no GPU there; who copies the command must get GPU nodes."""
    sent = [command for command in commands(page) if re.search(r"reelyard (submit .*)?batch", command)]
    assert [command for command in sent if "--device cuda" not in command] == []
    assert sent or page.parent.name == "terraform"


def test_a_laptop_s_store_is_made_before_it_is_used_and_reached_through_the_wall(overlays: Overlays) -> None:
    local = commands(K8S / "README.md")
    places = [next(i for i, c in enumerate(local) if text in c) for text in (
        "moto_server", "curl --fail -X PUT", "docker build -t localhost/", "kind create", "kind load",
        "create namespace", "create secret", "k8s/overlays/local",
    )]  # fmt: skip
    assert places == sorted(places), "out of order: pods read the secret once, when they start"
    (port,) = {p for command in local for p in re.findall(r"--port (\d+)", command)}
    documents = overlays["overlays/local"]
    settings = next(d["data"] for d in documents if d["kind"] == "ConfigMap" and d["metadata"]["name"] == "environment")
    assert settings["AWS_ENDPOINT_URL"].endswith(f":{port}") and settings["AWS_REGION"]
    rules = [rule for d in documents if d["kind"] == "NetworkPolicy" for rule in d["spec"].get("egress", [])]
    assert int(port) in {entry["port"] for rule in rules for entry in rule.get("ports", [])}
    image = re.search(r"kind load docker-image (\S+)", "\n".join(local)).group(1)  # type: ignore[union-attr]
    workers = groups(cluster_spec(ray_documents(documents)[0]))
    assert {group["template"]["spec"]["containers"][0]["image"] for group in workers} == {image}
    assert not any(has_gpu(group) for group in workers)
    secret = {entry["secretRef"]["name"] for group in workers
              for entry in group["template"]["spec"]["containers"][0]["envFrom"] if "secretRef" in entry}  # fmt: skip
    assert all(f"create secret generic {name} " in "\n".join(local) for name in secret) and secret


def test_the_laptop_s_bucket_is_made_by_the_command_and_is_the_one_of_the_job(s3_options: dict[str, str]) -> None:
    (command,) = [c for c in commands(K8S / "README.md") if c.startswith("curl")]
    words = [word.replace("http://127.0.0.1:9000", s3_options["endpoint_url"]) for word in shlex.split(command)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bucket = words[-1].rpartition("/")[2]
    Storage(dict(s3_options)).put_bytes(b"x", f"s3://{bucket}/in/x")
    assert f"MANIFEST=s3://{bucket}/" in (K8S / "overlays/local-job/batch.env").read_text()


@pytest.mark.parametrize(
    ("place", "host", "port"), [("aws", "169.254.170.23/32", 80), ("gke", "169.254.169.252/32", 988)]
)
def test_pods_reach_what_gives_them_their_role(place: str, host: str, port: int, overlays: Overlays) -> None:
    """Without it they have no credentials: nothing is read and nothing written."""
    for name in [name for name in overlays if name.startswith(f"overlays/{place}")]:
        policies = [d["spec"] for d in overlays[name] if d["kind"] == "NetworkPolicy"]
        rules = [rule for policy in policies for rule in policy.get("egress", [])]
        assert any(
            {"ipBlock": {"cidr": host}} in rule.get("to", []) and port in {entry["port"] for entry in rule["ports"]}
            for rule in rules
        ), name


def test_a_driver_has_time_to_stop(overlays: Overlays) -> None:
    """Ray kills a driver after 3 s unless told otherwise; the pod must outlive what it is told."""
    for name in [name for name in overlays if name.startswith("overlays/")]:
        given = next(
            d["data"] for d in overlays[name] if d["kind"] == "ConfigMap" and d["metadata"]["name"] == "environment"
        )
        head = cluster_spec(ray_documents(overlays[name])[0])["headGroupSpec"]["template"]["spec"]
        assert 30 <= int(given["RAY_JOB_STOP_WAIT_TIME_S"]) < head["terminationGracePeriodSeconds"]


def test_the_network_lets_in_the_namespaces_that_the_commands_install_into() -> None:
    """The operator asks the head on 8265, Prometheus every Ray pod on 8080."""
    rules = [d["spec"] for d in yaml.safe_load_all((K8S / "base/network.yaml").read_text())]
    let_in = {
        (peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port["port"])
        for rule in rules for entry in rule.get("ingress", []) for peer in entry["from"] if "namespaceSelector" in peer
        for port in entry["ports"]
    }  # fmt: skip
    into = {words[3]: words[words.index("--namespace") + 1] for words in charts()}
    assert let_in == {(into["kuberay-operator"], 8265), (into["kube-prometheus-stack"], 8080)}


def test_what_was_never_done_is_said() -> None:
    said = {page: " ".join(page.read_text().split()) for page in PAGES}
    assert "No cluster with this was ever started by this project" in said[K8S / "README.md"]
    assert "The image with CUDA was never built by it" in said[K8S / "README.md"]
    assert "Nothing was ever applied by this project" in said[TERRAFORM / "README.md"]
    assert "never validated" in said[TERRAFORM / "README.md"]
    assert (ROOT / "tests/deploy/build_image.sh").exists()
