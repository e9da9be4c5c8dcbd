"""Files of weights on this node: fetched once whoever asks, hashed at every use; knows no network.

A file lies at CACHE/NAME/FILE, in a mirror at MIRROR/NAME/FILE.  Beside it meanwhile: FILE.part
(what a stopped download left, continued by the next), FILE.lock (held while one process fetches)
and FILE.said (its terms were told here).
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.model import Model
from pipeline.storage import Storage
from tasks.errors import ResourceShortage, SourceError, StorageError, WeightsError

_LOG = logging.getLogger("reelyard.models")
BLOCK_BYTES: Final = 8 << 20
_HASH_BYTES: Final = 4 << 20

Told = Callable[[int, int], None]


def usual_folder() -> Path:
    """The cache of this node where no other is named."""
    return Path.home() / ".cache" / "reelyard" / "models"


def _untold(done_bytes: int, size_bytes: int) -> None:
    pass


@dataclass(frozen=True)
class ModelStore:
    """Where weights lie on this node, and where they come from."""

    folder: Path
    "The cache."
    mirror: str = ""
    "A prefix asked before the public addresses; empty: none."
    storage: Storage = field(default_factory=Storage)
    block_bytes: int = BLOCK_BYTES
    "Of one request; what a stop loses at most."

    def path(self, model: Model) -> Path:
        """Where the model lies, or is to be put by hand."""
        return self.folder / model.name / model.file

    def has(self, model: Model) -> bool:
        """Whether a file lies there; says nothing of its bytes."""
        return self.path(model).is_file()

    def sources(self, model: Model) -> tuple[str, ...]:
        """Where it is asked for, in this order."""
        return (*([self.mirrored(model)] if self.mirror else []), *model.urls)

    def mirrored(self, model: Model) -> str:
        """Its address in the mirror."""
        return f"{self.mirror.rstrip('/')}/{model.name}/{model.file}"

    def fetch(self, model: Model, told: Told = _untold) -> Path:
        """The verified file; from the cache, else from the first source that has it.

        The first use on this node tells what the licence forbids.  `told` hears (bytes, size).

        Raises:
            WeightsError: no source has it, or the file in the cache is another one.
            ResourceShortage: the disk is too small for it.
        """
        _say_terms(model, self.path(model))
        if not self.has(model):
            with _alone(self.path(model)):
                if not self.has(model):
                    self._download(model, told)
                    return self.path(model)
        return self.verify(model)

    def verify(self, model: Model) -> Path:
        """The file in the cache, hashed.

        Raises:
            WeightsError: it is missing, or its bytes are others.
        """
        path = self.path(model)
        if not path.is_file():
            raise WeightsError(f"{model.name}: no file at {path}; run `reelyard models fetch {model.name}`")
        if fault := _fault(model, path):
            raise WeightsError(
                f"{model.name}: {path} is not the published file: {fault}; "
                f"remove it and run `reelyard models fetch {model.name}`"
            )
        return path

    def fill_mirror(self, model: Model) -> str:
        """The model's address in the mirror, which holds the verified file afterwards."""
        uri = self.mirrored(model)
        path = self.verify(model)
        if not self.storage.exists(uri):
            self.storage.put_file(path, uri)
        return uri

    def _download(self, model: Model, told: Told) -> None:
        part = _beside(self.path(model), ".part")
        tried = []
        for uri in self.sources(model):
            if fault := self._try(model, uri, part, told):
                _LOG.info("%s: %s", model.name, fault)
                tried.append(fault)
            else:
                os.replace(part, self.path(model))
                return
        raise WeightsError(_by_hand(model, self.path(model), tried))

    def _try(self, model: Model, uri: str, part: Path, told: Told) -> str:
        """Why `uri` did not give the file, empty where `part` is it now."""
        continued = part.is_file() and part.stat().st_size > 0
        try:
            size = self.storage.size(uri)
            if model.size_bytes not in (None, size):
                return f"{uri}: found {size} bytes, expected {model.size_bytes}"
            self._append(uri, part, size, told)
        except (StorageError, SourceError) as error:
            return error.message
        except OSError as error:
            raise ResourceShortage(
                f"{part}: cannot be written: {error.strerror}; free some space, or choose another --cache"
            ) from error
        if not (fault := _fault(model, part)):
            return ""
        part.unlink()
        # What was there before may have come from elsewhere: this source alone decides.
        return self._try(model, uri, part, told) if continued else f"{uri}: {fault}"

    def _append(self, uri: str, part: Path, size: int, told: Told) -> None:
        """`part` grown to `size` bytes from where it stands."""
        if part.is_file() and part.stat().st_size > size:
            part.unlink()
        with part.open("ab") as out:
            _check_space(part, size - out.tell())
            while (start := out.tell()) < size:
                told(start, size)
                block = self.storage.read_range(uri, start, min(size, start + self.block_bytes))
                if not block:
                    raise StorageError(f"{uri}: ended after {start} of {size} bytes; run the same command again")
                out.write(block)
            told(size, size)
            out.flush()
            os.fsync(out.fileno())


def _by_hand(model: Model, path: Path, tried: list[str]) -> str:
    """What was tried, and where a person may put the file."""
    page = f" from {model.page}" if model.page else ""
    found = "; ".join(tried) if tried else "no address of the file itself is known"
    return (
        f"{model.name}: could not be fetched: {found}. Where this machine has no network, download {model.file}"
        f"{page} elsewhere and put it at {path}, or give --models a mirror; its sha256 must be {model.sha256}"
    )


def _fault(model: Model, path: Path) -> str:
    """What is wrong with the file's bytes, empty where they are the model's."""
    size = path.stat().st_size
    if model.size_bytes not in (None, size):
        return f"found {size} bytes, expected {model.size_bytes}"
    found = sha256_of(path)
    return "" if found == model.sha256 else f"found sha256 {found}, expected {model.sha256}"


def sha256_of(path: Path) -> str:
    """Of the whole file."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BYTES):
            sha.update(block)
    return sha.hexdigest()


def _say_terms(model: Model, path: Path) -> None:
    """Once on this node; each time where the cache cannot be written to."""
    said = _beside(path, ".said")
    if not model.terms or said.is_file():
        return
    _LOG.warning("%s", model.terms)
    with contextlib.suppress(OSError):
        said.parent.mkdir(parents=True, exist_ok=True)
        said.write_text(model.terms + "\n", encoding="utf-8")


def _check_space(part: Path, wanted_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if wanted_bytes > free:
        raise ResourceShortage(
            f"{part}: needs {wanted_bytes} more bytes, found {free} free; free some, or choose another --cache"
        )


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """The block run by one process of the node at a time; the kernel frees the lock of one that died."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _beside(path, ".lock").open("w")
    except OSError as error:
        raise WeightsError(
            f"{path.parent}: cannot be written to: {error.strerror}; choose another --cache, or put {path.name} there"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
