"""Which parts of a job exist: read from work storage, never kept apart from it.

A part counts when its sidecar is there (written last) and the part has the size that it tells; where its pictures
are to be looked at, what was seen of them is there too.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.part import Part, read_sidecar, sidecar_uri
from pipeline.storage import Storage
from pipeline.storage_errors import NotFound
from pipeline.work import SegmentWork


class Ledger:
    """The committed parts under one work prefix."""

    def __init__(self, storage: Storage, prefix: str) -> None:
        self._storage = storage
        self._prefix = prefix

    def committed(self, works: Iterable[SegmentWork]) -> dict[str, Part]:
        """Parts of these works that need not be rendered again, by key; one uncached listing."""
        present = set(self._storage.list(f"{self._prefix}/parts/"))
        found: dict[str, Part] = {}
        for work in works:
            if sidecar_uri(work.part_uri) in present and (part := _told(self._storage, work)) is not None:
                found[work.key] = part
        return found

    def write_plan(self, key: str, plan: dict[str, object]) -> None:
        """The plan of the job, for people and `clean`; written before the first segment."""
        text = json.dumps(plan, indent=1, default=str)
        self._storage.put_bytes(text.encode(), f"{self._prefix}/plan-{key}.json")

    def files_of(self, key: str, works: Iterable[SegmentWork], parts: Iterable[Part]) -> tuple[str, ...]:
        """This job's sidecars, parts and plan, in the order in which they may go; not what other jobs left there."""
        works = list(works)
        sidecars, pictures = (sidecar_uri(work.part_uri) for work in works), (part.uri for part in parts)
        seen = (work.quality_uri for work in works if work.quality_uri)
        return (*sidecars, *pictures, *seen, f"{self._prefix}/plan-{key}.json")

    def clear(self, uris: Iterable[str]) -> None:
        """Remove these, in order."""
        for uri in uris:
            self._storage.delete(uri)

    def clear_all(self) -> None:
        """Remove everything under the prefix; only for a prefix that is one output's own."""
        self.clear(self._storage.list(self._prefix))
        self._storage.delete_empty_folders(self._prefix)


def committed_parts(storage: Storage, scratch: Path, works: Sequence[SegmentWork]) -> tuple[Part, ...]:
    """Those of a lease's parts that are there, up to the first that is not: they are made in order.

    Raises:
        StorageError: the store failed.
    """
    found = []
    for work in works:
        part = _told(storage, work)
        if part is None:
            break
        found.append(part)
    return tuple(found)


def _told(storage: Storage, work: SegmentWork) -> Part | None:
    """The part that its sidecar tells of, where it is whole and what was seen of its pictures is there, if wanted."""
    try:
        part = read_sidecar(storage.read(sidecar_uri(work.part_uri)))
        whole = storage.size(part.uri) == part.bytes
    except (NotFound, ValueError):
        return None
    return part if whole and (not work.quality_uri or storage.exists(work.quality_uri)) else None
