"""`reelyard clean`: removes what crashed runs left under a work prefix."""

from typing import Annotated

import typer

from cluster.cli.console import print_json, say, told_errors
from tasks.errors import JobError


def register(app: typer.Typer) -> None:
    app.command("clean", help="Remove parts, scans, indexes and cut-off writes that runs left under a prefix.")(clean)


def clean(
    work: Annotated[str, typer.Argument(help="The --work URI of the runs, or the OUTPUT whose parts lie beside it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    staged: Annotated[bool, typer.Option("--staged", help="Also the local files that --stage put there.")] = False,
    storage_option: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks.")] = False,
) -> None:
    with told_errors(verbose):
        from cluster.cli.request import storage_options
        from cluster.leftovers import leftovers, remove, unfinished
        from pipeline.storage import Storage

        storage = Storage(dict(storage_options(storage_option or [])))
        prefix, found = leftovers(storage, work, staged=staged)
        writes = unfinished(storage, work)
        if not found and not writes:
            raise JobError(f"{work}: found nothing that Reelyard left under {prefix}; nothing was removed")
        if not dry_run:
            for write in writes:
                storage.discard(write)
            remove(storage, prefix, found)
        cut_off = [write.uri for write in writes]
        if json:
            removed = [] if dry_run else [*found, *cut_off]
            print_json({"prefix": prefix, "removed": removed, "found": found, "unfinished_writes": cut_off})
            return
        for line in (*found, *(f"{uri} (a write that never ended)" for uri in cut_off)):
            say(line)
        counted = f"{len(found)} files" + (f" and {len(writes)} unfinished writes" if writes else "")
        say(f"{'would remove' if dry_run else 'removed'} {counted} under {prefix}")
