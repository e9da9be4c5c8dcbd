"""What was built for networks (compiled code, engines, graphs), kept on this node and in storage for all others.

The folder of a node is emptied of what was used longest ago; storage keeps all, `reelyard clean` empties it.  A file
lies at PREFIX/KEY and FOLDER/KEY, sealed (`tasks.runtime.built`): one that is broken, or is another's, is built
again, with a line in the log.  Files are programs: PREFIX is where the models come from, or the run's own work storage,
and is to be written to only by whom the nodes may trust.
"""

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.job import RenderJob
from pipeline.models import usual_folder
from pipeline.storage import Storage
from pipeline.storage_errors import AlreadyThere, NotFound
from tasks.errors import ReelyardError
from tasks.runtime.built import opened, seal_of

log = logging.getLogger("reelyard")

#: Of a node's disk: engines of some large networks, or the graphs of very many.
MOST_BYTES: Final = 8 << 30
_ABANDONED_SECONDS: Final = 86_400.0
"After which a file that nobody finished is nobody's."


def built_prefix(job: RenderJob) -> str:
    """Where a job's nodes keep what they build for each other; empty where that is on each node alone."""
    shared = job.models or job.work
    return f"{shared.rstrip('/')}/built" if shared else ""


@dataclass
class BuiltFiles:
    """Implements `tasks.runtime.built.Built`."""

    storage: Storage
    prefix: str = ""
    folder: Path = field(default_factory=lambda: usual_folder().parent / "built")
    most_bytes: int = MOST_BYTES
    "That the folder may hold."
    broken: set[str] = field(default_factory=set)
    "Keys under which something else lies in storage: it is replaced."

    def find(self, key: str) -> bytes | None:
        """From this node, else from storage, from where it is then kept here too."""
        path = self.folder / key
        with contextlib.suppress(OSError), path.open("rb") as file:
            content, fault = opened(key, file)
            if content is not None:
                with contextlib.suppress(OSError):  # A folder of an image is only read.
                    os.utime(path)
                return content
            log.warning("%s: %s; it is fetched or built again", path, fault)
        try:
            return self._fetched(key) if self.prefix else None
        except NotFound:
            return None
        except ReelyardError as error:
            log.warning("%s cannot be read, it is built here: %s", self._uri(key), error.message)
            return None

    def keep(self, key: str, content: bytes) -> None:
        """Here and in storage; another node that was quicker keeps its own there."""
        self._keep_here(key, content)
        if not self.prefix:
            return
        try:
            self._send(key, content)
        except AlreadyThere:
            return
        except ReelyardError as error:
            log.warning("%s cannot be kept for other nodes, each builds it again: %s", key, error.message)
            return
        self.broken.discard(key)
        log.info("%s kept at %s: other nodes need not build it", key, self._uri(key))

    def _send(self, key: str, content: bytes) -> None:
        """From the file on this node, a part at a time, where there is one."""
        path, create_only = self.folder / key, key not in self.broken
        if path.is_file():
            self.storage.put_file(path, self._uri(key), create_only=create_only)
        else:
            self.storage.put_bytes(seal_of(key, content) + content, self._uri(key), create_only=create_only)

    def _fetched(self, key: str) -> bytes | None:
        """From storage, and kept here too."""
        with self.storage.open(self._uri(key)) as source:
            content, fault = opened(key, source)
        if content is None:
            self.broken.add(key)
            log.warning("%s: %s; it is built again", self._uri(key), fault)
            return None
        self._keep_here(key, content)
        return content

    def _keep_here(self, key: str, content: bytes) -> None:
        """Whole or not at all, and others make room for it; a node without room does without."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", delete=False) as out:
                out.write(seal_of(key, content))
                out.write(content)
            os.replace(out.name, self.folder / key)
            self._empty(key)
        except OSError as error:
            log.info("%s: cannot be kept on this node: %s", self.folder / key, error.strerror)

    def _empty(self, kept: str) -> None:
        """Down to what the folder may hold, what was used longest ago first; `kept` stays."""
        now, held = time.time(), 0
        for path, used, size in sorted(_files(self.folder), key=lambda one: (one[0].name != kept, -one[1])):
            held += size
            unfinished = path.name.startswith(".")
            if now - used > _ABANDONED_SECONDS if unfinished else held > self.most_bytes and path.name != kept:
                held -= size
                with contextlib.suppress(OSError):  # Another process was quicker.
                    path.unlink()

    def _uri(self, key: str) -> str:
        return f"{self.prefix}/{key}"


def _files(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """(path, when it was last used, bytes) of what lies there."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # Another process may just have removed it.
            found = path.stat()
            yield path, found.st_mtime, found.st_size
