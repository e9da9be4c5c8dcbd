"""What a manifest names, looked up in storage: files that fit a pattern, and files that are not there."""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from cluster.manifest.places import fitting, folder_of_pattern, is_remote
from pipeline.storage import Storage
from pipeline.storage_errors import is_transient
from tasks.errors import ReelyardError, StorageError

log = logging.getLogger("reelyard")

#: So many names in one folder are looked up by one listing, fewer each by itself.
_WORTH_LISTING = 8
_AT_ONCE = 16
#: Waits before a store that fails is asked again.
_AGAIN_SECONDS = (2.0, 5.0, 10.0, 20.0, 25.0)


class Patterns:
    """Files by pattern; each folder is listed once.

    What lies below `prefix`, where outputs go, is no source of a pattern that begins above it: the
    next run would take the outputs of this one for new videos.
    """

    def __init__(self, storage: Storage, prefix: str = "") -> None:
        self._storage = storage
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self._listed: dict[tuple[str, bool], tuple[str, ...]] = {}
        self.found: set[str] = set()
        "Files that a listing showed: they need not be asked for again."

    def match(self, pattern: str, endings: frozenset[str]) -> tuple[str, ...]:
        """The files in the order of their names; a file whose very name is the pattern stands for itself.

        Raises:
            JobError: the pattern is wrong.
            StorageError: it cannot be listed.
        """
        if not pattern.endswith("/") and self._is_file(pattern):
            return (pattern,)
        where = folder_of_pattern(pattern)
        if where not in self._listed:
            folder, deep = where
            spelled = (f"{folder}{uri[len(folder.rstrip('/')) + 1 :]}" for uri in self._storage.list(folder, deep=deep))
            self._listed[where] = tuple(spelled)
        found = fitting(pattern, self._listed[where], endings)
        if self._prefix.startswith(where[0]) and self._prefix != where[0]:
            found = tuple(uri for uri in found if not uri.startswith(self._prefix))
        self.found.update(found)
        return found

    def _is_file(self, uri: str) -> bool:
        path = self._storage.local_path(uri)
        return path.is_file() if path is not None else "[" in uri and self._storage.exists(uri)


def missing(storage: Storage, uris: Iterable[str]) -> Mapping[str, str]:
    """What is wrong with those of the files that cannot be read, by URI; asked side by side.

    A store that fails for a while says nothing of its files: it is asked again for a minute.

    Raises:
        StorageError: it goes on failing.
    """
    named = list(dict.fromkeys(uris))
    for wait in _AGAIN_SECONDS:
        try:
            return _missing(storage, named)
        except StorageError as error:
            log.warning("asking again in %.0f s: %s", wait, error.message)
            time.sleep(wait)
    return _missing(storage, named)


def _missing(storage: Storage, uris: Iterable[str]) -> Mapping[str, str]:
    folders: dict[str, list[str]] = {}
    for uri in uris:
        folders.setdefault(uri.rpartition("/")[0], []).append(uri)
    faults: dict[str, str] = {}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        suspects = threads.map(lambda folder: _suspects(storage, folder, folders[folder]), folders)
        asked = [uri for group in suspects for uri in group]
        for uri, fault in zip(asked, threads.map(lambda uri: _fault(storage, uri), asked), strict=True):
            if fault:
                faults[uri] = fault
    return faults


def _suspects(storage: Storage, folder: str, uris: list[str]) -> list[str]:
    """Those of one folder that a listing does not show; all of them where it is not worth one."""
    listable = is_remote(folder) and not folder.startswith(("http://", "https://"))
    if not listable or len(uris) < _WORTH_LISTING:
        return uris
    try:
        there = set(storage.list(folder, deep=False))
    except ReelyardError:
        return uris
    return [uri for uri in uris if uri not in there]


def present(storage: Storage, uris: Iterable[str]) -> frozenset[str]:
    """Those of the files that are there, by one listing a folder; none of a folder that cannot be asked."""
    folders: dict[str, list[str]] = {}
    for uri in dict.fromkeys(uris):
        folders.setdefault(uri.rpartition("/")[0], []).append(uri)

    def found(folder: str) -> set[str]:
        try:
            if len(folders[folder]) < _WORTH_LISTING:
                return {uri for uri in folders[folder] if storage.exists(uri)}
            return set(storage.list(folder, deep=False)).intersection(folders[folder])
        except ReelyardError as error:
            log.warning("not listed: %s", error.message)
            return set()

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return frozenset[str]().union(*threads.map(found, folders))


def _fault(storage: Storage, uri: str) -> str:
    path = storage.local_path(uri)
    if path is not None and path.is_dir():
        return f"{uri}: found a folder, expected a file; write {uri}/ for all that lies in it"
    if path is not None and path.is_file() and not os.access(path, os.R_OK):
        return f"{uri}: no permission to read; check its rights"
    try:
        storage.size(uri)
    except ReelyardError as error:
        if error.__cause__ is not None and is_transient(error.__cause__):
            raise
        return error.message
    return ""
