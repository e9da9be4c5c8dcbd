"""Functions that tests have workers call; workers find this folder on their PYTHONPATH (see conftest)."""

import os
import signal
import time
from pathlib import Path

from pipeline.storage import Storage
from tasks.errors import SourceError, StorageError


def where(storage: Storage, scratch: Path, word: str) -> tuple[str, bool, str, int]:
    """The word, whether scratch is an empty folder of the call alone, its path, and the process."""
    return word, scratch.is_dir() and not list(scratch.iterdir()), str(scratch), os.getpid()


def die_once(storage: Storage, scratch: Path, mark: str) -> int:
    """Kills its process the first time it is called with this mark."""
    if not os.path.exists(mark):
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def fail_storage_once(storage: Storage, scratch: Path, mark: str) -> str:
    if not os.path.exists(mark):
        Path(mark).touch()
        raise StorageError("s3://bucket: 503")
    return "stored"


def refuse(storage: Storage, scratch: Path) -> None:
    raise SourceError("a source that is none")


def linger(storage: Storage, scratch: Path, seconds: float) -> tuple[float, float]:
    """When it began and ended."""
    began = time.time()
    time.sleep(seconds)
    return began, time.time()
