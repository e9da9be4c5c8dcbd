"""Where the report and its page lie, and how they are written; a report never fails a render."""

import json
import logging
from typing import TYPE_CHECKING

from cluster.report.document import document_of, versions
from pipeline.storage import Storage
from tasks.errors import JobError, ReelyardError

if TYPE_CHECKING:
    from cluster.driver import Run
    from pipeline.job import RenderJob

log = logging.getLogger("reelyard")


def report_uris(output: str, asked: str | None) -> tuple[str, str]:
    """(report, page): beside the output, or where `--report` says.

    Raises:
        JobError: the asked name does not end in .json, or is the output.
    """
    if asked is None:
        return f"{output}.report.json", f"{output}.report.html"
    if not asked.endswith(".json"):
        raise JobError(f"--report {asked}: expected a name that ends in .json; its page is written beside it as .html")
    return asked, asked.removesuffix(".json") + ".html"


def people_uri(report: str) -> str:
    """Of the picture of everyone who was found, beside the report."""
    return f"{report.removesuffix('.json').removesuffix('.report')}.people.jpg"


def write_report(finished: "Run", job: "RenderJob", asked: str | None) -> tuple[dict[str, object], tuple[str, str]]:
    """(document, (report, page)); what cannot be written is logged, since the video itself is there."""
    from cluster.report.page import page_of
    from cluster.report.people import people_sheet
    from cluster.report.pictures import pictures_of, worst_pictures

    storage = Storage(dict(job.storage_options))
    uris = report_uris(job.output, asked)
    document = document_of(finished.report, finished.usage, finished.first_frame_seconds, versions())
    people = [one for one in finished.report.shown if one.group == "people"]
    try:
        storage.put_bytes(json.dumps(document, indent=2, default=str, ensure_ascii=False).encode(), uris[0])
        pictures = pictures_of(storage, finished.report.put_aside or job.output)
        page = page_of(document, pictures, worst_pictures(finished.report.quality), finished.report.shown)
        storage.put_bytes(page.encode(), uris[1])
        if people:
            storage.put_bytes(people_sheet(people), people_uri(uris[0]))
    except ReelyardError as error:
        log.warning("the report could not be written: %s", error.message)
    return document, uris
