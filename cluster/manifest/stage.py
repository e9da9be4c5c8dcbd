"""Local sources and voices put where a cluster can read them, once, under names made of their content."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.manifest.values import Item
from pipeline.inputs import inputs_of, with_inputs_at
from pipeline.storage import Storage
from pipeline.storage_errors import NotFound
from tasks.errors import JobError

#: Files hashed and sent side by side.
_AT_ONCE = 4
_READ_BYTES = 4 << 20

#: Told of each file: (its path, its bytes, whether they were sent now).
Told = Callable[[str, int, bool], None]


@dataclass(frozen=True)
class Staged:
    """A local file and where it lies for the cluster."""

    path: str
    uri: str
    size: int


def local_files(storage: Storage, items: Iterable[Item]) -> tuple[str, ...]:
    """The local sources and voices of the items, each once."""
    read = (uri for item in items for _, uri in inputs_of(item.job))
    return tuple(dict.fromkeys(uri for uri in read if storage.local_path(uri) is not None))


def check_staging(storage: Storage, items: Iterable[Item], uri: str) -> None:
    """Nothing, if a cluster could render the items once their sources are staged at `uri`.

    Raises:
        JobError: `uri`, an output or a work prefix is a path of this machine.
    """
    if _here(storage, uri):
        raise JobError(f"--stage {uri}: a place of this machine alone; expected s3:// or another object store")
    for item in items:
        for what, place in (("output", item.job.output), ("--work", item.job.work)):
            if place and _here(storage, place):
                raise JobError(
                    f"{what} {place}: a place of this machine alone, and --stage is for a cluster that cannot "
                    f"reach it; write to s3:// or another object store, as -o {uri.rstrip('/')}/out/"
                )


def _here(storage: Storage, uri: str) -> bool:
    return storage.local_path(uri) is not None or uri.startswith("memory://")


def stage(
    storage: Storage, items: Sequence[Item], uri: str, told: Told = lambda path, size, sent: None
) -> tuple[Item, ...]:
    """The items with their local sources and voices read from below `uri`; what lies there already is not sent again.

    Raises:
        JobError: as `check_staging`.
        StorageError: a file cannot be read or sent; what was sent stays for the next try.
    """
    check_staging(storage, items, uri)

    def staged(path: str) -> Staged:
        return _stage_file(storage, path, uri, told)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        places = {found.path: found.uri for found in threads.map(staged, local_files(storage, items))}
    return moved(items, places)


def moved(items: Iterable[Item], places: Mapping[str, str]) -> tuple[Item, ...]:
    """The items with sources and voices read from where `places` says."""
    return tuple(replace(item, job=with_inputs_at(item.job, lambda uri: places.get(uri, uri))) for item in items)


def _stage_file(storage: Storage, uri: str, prefix: str, told: Told) -> Staged:
    path = storage.local_path(uri)
    assert path is not None
    size = storage.size(uri)
    target = f"{prefix.rstrip('/')}/staged/{_digest(path)}/{path.name}"
    sent = not _is_there(storage, target, size)
    if sent:
        storage.put_file(path, target)
    told(uri, size, sent)
    return Staged(uri, target, size)


def _is_there(storage: Storage, uri: str, size: int) -> bool:
    try:
        return storage.size(uri) == size
    except NotFound:
        return False


def _digest(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            sha.update(data)
    return sha.hexdigest()[:40]
