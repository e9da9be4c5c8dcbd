"""A storage prefix: whether it can be reached, written and read, and keeps to create-if-absent."""

import uuid
from collections.abc import Iterator, Mapping

from cluster.doctor import Check
from pipeline.storage import Storage
from tasks.errors import ReelyardError


def storage_checks(prefix: str, options: Mapping[str, str]) -> Iterator[Check]:
    """Writes, reads and removes one small object under the prefix."""
    storage = Storage(dict(options))
    uri = f"{prefix.rstrip('/')}/reelyard-doctor-{uuid.uuid4().hex}"
    try:
        storage.put_bytes(b"reelyard", uri)
        same = storage.read(uri) == b"reelyard"
        storage.delete(uri)
    except ReelyardError as error:
        yield Check("storage", "broken", error.message, "mend it, or give --storage-option endpoint_url=…, region=…")
        return
    found = f"{prefix}: written, read and removed" if same else f"{prefix}: other bytes came back than were written"
    yield Check("storage", "ok" if same else "broken", found, "" if same else "use another object store")
    if storage.honours_create(prefix):
        yield Check("storage create-only", "ok", "a second writer of the same object is refused")
    else:
        yield Check(
            "storage create-only",
            "note",
            "a second writer wins: two drivers racing do work twice, harmlessly",
        )
