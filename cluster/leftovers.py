"""What runs leave in work storage, told apart from everything else by its place and name."""

import re
from pathlib import PurePosixPath

from pipeline.job import RenderJob
from pipeline.encoders import ENDINGS
from pipeline.prepare import work_prefix
from pipeline.storage import Storage

#: Files under a work prefix that are Reelyard's, whatever else lies there.
_OURS = re.compile(
    r"/(parts/[0-9a-f]{16,}\.(nut|json)|plan-[0-9a-f]{16,}\.json|scan/[0-9a-f]{16,}\.npz|index/.+\.(npz|json))(\.partial.*)?$"
)


def leftovers(storage: Storage, work: str) -> tuple[str, list[str]]:
    """(prefix, files of Reelyard's under it); `work` may be an output, whose parts lie beside it."""
    extension = PurePosixPath(work).suffix.lstrip(".").lower()
    prefix = work_prefix(RenderJob("", work)) if extension in ENDINGS else work.rstrip("/")
    return prefix, [uri for uri in storage.list(f"{prefix}/") if _OURS.search(uri)]


def remove(storage: Storage, prefix: str, found: list[str]) -> None:
    """Delete the files, and the folders that become empty where storage has folders."""
    for uri in found:
        storage.delete(uri)
    storage.delete_empty_folders(prefix)
