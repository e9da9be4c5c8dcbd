"""`reelyard clean`: removes what crashed runs left under a work prefix."""

from typing import Annotated

import typer

from cluster.cli.console import print_json, say, told_errors
from tasks.errors import JobError


def register(app: typer.Typer) -> None:
    app.command("clean", help="Remove parts, scans and indexes that runs left under a work prefix.")(clean)


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
        from cluster.leftovers import leftovers, remove
        from pipeline.storage import Storage

        storage = Storage(dict(storage_options(storage_option or [])))
        prefix, found = leftovers(storage, work, staged=staged)
        if not found:
            raise JobError(f"{work}: found nothing that Reelyard left under {prefix}; nothing was removed")
        if not dry_run:
            remove(storage, prefix, found)
        if json:
            print_json({"prefix": prefix, "removed": [] if dry_run else found, "found": found})
            return
        for uri in found:
            say(uri)
        say(f"{'would remove' if dry_run else 'removed'} {len(found)} files under {prefix}")
