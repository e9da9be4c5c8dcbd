"""Who works on a video: a claim in its work storage, so that two drivers of one batch share it out.

A claim is a hint, never a lock: parts and outputs are committed under names of their content, so
that two drivers on one video only do work twice.  Clocks are not compared: a claim is stale when
it has not changed for STALE_SECONDS of the reader's own time.
"""

import hashlib
import json
import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.storage import Storage
from pipeline.storage_errors import AlreadyThere, NotFound
from tasks.errors import StorageError

#: A holder renews its claim this often, and is taken for dead when it has not for so long.
RENEW_SECONDS, STALE_SECONDS = 15.0, 60.0


@dataclass(frozen=True)
class Owner:
    """A driver, told apart from every other."""

    host: str
    process: int
    name: str

    @staticmethod
    def here() -> "Owner":
        return Owner(socket.gethostname(), os.getpid(), uuid.uuid4().hex)


class Claims:
    """The claims that one driver holds or has seen."""

    def __init__(self, storage: Storage, owner: Owner, clock: Callable[[], float] = time.monotonic) -> None:
        self._storage = storage
        self._owner = owner
        self._clock = clock
        self._held: dict[str, int] = {}
        self._seen: dict[str, tuple[bytes, float]] = {}

    def take(self, prefix: str, output: str) -> bool:
        """True where the video is this driver's now; False where another driver is at it."""
        uri = claim_uri(prefix, output)
        try:
            self._storage.put_bytes(self._told(0), uri, create_only=True)
        except AlreadyThere:
            if not self._stale(uri):
                return False
            self._storage.put_bytes(self._told(0), uri)
        self._held[uri] = 0
        return True

    def _told(self, beat: int) -> bytes:
        owner = self._owner
        told = {"host": owner.host, "process": owner.process, "driver": owner.name, "beat": beat}
        return json.dumps(told).encode()

    def _stale(self, uri: str) -> bool:
        try:
            content = self._storage.read(uri)
        except NotFound:
            return True
        known, since = self._seen.get(uri, (b"", 0.0))
        if content != known:
            self._seen[uri] = (content, self._clock())
            return self._ended_here(content)
        return self._clock() - since > STALE_SECONDS

    def _ended_here(self, content: bytes) -> bool:
        """A claim of a process of this host that is no more."""
        try:
            told = json.loads(content)
            if told["driver"] == self._owner.name:
                return True
            return told["host"] == self._owner.host and not _alive(int(told["process"]))
        except (ValueError, KeyError, TypeError):
            return True

    def renew(self) -> None:
        """Say that this driver is still at what it holds; a failing store is tried again at the next turn."""
        for uri, beat in list(self._held.items()):
            try:
                if uri in self._held:
                    self._storage.put_bytes(self._told(beat + 1), uri)
                    self._held[uri] = beat + 1
            except (StorageError, KeyError):
                continue

    def release(self, prefix: str, output: str) -> None:
        uri = claim_uri(prefix, output)
        if self._held.pop(uri, None) is not None:
            self._storage.delete(uri)


def claim_uri(prefix: str, output: str) -> str:
    return f"{prefix}/claim-{hashlib.sha256(output.encode()).hexdigest()[:16]}.json"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
