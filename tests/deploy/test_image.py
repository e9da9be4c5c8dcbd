"""What the Dockerfile promises: one Ray, not root, the driver's video libraries, headless OpenCV, nothing private."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.kustomize import ROOT

DOCKERFILE = ROOT / "Dockerfile"

#: What may be asked of a Dockerfile without building it: name, and a pattern of its final stage.
PROMISES = {
    "it does not end as root": r"^USER 1000:1000$",
    "the driver's encoder and decoder can be loaded": r"NVIDIA_DRIVER_CAPABILITIES=compute,video,utility",
    "Ray and torch are the pinned ones": r"--constraint \S+/constraints.txt --requirement \S+/torch.txt",
    "torch lies in a layer before the code": r"(?s)torch\.txt.*others\.txt.*COPY --from=wheel",
    "the commands are on the path": r"PATH=/opt/reelyard/bin:\$PATH",
    "another index, say of torch for processors, can be given": r'^ARG PIP_EXTRA_INDEX_URL=""$',
}
#: Words of a variable that would hold a secret, or files of models: neither is for an image.
_PRIVATE = re.compile(r"(?im)^(ARG|ENV)\b.*(TOKEN|SECRET|PASSWORD|ACCESS_KEY)|\.(safetensors|pth|onnx|ckpt)\b")


def broken_promises(text: str) -> list[str]:
    """Names of the promises that a Dockerfile breaks."""
    final = text[text.rindex("\nFROM ") :]
    broken = [name for name, pattern in PROMISES.items() if not re.search(pattern, final, re.MULTILINE)]
    if re.search(r"^ENTRYPOINT", final, re.MULTILINE):
        broken.append("KubeRay's own command is run")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    if set(bases) != {"${BASE_IMAGE}"} or not re.search(
        r"(?m)^ARG BASE_IMAGE=\S+:\d[\w.-]*(@sha256:[0-9a-f]{64})?$", text
    ):
        broken.append("the base can be given, and is a version")
    if _PRIVATE.search(text):
        broken.append("no secrets, no weights")
    return broken


def test_the_base_can_be_pinned_to_the_byte() -> None:
    text = DOCKERFILE.read_text()
    pinned = text.replace("slim-bookworm\n", f"slim-bookworm@sha256:{64 * 'a'}\n")
    assert pinned != text
    assert broken_promises(pinned) == []
    assert broken_promises(pinned.replace(64 * "a", "latest")) == ["the base can be given, and is a version"]


def test_every_build_argument_that_is_named_exists() -> None:
    pages = (DOCKERFILE, ROOT / "k8s" / "README.md", ROOT / "terraform" / "README.md", ROOT / "README.md")
    named = {name for page in pages for name in re.findall(r"--build-arg (\w+)=", page.read_text())}
    assert {"PIP_EXTRA_INDEX_URL", "EXTRAS", "BASE_IMAGE"} <= named
    assert named <= set(re.findall(r"^ARG (\w+)=", DOCKERFILE.read_text(), re.MULTILINE))


def hadolint(text: str, tools: Path) -> str:
    done = subprocess.run([str(tools / "hadolint"), "-"], input=text, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_the_dockerfile_keeps_its_promises() -> None:
    assert broken_promises(DOCKERFILE.read_text()) == []


def test_hadolint_finds_nothing(tools: Path) -> None:
    assert hadolint(DOCKERFILE.read_text(), tools) == ""


@pytest.mark.parametrize(
    ("found", "instead", "promise"),
    [
        ("USER 1000:1000\n", "", "it does not end as root"),
        ("compute,video,utility", "compute,utility", "the driver's encoder and decoder can be loaded"),
        ("--constraint /opt/reelyard/constraints.txt --requirement /opt/reelyard/torch.txt", "torch",
         "Ray and torch are the pinned ones"),
        ('CMD ["reelyard", "--help"]', 'ENTRYPOINT ["reelyard"]', "KubeRay's own command is run"),
        ("BASE_IMAGE=python:3.11-slim-bookworm", "BASE_IMAGE=python", "the base can be given, and is a version"),
        ('ARG PIP_EXTRA_INDEX_URL=""\n', "", "another index, say of torch for processors, can be given"),
        ('ARG EXTRAS=""', 'ARG HF_TOKEN=""', "no secrets, no weights"),
        ("COPY tasks tasks", "COPY face.safetensors tasks", "no secrets, no weights"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_dockerfile_is_named(found: str, instead: str, promise: str) -> None:
    text = DOCKERFILE.read_text()
    assert found in text
    assert promise in broken_promises(text.replace(found, instead))


def test_hadolint_catches(tools: Path) -> None:
    text = DOCKERFILE.read_text()
    assert "DL3002" in hadolint(text.replace("USER 1000:1000", "USER root"), tools)
    assert "DL3042" in hadolint(text.replace("--no-cache-dir ", ""), tools)


def test_the_context_is_code_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    taken = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert taken == {
        "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE", "reelyard.py", "tasks", "pipeline",
        "cluster",
    }  # fmt: skip
    assert all((ROOT / name).exists() for name in taken)


def test_every_file_that_is_copied_is_in_the_context() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignore = (ROOT / ".dockerignore").read_text()
    assert {name for name in names if f"!{name}\n" not in ignore} == set()


def test_opencv_is_headless_and_there_is_one() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    assert re.findall(r"^opencv[\w-]*", pins, re.MULTILINE) == ["opencv-python-headless"]
