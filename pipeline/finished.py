"""Whether an output is a job's own: the job's key stands in the container's metadata."""

import re
from collections.abc import Sequence

from pipeline.source import open_container
from pipeline.storage import Storage
from tasks.errors import SourceError
from tasks.task import TaskSpec

_KEY = re.compile(r"\bjob ([0-9a-f]{40})\b")


def statement_of(key: str, specs: Sequence[TaskSpec]) -> str:
    """What the output's metadata says: by whom it was rendered, what altered its pictures, which job."""
    altering = [spec.name for spec in specs if spec.name != "identity"]
    altered = f"pictures altered by software ({', '.join(altering)}); " if altering else ""
    return f"Rendered by Reelyard: {altered}job {key}"


def output_job_key(storage: Storage, uri: str) -> str | None:
    """The key of the job whose output this is, None where it is another's.

    Raises:
        StorageError: the store failed, which says nothing of whose it is.
    """
    try:
        with open_container(storage, uri) as container:
            values = [str(value) for value in container.metadata.values()]
    except SourceError:
        return None
    return next((found.group(1) for value in values if (found := _KEY.search(value))), None)
