"""What travels to the cluster beside the command: our packages, a list of videos, local inputs."""

import hashlib
import os
import shutil
from pathlib import Path

from cluster.packages import PACKAGES, own_code
from pipeline.storage import Storage
from pipeline.storage_errors import AlreadyThere

#: The command among the packages that are shipped.
START = "reelyard.py"


def copy_code(folder: Path) -> None:
    """Our packages and the start of the command, as they stand here."""
    root = Path(own_code().root)
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(root / START, folder / START)


def carried_name(path: str) -> str:
    """The name under which a small file travels; it tells its content, so another content is another job."""
    file = Path(path)
    return f"{file.stem}-{_digest(path)[:12]}{file.suffix}"


def staged(storage: Storage, path: str, prefix: str) -> str:
    """The URI of a local file below `prefix`, uploaded unless the same content lies there already."""
    uri = f"{prefix.rstrip('/')}/staged/{_digest(path)[:40]}/{os.path.basename(path)}"
    try:
        if storage.exists(uri) and storage.size(uri) == os.path.getsize(path):
            return uri
        storage.put_file(path, uri)
    except AlreadyThere:
        pass
    return uri


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
