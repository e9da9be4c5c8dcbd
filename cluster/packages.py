"""Whose code runs: the driver's own three packages, never a user's of the same name.

The root packages have plain names, and Ray puts the folder a driver was started from first on
its workers' path: a `tasks.py` lying there would win.  So packages are known by the digest of
their text, and the class that starts a worker (`host_class`) travels by value: it looks for the
packages by digest before it imports anything of theirs.
"""

import hashlib
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGES = ("cluster", "pipeline", "tasks")
#: Distributions whose versions decide pixels or the wire between driver and workers.
MATCHING = ("av", "numpy", "ray", "torch", "opencv-python-headless")


@dataclass(frozen=True)
class Code:
    """The packages of one process."""

    root: str
    "Folder that holds the three packages."
    digest: str
    "Hex SHA-256 over the text of every Python file of them."
    versions: tuple[tuple[str, str], ...]
    "Python, and each of MATCHING that is installed."


@cache
def own_code() -> Code:
    """The packages of this process."""
    root = Path(__file__).resolve().parent.parent
    return Code(str(root), code_digest(root), _versions())


def code_digest(root: Path) -> str:
    """Hex SHA-256 over relative path and text of every Python file of the three packages."""
    sha = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            sha.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def _versions() -> tuple[tuple[str, str], ...]:
    from importlib.metadata import PackageNotFoundError, version

    found = [("python", ".".join(map(str, sys.version_info[:2])))]
    for name in MATCHING:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return tuple(found)


def differences(driver: Code, worker: Code) -> list[str]:
    """What differs between two processes that must not, in words; empty where all is well."""
    found = []
    if worker.digest != driver.digest:
        found.append(f"reelyard itself (worker: {worker.root}, driver: {driver.root})")
    theirs = dict(worker.versions)
    found += [
        f"{name} {theirs.get(name)} instead of {ours}" for name, ours in driver.versions if theirs.get(name) != ours
    ]
    return found
