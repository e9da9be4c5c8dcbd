"""What was built for networks (compiled code, engines, graphs), kept on this node and in storage for all others.

A file lies at PREFIX/KEY and FOLDER/KEY, sealed (`tasks.runtime.built`): one that is broken, or is another's, is built
again, with a line in the log.  Files are programs: PREFIX is where the models come from, or the run's own work storage,
and is to be written to only by whom the nodes may trust.
"""

import contextlib
import logging
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.job import RenderJob
from pipeline.models import usual_folder
from pipeline.storage import Storage
from pipeline.storage_errors import AlreadyThere, NotFound
from tasks.errors import ReelyardError
from tasks.runtime.built import sealed, unsealed

log = logging.getLogger("reelyard")

#: What is larger is quicker built than fetched: graphs of large networks, which take seconds to write.
LARGEST_BYTES: Final = 256 << 20


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
    broken: set[str] = field(default_factory=set)
    "Keys under which something else lies in storage: it is replaced."

    def find(self, key: str) -> bytes | None:
        """From this node, else from storage, from where it is then kept here too."""
        with contextlib.suppress(OSError):
            content, fault = unsealed(key, (self.folder / key).read_bytes())
            if content is not None:
                return content
            log.warning("%s: %s; it is fetched or built again", self.folder / key, fault)
        content = self._fetched(key)
        if content is not None:
            self._keep_here(key, sealed(key, content))
        return content

    def keep(self, key: str, content: bytes) -> None:
        """Here and in storage; another node that was quicker keeps its own there."""
        if len(content) > LARGEST_BYTES:
            log.info("%s: %d MB are not kept, they are built again by whoever needs them", key, len(content) >> 20)
            return
        whole = sealed(key, content)
        self._keep_here(key, whole)
        if not self.prefix:
            return
        try:
            self.storage.put_bytes(whole, self._uri(key), create_only=key not in self.broken)
        except AlreadyThere:
            return
        except ReelyardError as error:
            log.warning("%s cannot be kept for other nodes, each builds it again: %s", key, error.message)
            return
        self.broken.discard(key)
        log.info("%s kept at %s: other nodes need not build it", key, self._uri(key))

    def _fetched(self, key: str) -> bytes | None:
        if not self.prefix:
            return None
        try:
            kept = self.storage.read(self._uri(key))
        except NotFound:
            return None
        except ReelyardError as error:
            log.warning("%s cannot be read, it is built here: %s", self._uri(key), error.message)
            return None
        content, fault = unsealed(key, kept)
        if content is None:
            self.broken.add(key)
            log.warning("%s: %s; it is built again", self._uri(key), fault)
        return content

    def _keep_here(self, key: str, whole: bytes) -> None:
        """Whole or not at all; a node without room does without."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", delete=False) as out:
                out.write(whole)
            os.replace(out.name, self.folder / key)
        except OSError as error:
            log.info("%s: cannot be kept on this node: %s", self.folder / key, error.strerror)

    def _uri(self, key: str) -> str:
        return f"{self.prefix}/{key}"
