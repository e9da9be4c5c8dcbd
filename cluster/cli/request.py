"""From what was typed, and the job file that was named, to a checked job; imports neither torch nor ray."""

from dataclasses import fields

from cluster.cli.options import RenderOptions
from cluster.job_fields import FIELDS, checked_fields, job_of_fields, one_of
from pipeline.job import RenderJob
from tasks.errors import JobError


def job_of(options: RenderOptions) -> RenderJob:
    """The job.

    Raises:
        JobError: an option's value is wrong, or two of them do not go together; or the job file's are.
        StorageError: the job file cannot be read.
    """
    given = storage_options(options.storage_option or ())
    places = {"source": options.source, "output": options.output}
    typed = {**typed_fields(options), **{name: uri for name, uri in places.items() if uri}}
    if options.job is None:
        return complete(job_of_fields(checked_fields(typed), given))
    from cluster.manifest.read import read_job
    from pipeline.storage import Storage

    return complete(read_job(Storage(dict(given)), options.job, typed, given))


def complete(job: RenderJob) -> RenderJob:
    """The job, if it says from where to where.

    Raises:
        JobError: it does not.
    """
    if not job.source:
        raise JobError("found no source; name a photo or a video, or --job FILE that names one")
    if not job.output:
        raise JobError("found no output; give -o OUTPUT.mp4")
    return job


def typed_fields(options: RenderOptions) -> dict[str, object]:
    """The fields of a job that were typed as options, unchecked; source and output are not among them."""
    names = [field.name for field in fields(options) if field.name in FIELDS]
    values = {name: getattr(options, name) for name in names if name not in ("source", "output")}
    return {name: value for name, value in values.items() if value is not None and value is not False}


def check_device(asked: str) -> str:
    """The value of --device.

    Raises:
        JobError: none of auto, cpu, cuda, cuda:N.
    """
    if asked == "cpu:0" or (asked.startswith("cuda:") and asked[5:].isdecimal()):
        return asked
    return one_of("--device", asked, ("auto", "cpu", "cuda"))


def storage_options(given: list[str] | tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """`--storage-option key=value` as sorted pairs.

    Raises:
        JobError: no `=`, or a key given twice.
    """
    pairs: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise JobError(f"--storage-option {text}: expected KEY=VALUE, as endpoint_url=http://host:9000")
        if key in pairs:
            raise JobError(f"--storage-option {key}: found twice; give it once")
        pairs[key] = value
    return tuple(sorted(pairs.items()))
