"""`reelyard batch`: many videos, from a manifest, a pattern or a folder."""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from cluster.cli.console import BAD_REQUEST, FAILED, PARTIAL, RENDERED, print_json, say, seconds, told_errors
from cluster.cli.options import BatchOptions, takes_options
from tasks.errors import JobError, StorageError

if TYPE_CHECKING:
    from cluster.address import Place
    from cluster.batch.start import BatchRequest
    from cluster.forecast import Machines, Totals, VideoForecast
    from cluster.manifest.values import Item, Manifest
    from pipeline.storage import Storage

_RESUME = "run the same command again to go on; finished segments are not rendered again"
_HELP = """Render many videos: each line of a manifest, each file of a pattern or folder.

MANIFEST is .jsonl (an object a line), .csv, .yaml or .json; its fields are the options of render by name
(source, audio, task, crf, …) besides output, name, priority, group and weight. Options typed here override it.
It is checked whole before anything runs; --dry-run also looks at every source and tells what it will cost.

Exit codes: 0 all rendered, 1 all failed, 2 the request was refused, 3 some failed, 130 stopped."""
#: Between two lines that tell how far a dry run is.
_TELL_SECONDS = 5.0


def register(app: typer.Typer) -> None:
    app.command("batch", help=_HELP)(takes_options(BatchOptions, batch, "source", "output", "job"))


def batch(options: BatchOptions) -> None:
    code = RENDERED
    with told_errors(options.verbose, _RESUME):
        from cluster.cli.request import check_device

        check_device(options.device)
        storage, manifest = checked_manifest(options)
        code = (_dry_run if options.dry_run else _run)(storage, manifest, options)
    raise SystemExit(code)


def _run(storage: "Storage", manifest: "Manifest", options: BatchOptions) -> int:
    from cluster.address import choose_place
    from cluster.batch.start import run_batch
    from cluster.cli.batch_lines import ending_of
    from cluster.cli.batch_progress import shown_batch

    place = choose_place(options.in_process, options.address, os.environ)
    if place.kind == "joined" and not options.address:
        say(place.reason)
    request = _request(options, place)
    items = staged_items(storage, manifest, options)
    with shown_batch(options.json) as listener:
        end = run_batch(items, request, listener)
    if options.json:
        print_json(end.document)
    else:
        for line in ending_of(end.document, end.places.report, end.places.page):
            say(line)
    return exit_code_of(end.document["run"]["status"], options.partial_ok)


def _request(options: BatchOptions, place: "Place") -> "BatchRequest":
    from cluster.batch.run import BatchSettings
    from cluster.batch.start import BatchRequest
    from cluster.cli.request import storage_options

    price = options.price_per_gpu_hour
    return BatchRequest(
        options.prefix,
        place,
        options.device,
        storage_options(options.storage_option or ()),
        options.report,
        {} if price is None else {"*": price},
        BatchSettings(shlex.join(["reelyard", *sys.argv[1:]]), options.max_videos_in_flight),
        options.metrics_port,
    )


def check(values: Mapping[str, Any]) -> None:
    """Refuses what can be refused without a cluster; whether sources are there is for the cluster to see.

    Raises:
        JobError: with every problem of every line.
    """
    from cluster.cli.request import check_device, typed_fields
    from cluster.manifest.read import read_manifest
    from pipeline.storage import Storage

    options = BatchOptions(**{"source": "", "output": "", **values})
    check_device(options.device)
    with contextlib.suppress(StorageError):  # A pattern over a store that this machine may not list.
        read_manifest(Storage(), options.manifest, prefix=options.prefix, typed=typed_fields(options), existing=False)


def checked_manifest(options: BatchOptions) -> "tuple[Storage, Manifest]":
    """Everything that can be refused before anything runs is refused here.

    Raises:
        ManifestError: with every problem of every line.
    """
    from cluster.cli.request import storage_options, typed_fields
    from cluster.manifest.read import read_manifest
    from cluster.manifest.stage import check_staging
    from pipeline.storage import Storage

    given = storage_options(options.storage_option or ())
    storage = Storage(dict(given))
    manifest = read_manifest(
        storage, options.manifest, prefix=options.prefix, typed=typed_fields(options), storage_options=given
    )
    if options.stage:
        check_staging(storage, manifest.items, options.stage)
    return storage, manifest


def staged_items(storage: "Storage", manifest: "Manifest", options: BatchOptions) -> "Sequence[Item]":
    """The items as they are rendered: local sources sent to --stage first, where that is asked for."""
    if not options.stage:
        return manifest.items
    from cluster.manifest.stage import stage

    def told(path: str, size: int, sent: bool) -> None:
        say(f"{'staged' if sent else 'already staged'}: {path} ({size / 1e6:.1f} MB)")

    return stage(storage, manifest.items, options.stage, told)


def exit_code_of(status: str, partial_ok: bool) -> int:
    """Of a batch that ended `rendered`, `partial` or `failed`."""
    return {"rendered": RENDERED, "partial": RENDERED if partial_ok else PARTIAL}.get(status, FAILED)


def _dry_run(storage: "Storage", manifest: "Manifest", options: BatchOptions) -> int:
    from cluster.forecast import totals_of
    from cluster.look_ahead import look_ahead

    videos = look_ahead(storage, manifest.items, _counting(len(manifest.items)))
    machines = _machines(options)
    totals = totals_of(videos, machines)
    staged = _to_stage(storage, manifest, options)
    if options.json:
        print_json(_document(manifest, videos, totals, machines, staged))
    else:
        for line in _lines(videos, totals, machines, staged, options):
            typer.echo(line)
    refused = [video for video in videos if video.status == "refused"]
    if len(refused) < len(videos):
        return exit_code_of("partial" if refused else "rendered", options.partial_ok)
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
