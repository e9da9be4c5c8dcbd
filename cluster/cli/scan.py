"""`reelyard scan`: who is seen in a source, so that a user can choose whose mouth moves."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.cli.console import print_json, say, told_errors
from tasks.errors import JobError

if TYPE_CHECKING:
    from pipeline.job import RenderJob
    from tasks.task import Shown

_HELP = """Find who is seen in a photo or a video, without rendering it, and number them as --face track:N does.

What is measured stays in .reelyard/ beside the sheet; a render into the same folder measures nothing again."""


def register(app: typer.Typer) -> None:
    app.command("scan", help=_HELP)(scan)


def scan(
    source: Annotated[str, typer.Argument(help="Photo or video: a path, s3:// or http(s):// URI.")],
    sheet: Annotated[
        str, typer.Option("--sheet", metavar="FILE.jpg", help="Where the picture of them goes; path or URI.")
    ] = "people.jpg",
    identity: Annotated[
        str, typer.Option("--identity", metavar="MODEL", help="What tells people apart: embedded, arcface, a file.")
    ] = "embedded",
    detector: Annotated[
        str, typer.Option("--detector", metavar="MODEL", help="What finds faces: embedded, yunet, s3fd, a file.")
    ] = "embedded",
    in_process: Annotated[bool, typer.Option("--in-process", help="Threads of this process, no Ray.")] = False,
    address: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Join this Ray cluster.")] = None,
    deinterlace: Annotated[bool, typer.Option("--deinterlace", help="As the render will be.")] = False,
    storage_option: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks.")] = False,
) -> None:
    with told_errors(verbose, "run the same command again; what was measured is not measured again"):
        from cluster.cli.request import storage_options
        from cluster.report.people import people_sheet
        from pipeline.people import scan_job
        from pipeline.storage import Storage

        if not sheet.lower().endswith((".jpg", ".jpeg")):
            raise JobError(f"--sheet {sheet}: expected a name that ends in .jpg")
        options = storage_options(storage_option or [])
        job = scan_job(source, sheet, identity, detector, deinterlace=deinterlace, storage_options=options)
        shown = _found(job, in_process, address)
        Storage(dict(options)).put_bytes(people_sheet(shown), sheet)
        if json:
            print_json({"source": source, "sheet": sheet, "people": [{"who": o.title, "line": o.line} for o in shown]})
            return
        for one in shown:
            typer.echo(f"{one.title:<10}{one.line}")
        say(f"sheet: {sheet}; choose with --face track:N" if shown else f"found nobody; sheet: {sheet}")


def _found(job: "RenderJob", in_process: bool, address: str | None) -> "tuple[Shown, ...]":
    from cluster.address import choose_place
    from cluster.cli.progress import shown_progress
    from cluster.driver import scan
    from cluster.watch import RunWatch

    watch = RunWatch()
    with shown_progress(watch, quiet=True):
        return scan(job, choose_place(in_process, address, os.environ), watch)
