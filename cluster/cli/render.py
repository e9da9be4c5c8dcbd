"""`reelyard render`: one source to one output."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from cluster.cli.console import FAILED, print_json, say, seconds, told_errors
from cluster.cli.options import RenderOptions, takes_render_options

if TYPE_CHECKING:
    from cluster.driver import Run
    from cluster.watch import RunWatch
    from pipeline.job import RenderJob

_RESUME = "run the same command again to go on; finished segments are not rendered again"


def register(app: typer.Typer) -> None:
    app.command("render", help=_HELP)(takes_render_options(render))


_HELP = """Render a photo or a video to one output; without --task its pictures are unchanged.

Exit codes: 0 rendered, 1 failed, 2 the request was refused, 130 stopped."""


def render(options: RenderOptions) -> None:
    with told_errors(options.verbose, _RESUME):
        from cluster.cli.request import check_device, job_of
        from cluster.report.files import report_uris

        job = job_of(options)
        report_uris(job.output, options.report)
        run_job(job, options, check_device(options.device))


def check(values: Mapping[str, Any]) -> None:
    """Refuses what can be refused without a cluster; `values` are those of the parsed command.

    Raises:
        JobError: the request cannot be met; says what would work.
    """
    from cluster.cli.request import check_device, job_of
    from cluster.report.files import report_uris
    from pipeline.prepare import check_request
    from pipeline.storage import Storage

    options = RenderOptions(**values)
    job = job_of(options)
    report_uris(job.output, options.report)
    check_device(options.device)
    check_request(Storage(), job)


def run_job(job: "RenderJob", options: RenderOptions, device: str) -> None:
    """Run the job, write its report, say what came of it."""
    from cluster.address import choose_place
    from cluster.cli.progress import shown_progress
    from cluster.report.files import write_report
    from cluster.watch import RunWatch

    place = choose_place(options.in_process, options.address, os.environ, options.gpus_per_cell)
    if place.kind == "joined" and not options.address:
        say(place.reason)
    watch = RunWatch()
    try:
        with shown_progress(watch, quiet=options.json):
            from cluster.driver import run

            finished = run(job, place, device, watch)
    except KeyboardInterrupt:
        _say_committed(watch)
        raise
    document, uris = write_report(finished, job, options.report)
    if options.json:
        print_json(document)
    else:
        _say_finished(finished, uris)
    if finished.report.status == "quarantined":
        from pipeline.quarantine import why_aside

        say(f"error: {why_aside(finished.report)}")
        raise SystemExit(FAILED)


def _say_committed(watch: "RunWatch") -> None:
    total = watch.totals.get("render", 0)
    if total:
        seen = watch.done.get("render", 0)
        say(f"{watch.committed} segments finished in this run, {seen} of {total} frames seen")


def _say_finished(finished: "Run", uris: tuple[str, str]) -> None:
    report = finished.report
    for decision in report.decisions:
        if decision.what != "object store":
            say(f"{decision.what}: {decision.choice} ({decision.reason})")
    for note in report.notes:
        say(f"note: {note}")
    for name, count in report.counts.items():
        if name not in ("frames", "segments") and count:
            say(f"{name}: {count}")
    if report.quality.asked:
        found = ", ".join(f"{name} {value:.2f}" for name, value in report.quality.measures.items())
        say(f"quality: {found or 'nothing was drawn'} ({report.quality.looked_at} frames looked at)")
    speed = f", {report.frames_per_second:.1f} frames/s" if report.frames_per_second else ""
    frames = report.counts.get("frames", 0)
    lies = report.put_aside or report.output
    say(f"{report.status}: {lies} ({frames} frames in {seconds(report.wall_seconds)}{speed})")
    say(f"report: {uris[0]}, page {uris[1]}")
