"""`reelyard report`: the report of a batch made from its event log, of one that crashed or still runs too."""

from typing import Annotated

import typer

from cluster.cli.console import print_json, say, told_errors


def register(app: typer.Typer) -> None:
    app.command("report", help="Make the report of a run of many videos from its event log, finished or not.")(report)


def report(
    events: Annotated[str, typer.Argument(help="Output prefix of the batch, or its events folder or .jsonl file.")],
    output: Annotated[str, typer.Option("-o", "--output", help="The page; the JSON report lies beside it.")] = "",
    price_per_gpu_hour: Annotated[
        list[str] | None, typer.Option(metavar="PRICE|KIND=PRICE", help="Of a GPU-hour; may be given again.")
    ] = None,
    storage_option: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Tracebacks.")] = False,
) -> None:
    with told_errors(verbose):
        from cluster.cli.batch_lines import ending_of
        from cluster.cli.request import storage_options
        from cluster.report.batch_document import batch_document_of, prices_of
        from cluster.report.event_log import read_events
        from cluster.report.record import page_places, write_batch_report
        from cluster.report.state import folded
        from pipeline.storage import Storage

        prices = prices_of(price_per_gpu_hour or [])
        places = page_places(output) if output else None
        storage = Storage(dict(storage_options(storage_option or [])))
        state = folded(read_events(storage, events))
        document = batch_document_of(state, prices, {})
        if places is not None:
            write_batch_report(storage, places, document, state)
        if json:
            print_json(document)
            return
        for line in ending_of(document, *((places.report, places.page) if places else ())):
            say(line)
