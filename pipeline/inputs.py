"""What a job reads besides weights: its source, voices and photos; one list for all who move or check them; pure."""

from collections.abc import Callable
from dataclasses import replace

from pipeline import photos, speakers
from pipeline.job import RenderJob

Place = Callable[[str], str]


def inputs_of(job: RenderJob) -> tuple[tuple[str, str], ...]:
    """(what it is, URI) of each file that the job reads."""
    voices = [("--audio", job.audio)] if job.audio else []
    voices += [(f"--speaker {one.face}", one.audio) for one in job.speakers]
    shown = [uri for spec in job.tasks for uri in photos.photos_named(spec)]
    shown += [uri for one in job.speakers if (uri := photos.photo_of(one.face))]
    return (("source", job.source), *voices, *(("like:", uri) for uri in dict.fromkeys(shown)))


def uris_of(job: RenderJob) -> tuple[str, ...]:
    """Every URI that the job reads or writes, each once."""
    read = [uri for _, uri in inputs_of(job)]
    return tuple(dict.fromkeys(uri for uri in (*read, job.output, job.work) if uri))


def with_inputs_at(job: RenderJob, place: Place) -> RenderJob:
    """The same job with everything that it reads where `place` puts it."""
    return replace(
        job,
        source=place(job.source),
        audio=place(job.audio) if job.audio else None,
        speakers=speakers.placed(job.speakers, place),
        tasks=tuple(photos.placed(spec, place) for spec in job.tasks),
    )
