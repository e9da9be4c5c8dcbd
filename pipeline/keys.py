"""By which content is known again: keys of parts, scans and jobs; equal content, equal key."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from pipeline.index import SourceIndex
from pipeline.job import RenderJob
from pipeline.part import EncodeSpec
from pipeline.segments import ScanUnit
from pipeline.work import Decoding
from tasks.task import TaskInputs, TaskSpec

#: Bumped by hand when decoded, rendered or encoded pixels of the same request change.
PIXEL_ENGINE_VERSION = 2
DECODE_BACK_END = "libav-software"


def digest_of(*values: object) -> str:
    """40 hex digits over values of plain types, fractions, arrays and dataclasses."""
    sha = hashlib.sha256()
    for value in values:
        sha.update(json.dumps(value, default=_plain, sort_keys=True, ensure_ascii=False).encode())
        sha.update(b"\0")
    return sha.hexdigest()[:40]


def _plain(value: object) -> object:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        return [array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, TaskSpec):  # weights by their content: where they lie and what they are called is no matter
        return _spec(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in a key")


def _spec(spec: TaskSpec) -> object:
    """Files that options name stand for their content, not for the words they were typed as."""
    content = {weights.option: weights.sha256 for weights in spec.weights}
    photos = {photo.uri: photo.sha256 for photo in spec.photos}
    options = [(name, content.get(name) or _told(value, photos)) for name, value in spec.options]
    found = [spec.name, options, [_told(one, photos) for one in spec.speakers]]
    like = spec.machine
    return found if like is None else [*found, like.kind, like.half]


def _told(value: str, photos: Mapping[str, str]) -> str:
    """A value in which a photo stands for its content."""
    for uri, sha256 in photos.items():
        if value.startswith(f"like:{uri}"):
            return f"like:{sha256}{value.removeprefix(f'like:{uri}')}"
    return value


def job_key(job: RenderJob, source_content: str, audio_identity: str | None) -> str:
    """What the finished output is known by: everything that decides its content.

    By the source's content and not its identity, so that a copy of the output of an equal source is
    known as this job's own.
    """
    content = (
        job.tasks, job.fit, job.frame_rate, job.trim, job.segment_seconds, job.encode, job.label,
        job.damaged, job.alpha, job.deinterlace, job.bake_rotation,
    )  # fmt: skip
    return digest_of(PIXEL_ENGINE_VERSION, source_content, audio_identity, content, job.output.rpartition(".")[2])


def scan_key(index: SourceIndex, spec: TaskSpec, task_digest: str, unit: ScanUnit, decoding: Decoding) -> str:
    """Measurements depend on the source, the unit and the network; never on the task's options."""
    return digest_of(PIXEL_ENGINE_VERSION, index.identity.key, spec.name, task_digest, unit.start, unit.end, decoding)


def part_key(
    index: SourceIndex,
    frames: tuple[int, int],
    shown: tuple[np.ndarray, np.ndarray],
    tasks: Sequence[tuple[TaskSpec, str, TaskInputs]],
    encode: EncodeSpec,
    policies: Sequence[object],
) -> str:
    """`frames` is [start, end) of the output, `shown` its source frames and pts; one entry a task."""
    inputs = [(spec, digest, inputs.digest()) for spec, digest, inputs in tasks]
    return digest_of(
        PIXEL_ENGINE_VERSION,
        DECODE_BACK_END,
        index.identity.key,
        frames,
        shown,
        inputs,
        _plain_encode(encode),
        list(policies),
    )


@lru_cache(maxsize=64)
def _plain_encode(encode: EncodeSpec) -> dict[str, object]:
    """Of a video with thousands of segments, made once: it is half of the time that keys take."""
    return asdict(encode)
