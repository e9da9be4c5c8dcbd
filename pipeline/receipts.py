"""What was made is told beside it, so that a run that is resumed knows it again by a few small requests.

A receipt counts while the request, all that was read for it and the output are the ones it tells of, and nothing is
left of the run that made them.  Where it does not, a look into the files decides.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.inputs import inputs_of
from pipeline.job import RenderJob
from pipeline.keys import PIXEL_ENGINE_VERSION, digest_of
from pipeline.look import Look
from pipeline.prepare import work_prefix
from pipeline.storage import Storage
from pipeline.weights import with_weights
from tasks.errors import ReelyardError, StorageError

log = logging.getLogger("reelyard")

_AT_ONCE = 8


def receipt_uri(job: RenderJob) -> str:
    """Where the receipt of a job's output lies: in work storage that was asked for, else beside the outputs."""
    folder, slash, _ = job.output.rpartition("/")
    beside = f"{job.work.rstrip('/')}/" if job.work else f"{folder}{slash}.reelyard/"
    return f"{beside}receipts/{hashlib.sha256(job.output.encode()).hexdigest()[:16]}.json"


def keep_receipt(storage: Storage, scratch: Path, job: RenderJob, look: Look) -> None:
    """Told of an output that is there and is this job's; a store that fails now costs a longer look next time."""
    try:
        told = {"request": _request(storage, job), "output": _output(storage, job), "look": asdict(look)}
        storage.put_bytes(json.dumps(told, indent=1).encode(), receipt_uri(job))
    except StorageError as error:
        log.warning("%s: no receipt was kept: %s", job.output, error.message)


def recalled(storage: Storage, scratch: Path, jobs: Sequence[RenderJob]) -> tuple[Look | None, ...]:
    """For each job what is known of its output, if that is there and whole; None where it must be looked at."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return tuple(threads.map(lambda job: _recalled(storage, job), jobs))


def _recalled(storage: Storage, job: RenderJob) -> Look | None:
    try:
        told = json.loads(storage.read(receipt_uri(job)))
        same = told["output"] == _output(storage, job) and told["request"] == _request(storage, job)
        if not same or (job.work is None and storage.list(work_prefix(job))):
            return None
        return replace(Look(**told["look"]), done=True)
    except (ReelyardError, ValueError, KeyError, TypeError):
        return None


def _output(storage: Storage, job: RenderJob) -> str:
    return storage.identity(job.output).key


def _request(storage: Storage, job: RenderJob) -> str:
    """Equal for the same job of the same files; where parts lie is no matter."""
    tasks = tuple(with_weights(spec, mirror=job.models, added=job.catalogue) for spec in job.tasks)
    asked = replace(
        job, tasks=tasks, work=None, models="", catalogue=(), storage_options=(), overwrite=False, keep_parts=False
    )
    read = [(what, uri, storage.identity(uri).key) for what, uri in inputs_of(job)]
    return digest_of(PIXEL_ENGINE_VERSION, asked, read)
