"""The machine and its Python: versions, memory, disks, GPU, Ray."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path

from cluster.budget import LEASES_IN_FLIGHT, STORE_SHARE, WINDOW
from cluster.doctor import Check
from cluster.gpus.allocator import GROWING, let_segments_grow, why_left
from tasks.picture import BATCH_BYTES

#: Free space below which a render of some minutes will likely fail.
_FREE_BYTES = 2_000_000_000
_MEMORY_BYTES = 3_000_000_000


def python_and_packages() -> Iterator[Check]:
    yield Check("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    for name in ("av", "numpy", "torch", "fsspec", "s3fs", "safetensors", "pillow"):
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "broken", "not installed", f"pip install --constraint constraints.txt {name}")
    yield from _unmet_requirements()


def _unmet_requirements() -> Iterator[Check]:
    """Dependencies of the installed distribution that another installation has since replaced."""
    try:
        from packaging.requirements import Requirement

        needed = [Requirement(line) for line in requires("reelyard") or ()]
    except (PackageNotFoundError, ImportError):
        yield Check("reelyard", "note", "runs from its source folder, not installed")
        return
    for requirement in needed:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            continue
        if found not in requirement.specifier:
            remedy = f'pip install "{requirement}"'
            yield Check(requirement.name, "broken", f"{found}, needed {requirement.specifier}", remedy)


def opencv() -> Iterator[Check]:
    """Plain and headless builds write the same files, and pip does not object; 5.x has no cascades."""
    prefix = "opencv"
    names = sorted({d.metadata["Name"] for d in distributions() if (d.metadata["Name"] or "").startswith(prefix)})
    remedy = 'pip uninstall every opencv distribution, then pip install "opencv-python-headless>=4.10,<5"'
    if len(names) != 1:
        yield Check("opencv", "broken", f"found {', '.join(names) or 'none'}; expected exactly one", remedy)
        return
    from typing import Any

    import cv2 as untyped_cv2

    cv2: Any = untyped_cv2
    if not cv2.__version__.startswith("4."):
        yield Check("opencv", "broken", f"{names[0]} {cv2.__version__}; expected 4.x", remedy)
        return
    yield Check("opencv", "ok", f"{names[0]} {cv2.__version__}")
    cascade = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    loaded = cascade.is_file() and not cv2.CascadeClassifier(str(cascade)).empty()
    found = str(cascade.parent) if loaded else f"{cascade} does not load"
    yield Check("face cascades", "ok" if loaded else "broken", found, "" if loaded else remedy)


def gpu() -> Iterator[Check]:
    """A GPU that computes, or why there is none; a machine without one is a supported machine."""
    from tasks.devices import choose_device

    driver = _nvidia_driver()
    choice = choose_device("auto")
    if choice.device != "cpu":
        yield Check("gpu", "ok", f"{choice.device}: {choice.reason}; driver {driver or 'unknown'}")
        yield from gpu_memory(os.environ)
    elif driver:
        remedy = "install the torch build whose CUDA the driver supports (pytorch.org), or update the driver"
        yield Check("gpu", "broken", f"a driver is there ({driver}) but {choice.reason}", remedy)
    else:
        yield Check("gpu", "note", f"{choice.reason}: tasks compute on the CPU")


def gpu_memory(environment: Mapping[str, str]) -> Iterator[Check]:
    """What torch's allocator is told here."""
    left = why_left(environment)
    if not left:
        let_segments_grow(told := dict(environment))
        words = " ".join(f"{name}={value}" for name, value in told.items() if name not in environment)
        yield Check("gpu memory", "ok", f"render workers set {words}")
    else:
        well = GROWING in left or "_CONF" not in left
        remedy = f"add {GROWING}: without it networks that come and go leave holes"
        yield Check("gpu memory", "ok" if well else "note", f"torch's allocator is left as it is: {left}", remedy)


def back_ends() -> Iterator[Check]:
    """What computes networks here besides torch's own way, each ONNX provider by a small graph of its own."""
    from tasks.devices import choose_device
    from tasks.runtime.choice import Wish
    from tasks.runtime.machine import machine_of

    machine = machine_of(choose_device("auto").device, Wish("onnx"))
    if machine.no_compiler:
        yield Check("runtime=compile", "note", f"cannot be asked for: {machine.no_compiler}")
    else:
        yield Check("runtime=compile", "ok", "a compiler is there")
    opening = [provider.name for provider in machine.providers if not provider.fault]
    faults = "; ".join(f"{one.name}: {one.fault}" for one in machine.providers if one.fault)
    if opening:
        yield Check("runtime=onnx", "ok", f"by {', '.join(opening)}{f'; not by {faults}' if faults else ''}")
    else:
        package = "onnx-gpu" if machine.kind == "cuda" else "onnx"
        yield Check("runtime=onnx", "note", f"cannot be asked for: {faults}", f"pip install 'reelyard[{package}]'")


def _nvidia_driver() -> str:
    """Version of the NVIDIA driver, empty where there is none."""
    path = Path("/proc/driver/nvidia/version")
    if path.is_file():
        words = path.read_text().split()
        return next((word for word in words if word[0].isdigit() and "." in word), "unknown")
    return "found by nvidia-smi" if shutil.which("nvidia-smi") else ""


def memory_and_disks() -> Iterator[Check]:
    import psutil

    memory = psutil.virtual_memory()
    enough = memory.available > _MEMORY_BYTES
    yield Check(
        "memory", "ok" if enough else "note", f"{_gb(memory.available)} free of {_gb(memory.total)}",
        "" if enough else "1080p needs about 2.5 GB with Ray, 1.5 GB with --in-process",
    )  # fmt: skip
    folders = dict.fromkeys((tempfile.gettempdir(), os.getcwd()))
    for name, folder in zip(("scratch disk", "disk here"), folders, strict=False):
        free = shutil.disk_usage(folder).free
        fits = free > _FREE_BYTES
        remedy = "" if fits else "free some space, or point TMPDIR at a larger disk"
        yield Check(name, "ok" if fits else "broken", f"{_gb(free)} free at {folder}", remedy)


def shared_memory() -> Iterator[Check]:
    """Ray's object store lies there; a container gets 64 MB unless told otherwise."""
    needed = int(LEASES_IN_FLIGHT * 2 * (WINDOW + 1) * BATCH_BYTES / STORE_SHARE)
    if not Path("/dev/shm").is_dir():
        yield Check("shared memory", "note", "no /dev/shm on this system: Ray uses files")
        return
    free = shutil.disk_usage("/dev/shm").free
    if free >= needed:
        yield Check("shared memory", "ok", f"{_gb(free)} free in /dev/shm, {_gb(needed)} used at most")
    else:
        remedy = "docker run --shm-size=2g, or an emptyDir of medium Memory on Kubernetes; or --in-process"
        yield Check("shared memory", "broken", f"{_gb(free)} free in /dev/shm, {_gb(needed)} needed", remedy)


def ray_version() -> Iterator[Check]:
    try:
        found = version("ray")
    except PackageNotFoundError:
        yield Check("ray", "broken", "not installed", 'pip install "ray[default]>=2.56,<3"')
        return
    major, minor = (int(part) for part in found.split(".")[:2])
    right = (2, 56) <= (major, minor) < (3, 0)
    yield Check("ray", "ok" if right else "broken", found, "" if right else 'pip install "ray[default]>=2.56,<3"')


def own_packages() -> Iterator[Check]:
    """Files of the user's that bear the names of Reelyard's packages do no harm; said all the same."""
    from cluster.packages import PACKAGES, own_code

    here = Path.cwd()
    if str(here) == own_code().root:
        return
    clashing = [n for n in PACKAGES if (here / n).is_dir() or (here / f"{n}.py").is_file()]
    if clashing:
        yield Check(
            "names",
            "note",
            f"{', '.join(clashing)} in this folder: Reelyard's own are used (code {own_code().digest[:12]})",
        )


def local_ray() -> Iterator[Check]:
    """Starts and ends a local Ray; some seconds."""
    import time

    from cluster.address import Place
    from cluster.connection import connected

    begun = time.monotonic()
    with connected(Place("local", "", "doctor")) as connection:
        took = time.monotonic() - begun
        yield Check("local ray", "ok", f"up after {took:.1f} s, object store {_gb(connection.store_bytes)}")


def _gb(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
