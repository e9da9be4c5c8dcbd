"""`reelyard batch`: many videos, from a manifest, a pattern or a folder."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from cluster.cli.console import FAILED, PARTIAL, RENDERED, STOPPED, print_json, say, told_errors
from cluster.cli.options import BatchOptions, takes_options
from tasks.errors import JobError, StorageError

if TYPE_CHECKING:
    from cluster.batch.start import BatchRequest
    from cluster.manifest.values import Item, Manifest
    from pipeline.storage import Storage

_RESUME = "run the same command again to go on; finished segments are not rendered again"
_HELP = """Render many videos: each line of a manifest, each file of a pattern or folder.

MANIFEST is .jsonl (an object a line), .csv, .yaml or .json; its fields are the options of render by name
(source, audio, task, crf, …) besides output, name, priority, group and weight. Options typed here override it.
It is checked whole before anything runs; --dry-run also looks at every source and tells what it will cost.

Exit codes: 0 all rendered, 1 all failed, 2 the request was refused, 3 some failed, 130 stopped."""
#: Exit codes by how a batch ended.
_CODES = {"rendered": RENDERED, "partial": PARTIAL, "stopped": STOPPED}


def register(app: typer.Typer) -> None:
    app.command("batch", help=_HELP)(takes_options(BatchOptions, batch, "source", "output", "job"))


def batch(options: BatchOptions) -> None:
    code = RENDERED
    with told_errors(options.verbose, _RESUME):
        from cluster.cli.batch_plan import dry_run
        from cluster.cli.request import check_device

        device = check_device(options.device)
        if (options.gpus or options.gpu_kind) and not options.dry_run:
            raise JobError("--gpus and --gpu-kind plan for GPUs that are not here; add --dry-run")
        storage, manifest = checked_manifest(options)
        code = dry_run(storage, manifest, options) if options.dry_run else _run(storage, manifest, options, device)
    raise SystemExit(code)


def _run(storage: "Storage", manifest: "Manifest", options: BatchOptions, device: str) -> int:
    """Every item to its end; the exit code."""
    from cluster.batch.start import run_batch
    from cluster.cli.batch_lines import ending_of
    from cluster.cli.batch_progress import shown_batch

    request = _request(manifest, options, device)
    items = staged_items(storage, manifest, options)
    with shown_batch(quiet=options.json) as listener:
        end = run_batch(items, request, listener)
    if options.json:
        print_json(end.document)
    else:
        for line in ending_of(end.document, end.places.report, end.places.page):
            say(line)
    return exit_code_of(end.document, options.partial_ok)


def _request(manifest: "Manifest", options: BatchOptions, device: str) -> "BatchRequest":
    from cluster.address import choose_place
    from cluster.batch.run import BatchSettings
    from cluster.batch.start import BatchRequest
    from cluster.cli.request import storage_options

    place = choose_place(options.in_process, options.address, os.environ, options.gpus_per_cell)
    if place.kind == "joined" and not options.address:
        say(place.reason)
    price = options.price_per_gpu_hour
    return BatchRequest(
        options.prefix or manifest.items[0].job.output.rpartition("/")[0],
        place,
        device,
        storage_options(options.storage_option or ()),
        options.report,
        {} if price is None else {"*": price},
        BatchSettings(command_again(sys.argv[1:]), options.max_videos_in_flight),
        options.metrics_port,
    )


#: A storage option that is nobody's to read in a report.
_SECRET = re.compile(r"^((?:--storage-option=)?(?:key|secret|token)=).*", re.DOTALL)


def command_again(typed: Sequence[str]) -> str:
    """The command as it was typed, for the report: without keys, which come from the environment."""
    return shlex.join(["reelyard", *(_SECRET.sub(r"\1…", word) for word in typed)])


def check(values: Mapping[str, Any]) -> None:
    """Refuses what can be refused without a cluster; whether sources are there is for the cluster to see.

    Raises:
        JobError: with every problem of every line.
    """
    from cluster.cli.request import check_device

    options = BatchOptions(**values)
    check_device(options.device)
    with contextlib.suppress(StorageError):  # A pattern over a store that this machine may not list.
        _read_here(options)


def _read_here(options: BatchOptions) -> "tuple[Storage, Manifest]":
    """The manifest as far as this machine can tell."""
    from cluster.cli.request import storage_options, typed_fields
    from cluster.manifest.read import read_manifest
    from pipeline.storage import Storage

    storage = Storage(dict(storage_options(options.storage_option or ())))
    typed = typed_fields(options)
    return storage, read_manifest(storage, options.manifest, prefix=options.prefix, typed=typed, existing=False)


@contextlib.contextmanager
def for_cluster(values: Mapping[str, Any], upload: Callable[[str], str] | None) -> Iterator[Mapping[str, Any]]:
    """The values of a batch for a cluster of other machines, for the time of the block.

    A manifest that names local files travels as one that names where they were uploaded.

    Raises:
        ManifestError: a line names what the cluster cannot reach.
    """
    import tempfile
    from pathlib import Path

    from cluster.submit.manifests import manifest_for_cluster

    options, text = BatchOptions(**values), None
    with contextlib.suppress(StorageError):
        storage, manifest = _read_here(options)
        text = manifest_for_cluster(options.manifest, manifest.items, storage, upload)
    with tempfile.TemporaryDirectory(prefix="reelyard-submit-") as folder:
        if text is not None:
            # The voice stands on each line now.
            path = Path(folder) / f"{Path(options.manifest.rstrip('/')).stem or 'videos'}.jsonl"
            path.write_text(text)
            values = {**values, "manifest": str(path), "audio": None}
        yield values


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


def exit_code_of(document: dict[str, Any], partial_ok: bool) -> int:
    """Of a batch that ended so."""
    code = _CODES.get(document["run"]["status"], FAILED)
    return RENDERED if code == PARTIAL and partial_ok else code
