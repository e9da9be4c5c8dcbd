"""The report as one JSON document; `SCHEMA` counts up when a field changes its meaning.

schema, reelyard       version of this layout, and of Reelyard
job                    key, source, output, and status: rendered | already done | quarantined, and then where it was put
source, timeline       the source's facts; frames, duration, segments, mode and its reason
encode                 encoder, pixel format and every option as used
tasks                  per task: name, options, facts of its scan, frames kept as they were by reason
decisions              what was chosen (place, device, object store, retry …), and why
notes                  what was converted, padded, guessed, dropped or could not be kept
quality                of what was drawn, where asked for: measures, their meaning, gate, what falls short, worst frames
counts                 frames, segments, segments resumed, repeated frames …
segments               per part: number, frames [start, end), worker, bytes, seconds by stage, counts
stages                 wall-clock spans from the start of the run: probe, scan, render, stitch, each segment
speed                  wall and CPU seconds, frames/s while rendering, seconds to the first rendered frame
workers                per process: CPU seconds and peak memory
versions               Python, Reelyard and the libraries that decide pixels
"""

import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.part import Part
from pipeline.run_report import RunReport, StageSpan

SCHEMA = 1


@dataclass(frozen=True)
class Usage:
    """What one process of a run used."""

    worker: str
    cpu_seconds: float
    peak_memory_bytes: int
    gpu: str = ""
    "What was seen of its GPU while it rendered."


def usage_here(name: str) -> Usage:
    """Of this process, from its start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    return Usage(name, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def document_of(
    report: RunReport, usage: Sequence[Usage], first_frame_seconds: float | None, versions: dict[str, str]
) -> dict[str, object]:
    """The document, in plain types."""
    return {
        "schema": SCHEMA,
        "reelyard": versions.get("reelyard", ""),
        "job": {
            "key": report.job_key,
            "source": report.source,
            "output": report.output,
            "status": report.status,
            **({"put_aside": report.put_aside} if report.put_aside else {}),
        },
        "source": dict(report.source_facts),
        "timeline": dict(report.timeline),
        "encode": dict(report.encode),
        "tasks": [dict(task) for task in report.tasks],
        "decisions": [asdict(decision) for decision in report.decisions],
        "notes": list(report.notes),
        "quality": report.quality.facts if report.quality.asked else {},
        "counts": dict(report.counts),
        "segments": [_segment(part) for part in report.parts],
        "stages": [_span(span) for span in report.stages],
        "speed": {
            "wall_seconds": round(report.wall_seconds, 3),
            "cpu_seconds": round(sum(used.cpu_seconds for used in usage), 3),
            "frames_per_second": round(report.frames_per_second, 2),
            "first_frame_seconds": first_frame_seconds and round(first_frame_seconds, 3),
        },
        "workers": [asdict(used) for used in usage],
        "versions": versions,
    }


def _segment(part: Part) -> dict[str, object]:
    return {
        "number": part.segment, "start": part.start, "end": part.end, "worker": part.worker,
        "bytes": part.bytes, "key": part.key,
        "seconds": {name: round(value, 3) for name, value in part.seconds.items()},
        "counts": dict(part.counts),
    }  # fmt: skip


def _span(span: StageSpan) -> dict[str, object]:
    return asdict(span) | {
        "start_seconds": round(span.start_seconds, 3),
        "end_seconds": round(span.end_seconds, 3),
    }


def versions() -> dict[str, str]:
    """Reelyard, Python and the libraries that decide pixels."""
    from importlib.metadata import PackageNotFoundError, version

    from cluster.packages import own_code

    try:
        own = version("reelyard")
    except PackageNotFoundError:
        own = "from its source folder"
    code = own_code()
    return {"reelyard": own, "code": code.digest[:16], **dict(code.versions)}
