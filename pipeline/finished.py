"""Whether an output is a job's own, and how good it was found: both stand in the container's metadata."""

import re
from collections.abc import Mapping, Sequence

from pipeline.quality import Verdict
from pipeline.source import open_container
from pipeline.storage import Storage
from tasks.errors import SourceError
from tasks.task import TaskSpec

_KEY = re.compile(r"\bjob ([0-9a-f]{40})\b")
_QUALITY = re.compile(r"\bquality of (\d+) frames((?: [a-z_]+=-?[0-9.]+)*)")


def statement_of(key: str, specs: Sequence[TaskSpec], verdict: Verdict) -> str:
    """What the output's metadata says: by whom it was rendered, what altered its pictures, which job, how good it is.

    Of a job that nobody checked nothing is said of that.
    """
    altering = [spec.name for spec in specs if spec.name != "identity"]
    altered = f"pictures altered by software ({', '.join(altering)}); " if altering else ""
    measures = "".join(f" {name}={value:.4f}" for name, value in verdict.measures.items())
    checked = f"; quality of {verdict.looked_at} frames{measures}" if verdict.asked else ""
    return f"Rendered by Reelyard: {altered}job {key}{checked}"


def output_job_key(storage: Storage, uri: str) -> str | None:
    """The key of the job whose output this is, None where it is another's.

    Raises:
        StorageError: the store failed, which says nothing of whose it is.
    """
    return next((found.group(1) for value in _metadata(storage, uri) if (found := _KEY.search(value))), None)


def output_quality(storage: Storage, uri: str) -> tuple[int, Mapping[str, float]] | None:
    """How many frames of an output were looked at when it was made, and its measures; None where nobody did.

    Raises:
        StorageError: as for `output_job_key`.
    """
    for value in _metadata(storage, uri):
        if found := _QUALITY.search(value):
            pairs = (pair.partition("=") for pair in found.group(2).split())
            return int(found.group(1)), {name: float(number) for name, _, number in pairs}
    return None


def _metadata(storage: Storage, uri: str) -> list[str]:
    try:
        with open_container(storage, uri) as container:
            return [str(value) for value in container.metadata.values()]
    except SourceError:
        return []
