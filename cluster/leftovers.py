"""What runs leave in work storage, told apart from everything else by its place and name."""

import contextlib
import re

from pipeline.encoders import container_of
from pipeline.job import RenderJob
from pipeline.prepare import work_prefix
from pipeline.storage import Storage
from pipeline.unfinished import Unfinished
from tasks.errors import JobError

#: Files under a work prefix that are Reelyard's, whatever else lies there.
_OURS = re.compile(
    r"/(?:(?:parts|scan|index|receipts)/[0-9a-f]{16,}[^/]*|(?:plan|intermediate)-[0-9a-f]{16,}[^/]*"
    r"|built/(?:compiled|graph|engine)-[0-9a-f]{40})$"
)
#: Copies of local files that `--stage` made.
_STAGED = re.compile(r"/staged/[0-9a-f]{40}/[^/]+$")


def leftovers(storage: Storage, work: str, *, staged: bool = False) -> tuple[str, list[str]]:
    """(prefix, files of Reelyard's under it); `work` may be an output, whose parts lie beside it.

    Copies made by `--stage` are among them only where `staged`: the next run would send them again.
    """
    prefix = work_prefix(RenderJob("", work)) if _is_output(work) else work.rstrip("/")
    found = storage.list(f"{prefix}/")
    return prefix, [uri for uri in found if _OURS.search(uri) or (staged and _STAGED.search(uri))]


def unfinished(storage: Storage, work: str) -> tuple[Unfinished, ...]:
    """Writes under the same prefix, and to the output itself, that a crash cut off; or that still run."""
    if not _is_output(work):
        return storage.unfinished(work)
    return (*storage.unfinished(work), *storage.unfinished(work_prefix(RenderJob("", work))))


def _is_output(uri: str) -> bool:
    try:
        container_of(uri)
    except JobError:
        return False
    return True


def remove(storage: Storage, prefix: str, found: list[str]) -> None:
    """Delete the files, and the folders that become empty."""
    for uri in found:
        storage.delete(uri)
    remove_empty_folders(storage, prefix)


def remove_empty_folders(storage: Storage, prefix: str) -> None:
    """Remove folders under a local prefix that hold nothing, the prefix itself among them."""
    root = storage.local_path(prefix)
    if root is None or not root.is_dir():
        return
    for folder in (*sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True), root):
        with contextlib.suppress(OSError):  # Another run may just be writing there.
            folder.rmdir()
