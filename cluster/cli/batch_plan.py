"""The dry run of a batch: every source looked at, the plan told, nothing written."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from cluster.cli.console import BAD_REQUEST, FAILED, PARTIAL, RENDERED, print_json, say, seconds
from cluster.cli.options import BatchOptions
from tasks.errors import JobError

if TYPE_CHECKING:
    from cluster.forecast import Machines, Totals, VideoForecast
    from cluster.manifest.values import Manifest
    from pipeline.storage import Storage

#: Between two lines that tell how far a dry run is.
_TELL_SECONDS = 5.0


def dry_run(storage: "Storage", manifest: "Manifest", options: BatchOptions) -> int:
    """The exit code that the batch itself would end with, as far as can be seen.

    Raises:
        JobError: the options of the plan do not go together.
    """
    from cluster.forecast import totals_of
    from cluster.look_ahead import look_ahead

    machines = _machines(options)
    videos = look_ahead(storage, manifest.items, _counting(len(manifest.items)))
    totals = totals_of(videos, machines)
    staged = _to_stage(storage, manifest, options)
    if options.json:
        print_json(_document(manifest, videos, totals, machines, staged))
    else:
        for line in _lines(videos, totals, machines, staged, options):
            typer.echo(line)
    refused = [video for video in videos if video.status == "refused"]
    if len(refused) < len(videos):
        return PARTIAL if refused and not options.partial_ok else RENDERED
    return BAD_REQUEST if all(video.kind == "JobError" for video in refused) else FAILED


def _counting(total: int) -> Callable[[int], None]:
    """Tells on stderr, now and then, how many were looked at."""
    latest = time.monotonic()

    def told(count: int) -> None:
        nonlocal latest
        if time.monotonic() - latest > _TELL_SECONDS:
            latest = time.monotonic()
            say(f"looked at {count} of {total}")

    return told


def _machines(options: BatchOptions) -> "Machines":
    import os

    from cluster.forecast import Machines
    from cluster.scheduling.costs import speed_of

    if options.gpu_kind and not options.gpus:
        raise JobError(f"--gpu-kind {options.gpu_kind}: of how many GPUs? Give --gpus N too")
    if options.price_per_gpu_hour is not None and not options.gpus:
        raise JobError(f"--price-per-gpu-hour {options.price_per_gpu_hour:g}: of how many GPUs? Give --gpus N too")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    kind = options.gpu_kind or ""
    return Machines(options.gpus or 0, cores, kind, 2 * speed_of(kind), options.price_per_gpu_hour)


def _to_stage(storage: "Storage", manifest: "Manifest", options: BatchOptions) -> tuple[int, int]:
    """(files, bytes) that --stage would look at."""
    from cluster.manifest.stage import local_files

    files = local_files(storage, manifest.items) if options.stage else ()
    return len(files), sum(storage.size(uri) for uri in files)


def _document(
    manifest: "Manifest",
    videos: "Sequence[VideoForecast]",
    totals: "Totals",
    machines: "Machines",
    staged: tuple[int, int],
) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "manifest": manifest.uri,
        "totals": {**asdict(totals), "counts": dict(totals.counts)},
        "machines": asdict(machines),
        "staged": {"files": staged[0], "bytes": staged[1]},
        "videos": [asdict(video) for video in videos],
    }


def _lines(
    videos: "Sequence[VideoForecast]",
    totals: "Totals",
    machines: "Machines",
    staged: tuple[int, int],
    options: BatchOptions,
) -> list[str]:
    """The plan for a person: a line a video, what is refused, what is unusual, sums."""
    width = max(len(_head(video)) for video in videos)
    lines = [f"{_head(video):<{width}}  {_what(video)}" for video in videos if video.status != "refused"]
    lines += [f"refused: {_head(video)}: {video.reason}" for video in videos if video.status == "refused"]
    lines += _note_lines(videos)
    counts = ", ".join(f"{count} {_STATUS[status]}" for status, count in totals.counts)
    length = seconds(totals.video_seconds)
    lines += [f"videos      {counts}", f"to render   {totals.frames} frames ({length}) in {totals.segments} segments"]
    if staged[0]:
        lines.append(f"to stage    {staged[0]} local files, {staged[1] / 1e6:.1f} MB, to {options.stage}")
    return [*lines, *_cost_lines(totals, machines)]


_STATUS = {
    "render": "to render", "already done": "already done", "duplicate": "copies of another", "refused": "refused",
}  # fmt: skip


def _head(video: "VideoForecast") -> str:
    return f"line {video.line}: {video.name}" if video.line else video.name


def _what(video: "VideoForecast") -> str:
    what = f"{video.frames:>7} frames {seconds(video.seconds):>9} {video.segments:>4} segments  {video.picture}"
    return what + {"already done": "  (already done)", "duplicate": f"  ({video.reason})"}.get(video.status, "")


def _note_lines(videos: "Sequence[VideoForecast]") -> list[str]:
    """Each note once, with those that it is said of."""
    said: dict[str, list[str]] = {}
    for video in videos:
        for note in video.notes:
            said.setdefault(note, []).append(video.name)
    return [f"note: {note} ({_some(names)})" for note, names in said.items()]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _cost_lines(totals: "Totals", machines: "Machines") -> list[str]:
    from cluster.forecast import CORES_A_GPU

    hours = f"about {totals.processor_hours:.2f} core-hours without a GPU"
    if not machines.gpus:
        return [
            f"cost        {hours}",
            f"finish      about {seconds(totals.finish_seconds)} on {machines.cores} cores here",
        ]
    kind = f"{machines.gpus} × {machines.kind or 'GPU'}"
    price = f", {totals.cost:.2f} at {machines.price_per_gpu_hour:g} an hour" if totals.cost is not None else ""
    return [
        f"cost        about {totals.gpu_hours:.2f} GPU-hours{price}; {hours}",
        f"finish      about {seconds(totals.finish_seconds)} on {kind} with {CORES_A_GPU} cores each, once they are up",
        "            (a guess until a run measured it: GPU speeds are priors, encoding is on processors)",
    ]
